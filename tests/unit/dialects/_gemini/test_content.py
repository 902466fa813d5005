"""Contents, read into messages."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import (
    AudioPart,
    CallPart,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Part,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._gemini.content import Contents
from proxy.dialects._gemini.fields import Fields
from proxy.dialects._gemini.wire import sealed
from proxy.errors import BadRequest


def read(*contents: dict[str, Any]) -> list[Message]:
    found = Contents()
    for at, content in enumerate(contents):
        found.read(Fields(json.dumps(content).encode(), f"contents[{at}]"))
    return found.messages


def parts(*said: dict[str, Any], role: str = "user") -> list[Part]:
    (message,) = read({"role": role, "parts": list(said)})
    return message.parts


def one(said: dict[str, Any], role: str = "user") -> Part:
    (part,) = parts(said, role=role)
    return part


def test_roles_are_the_users_and_the_models() -> None:
    messages = read(
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"text": "b"}]},
        {"parts": {"text": "c"}},
    )

    assert messages == [
        Message("user", [TextPart(text="a")]),
        Message("assistant", [TextPart(text="b")]),
        Message("user", [TextPart(text="c")]),
    ]


def test_another_role_is_no_role() -> None:
    with pytest.raises(BadRequest, match='must be "user" or "model"') as raised:
        read({"role": "assistant", "parts": []})
    assert raised.value.param == "contents[0].role"


def test_what_says_nothing_is_passed_over() -> None:
    assert read({"role": "user", "parts": [{}, {"text": ""}, {"text": None}]}, {"parts": []}) == []


def test_what_a_model_said_is_one_message_though_it_came_in_chunks() -> None:
    """Google's SDKs keep each chunk of a stream as a content of its own."""
    messages = read(
        {"role": "model", "parts": [{"text": "I ", "thought": True}]},
        {"role": "model", "parts": [{"text": "think", "thought": True}]},
        {"role": "model", "parts": [{"text": "Hel"}]},
        {"role": "model", "parts": [{"text": "lo"}, {"text": ""}]},
        {"role": "model", "parts": [{"text": "", "thoughtSignature": "QUJD"}]},
    )

    assert messages == [
        Message(
            "assistant",
            [
                ThinkingPart(text="I think", origin="gemini"),
                TextPart(text="Hello"),
                ThinkingPart(signature="QUJD", origin="gemini"),
            ],
        )
    ]


def test_what_the_user_says_stays_apart() -> None:
    assert parts({"text": "a"}, {"text": "b"}) == [TextPart(text="a"), TextPart(text="b")]
    assert len(read({"parts": [{"text": "a"}]}, {"parts": [{"text": "b"}]})) == 2


def test_a_signature_ends_the_thought_before_it() -> None:
    """Trap 20, for signatures of this dialect and of others."""
    assert parts(
        {"text": "a", "thought": True, "thoughtSignature": "QUJD"},
        {"text": "b", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": sealed("s", "anthropic_messages")},
        {
            "text": "",
            "thought": True,
            "thoughtSignature": sealed("r", "anthropic_messages", redacted=True),
        },
        role="model",
    ) == [
        ThinkingPart(text="a", signature="QUJD", origin="gemini"),
        ThinkingPart(text="b", signature="s", origin="anthropic_messages"),
        ThinkingPart(signature="r", origin="anthropic_messages", redacted=True),
    ]


def test_a_text_may_be_signed() -> None:
    assert parts({"text": "a", "thoughtSignature": "QUJD"}, role="model") == [
        TextPart(text="a"),
        ThinkingPart(signature="QUJD", origin="gemini"),
    ]


def test_calls_and_answers_keep_their_ids() -> None:
    messages = read(
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "1", "name": "f", "args": {"x": 1.50}},
                    "thoughtSignature": "QUJD",
                }
            ],
        },
        {
            "role": "user",
            "parts": [
                {"text": "there:"},
                {"functionResponse": {"id": "1", "name": "f", "response": {"output": "y"}}},
            ],
        },
    )

    assert messages == [
        Message(
            "assistant",
            [CallPart(id="1", name="f", arguments='{"x": 1.5}', signature="QUJD", origin="gemini")],
        ),
        Message("tool", [ResultPart(id="1", name="f", content=[TextPart(text="y")])]),
        Message("user", [TextPart(text="there:")]),
    ]


def test_arguments_are_not_spelled_anew() -> None:
    contents = Contents()
    contents.read(
        Fields(b'{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":  1.50e+2}}}]}')
    )

    (made,) = contents.messages[0].parts
    assert isinstance(made, CallPart)
    assert made.arguments == '{"x":  1.50e+2}'


def call(name: str) -> dict[str, Any]:
    return {"functionCall": {"name": name}}


def answer(name: str) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"result": 5}}}


def test_calls_without_ids_are_answered_in_their_order_by_name() -> None:
    messages = read(
        {"role": "model", "parts": [call("f"), call("g"), call("f")]},
        {"role": "function", "parts": [answer("g"), answer("f"), answer("f"), answer("h")]},
        {"role": "model", "parts": [call("f")]},
        {"role": "tool", "parts": [answer("f")]},
    )
    called = [part.id for part in messages[0].parts if isinstance(part, CallPart)]
    answered = [part.id for part in messages[1].parts if isinstance(part, ResultPart)]

    assert called == ["call_1", "call_2", "call_3"]
    assert answered == ["call_2", "call_1", "call_3", "call_4"]
    assert messages[0].parts[0] == CallPart(id="call_1", name="f", arguments="")
    assert messages[2].parts[0].id == messages[3].parts[0].id == "call_5"  # type: ignore[attr-defined]


def test_an_id_that_was_answered_is_not_answered_again() -> None:
    messages = read(
        {
            "role": "model",
            "parts": [{"functionCall": {"id": i, "name": "f"}} for i in ("a", "b")],
        },
        {
            "parts": [
                {"functionResponse": {"id": "b", "name": "f"}},
                {"functionResponse": {"name": "f"}},
            ]
        },
    )

    assert [part.id for part in messages[1].parts] == ["b", "a"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("response", "text", "error"),
    [
        ({"output": "sunny"}, "sunny", False),
        ({"error": "no such city"}, "no such city", True),
        ({"error": {"code": 1}}, '{"code": 1}', True),
        ({"result": "5"}, '{"result": "5"}', False),
        ({"output": {"a": 1}}, '{"output": {"a": 1}}', False),
        ({"output": '{"a":1}'}, '{"output": "{\\"a\\":1}"}', False),
        ({"output": "x", "more": 1}, '{"output": "x", "more": 1}', False),
        ({}, "{}", False),
    ],
)
def test_what_a_tool_says_is_text(response: dict[str, Any], text: str, error: bool) -> None:
    part = one({"functionResponse": {"name": "f", "response": response}})

    assert part == ResultPart(id="call_1", name="f", content=[TextPart(text=text)], error=error)


def test_a_tool_may_answer_with_an_image() -> None:
    blob = {"mimeType": "image/png", "data": "QUJD", "displayName": "a.png"}
    part = one({"functionResponse": {"name": "f", "parts": [{"inlineData": blob}]}})

    assert isinstance(part, ResultPart)
    (image,) = part.content
    assert isinstance(image, ImagePart)
    assert (image.data, image.media_type) == ("QUJD", "image/png")
    assert {name: bytes(raw) for name, raw in image.extra.items()} == {"displayName": b'"a.png"'}


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (
            {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
            ImagePart(data="QUJD", media_type="image/png"),
        ),
        (
            {"inline_data": {"mime_type": "image/png", "data": "_-8"}},
            ImagePart(data="/+8=", media_type="image/png"),
        ),
        (
            {"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}},
            AudioPart(data="QUJD", media_type="audio/wav"),
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ", "displayName": "a.pdf"}},
            FilePart(data="QQ==", media_type="application/pdf", name="a.pdf"),
        ),
        (
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg"}},
            ImagePart(url="https://example.com/a.jpg", media_type="image/jpeg"),
        ),
        (
            {"fileData": {"fileUri": "https://example.com/a"}},
            FilePart(url="https://example.com/a"),
        ),
        (
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "gs://bucket/a.jpg"}},
            ImagePart(file_id="gs://bucket/a.jpg", media_type="image/jpeg", origin="gemini"),
        ),
        (
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
            FilePart(
                file_id="https://generativelanguage.googleapis.com/v1beta/files/x", origin="gemini"
            ),
        ),
        (
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
            FilePart(file_id="https://www.youtube.com/watch?v=x", origin="gemini"),
        ),
    ],
)
def test_media(said: dict[str, Any], part: Part) -> None:
    assert one(said) == part


def test_a_resolution_is_a_detail() -> None:
    said = {
        "inlineData": {"mimeType": "image/png", "data": "QUJD"},
        "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
    }
    part = one(said)

    assert isinstance(part, ImagePart)
    assert part.detail == "high"
    assert set(part.extra) == {"mediaResolution"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"executableCode": {"language": "PYTHON", "code": "1"}}, "executableCode"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, "codeExecutionResult"),
        ({"toolCall": {"id": "x"}, "thoughtSignature": "QUJD"}, "toolCall"),
        ({"functionCall": {"name": "f", "partialArgs": []}}, "functionCall"),
        ({"functionResponse": {"name": "f", "scheduling": "SILENT"}}, "functionResponse"),
        (
            {
                "fileData": {"fileUri": "gs://a"},
                "videoMetadata": {"startOffset": "1s"},
            },
            "fileData",
        ),
        ({"holographicData": {}}, "holographicData"),
    ],
)
def test_what_only_this_dialect_knows_stays_as_it_is(said: dict[str, Any], kind: str) -> None:
    part = one(said, role="model")

    assert isinstance(part, NativePart)
    assert (part.origin, part.kind) == ("gemini", kind)
    assert msgspec.json.decode(part.raw) == said


def test_a_signature_of_media_is_kept() -> None:
    said = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "QUJD"}

    assert parts(said, role="model")[1] == ThinkingPart(signature="QUJD", origin="gemini")


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"functionCall": {"args": {}}}, "functionCall.name"),
        ({"functionResponse": {"response": {}}}, "functionResponse.name"),
        ({"functionResponse": {"name": "f", "response": "x"}}, "functionResponse.response"),
        ({"inlineData": {"data": "x"}}, "inlineData.mimeType"),
        ({"fileData": {"mimeType": "image/png"}}, "fileData.fileUri"),
        ({"text": 7}, "text"),
        ({"text": "x", "thought": "yes"}, "thought"),
        ({"inlineData": 7}, "inlineData"),
    ],
)
def test_an_error_names_the_part(said: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read({"role": "model", "parts": [{"text": "x"}, said]})
    assert raised.value.param == f"contents[0].parts[1].{param}"
