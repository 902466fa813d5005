"""The messages of a chat of any dialect, as OpenAI's Chat spells them."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Part,
    Quirks,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects.openai_chat.turns import MessageWriter
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import Unsupported
from proxy.exchange import Raw


def write(
    *messages: Message, origin: str = "anthropic_messages", **quirks: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    chat = Chat(model="m", messages=list(messages), origin=origin)
    omissions = Omissions(NAME, reject=False)
    written = MessageWriter(chat, omissions, Quirks(**quirks)).write()
    return json.loads(msgspec.json.encode(written)), omissions.names


def user(*parts: Part, **more: Any) -> Any:
    [message], omitted = write(Message("user", list(parts)), **more)
    assert omitted == []
    return message["content"]


def assistant(*parts: Part, **more: Any) -> dict[str, Any]:
    [message], omitted = write(Message("assistant", list(parts)), **more)
    assert omitted == []
    assert message.pop("role") == "assistant"
    return message


def text(*words: str) -> list[TextPart]:
    return [TextPart(text=word) for word in words]


def test_one_text_is_a_string_and_more_stay_apart() -> None:
    assert user(*text("a")) == "a"
    assert user(*text("a", "b")) == [{"type": "text", "text": x} for x in "ab"]
    assert user() == ""


URL = "https://example.com/a"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ImagePart(url=URL), {"type": "image_url", "image_url": {"url": URL}}),
        (
            ImagePart(data="AA", media_type="image/gif", detail="low"),
            {
                "type": "image_url",
                "image_url": {"url": "data:image/gif;base64,AA", "detail": "low"},
            },
        ),
        (
            AudioPart(data="AA", media_type="audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
        (
            AudioPart(data="AA", media_type="audio/flac"),
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "flac"}},
        ),
        (
            FilePart(data="AA", media_type="application/pdf"),
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA", "filename": "document.pdf"},
            },
        ),
        (FilePart(text="words", name="n"), {"type": "text", "text": "words"}),
        (
            FilePart(file_id="f", origin="openai_responses"),
            {"type": "file", "file": {"file_id": "f"}},
        ),
    ],
)
def test_parts(part: Part, expected: dict[str, Any]) -> None:
    assert user(part) == [expected]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(file_id="f", origin="anthropic_messages"),
        FilePart(file_id="f", origin="anthropic_messages"),
        FilePart(url=URL),
        RefusalPart(text="no"),
    ],
)
def test_parts_that_cannot_be_said_are_refused(part: Part) -> None:
    with pytest.raises(Unsupported) as raised:
        user(part)
    assert raised.value.param == "messages"


def test_names_are_kept() -> None:
    messages, _ = write(Message("user", [*text("a")], "bob"))

    assert messages == [{"role": "user", "content": "a", "name": "bob"}]


def test_an_assistants_turn() -> None:
    calls: list[Part] = [
        CallPart(id="c", name="f", arguments=""),
        CallPart(id="d", name="g", arguments="free", custom=True),
    ]

    assert assistant(*text("a", "b")) == {"content": "ab"}
    assert assistant() == {"content": ""}
    assert assistant(RefusalPart(text="no")) == {"content": None, "refusal": "no"}
    assert assistant(*text("a"), *calls) == {
        "content": "a",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "d", "type": "custom", "custom": {"name": "g", "input": "free"}},
        ],
    }
    assert assistant(calls[0])["content"] is None


def test_arguments_stay_as_they_are() -> None:
    [call] = assistant(CallPart(id="c", name="f", arguments='{"a": 1.50'))["tool_calls"]

    assert call["function"]["arguments"] == '{"a": 1.50'


def test_what_only_this_dialect_says_goes_back_to_it() -> None:
    audio = NativePart(raw=Raw(b'{"id":"a"}'), origin=NAME, kind="audio")
    part = NativePart(raw=Raw(b'{"type":"x"}'), origin=NAME, kind="x")
    hinted = TextPart(text="a", extra={"y": Raw(b"1")})

    assert assistant(audio, part, origin=NAME) == {"content": [{"type": "x"}], "audio": {"id": "a"}}
    assert user(hinted, origin=NAME) == [{"type": "text", "text": "a", "y": 1}]
    assert user(FilePart(url=URL), origin=NAME) == [{"type": "file", "file": {"file_data": URL}}]


HM = ThinkingPart(text="hm")
FOREIGN = ThinkingPart(text="hm", signature="s", origin="anthropic_messages")


@pytest.mark.parametrize("part", [HM, FOREIGN])
def test_reasoning_is_given_back_to_who_takes_it(part: ThinkingPart) -> None:
    # trap 20: nobody gets a signature of another's
    assert write(Message("assistant", [part])) == (
        [{"role": "assistant", "content": ""}],
        ["thinking"],
    )
    given = {"content": "a", "reasoning": "hm"}
    assert assistant(part, *text("a"), reasoning_field="reasoning") == given
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    expected = {"content": [*parts, {"type": "text", "text": "a"}]}
    assert assistant(part, *text("a"), reasoning_field="thinking") == expected


def test_reasoning_that_a_client_of_this_dialect_brings_back_stays() -> None:
    assert assistant(HM, *text("a"), origin=NAME) == {"content": "a", "reasoning_content": "hm"}


def test_signed_reasoning_goes_back_as_it_came() -> None:
    signature = '{"type":"reasoning.text","signature":"s","format":"f"}'
    detail = json.loads(signature) | {"text": "hm", "index": 0}
    part = ThinkingPart(text="hm", signature=signature, origin=NAME)

    assert assistant(part) == {"content": "", "reasoning_details": [detail]}


def test_a_calls_signature_goes_to_who_made_it() -> None:
    call = CallPart(id="c", name="f", arguments="{}", signature="s", origin=NAME)
    [own] = assistant(call)["tool_calls"]
    [foreign] = assistant(msgspec.structs.replace(call, origin="gemini"))["tool_calls"]

    assert own["extra_content"] == {"google": {"thought_signature": "s"}}
    assert "extra_content" not in foreign


def test_each_result_is_a_message() -> None:
    results: list[Part] = [ResultPart(id=x, content=[*text(x)], name="f") for x in "ab"]
    messages, omitted = write(Message("tool", results))

    assert messages == [{"role": "tool", "tool_call_id": x, "content": x} for x in "ab"]
    assert omitted == []
    assert write(Message("tool", [ResultPart(id="a", content=[], error=True)])) == (
        [{"role": "tool", "tool_call_id": "a", "content": ""}],
        ["is_error"],
    )


IMAGE = {"type": "image_url", "image_url": {"url": URL}}


def test_what_is_no_text_in_a_result_goes_to_the_user_message_that_follows() -> None:
    result = Message("tool", [ResultPart(id="a", content=[*text("x"), ImagePart(url=URL)])])
    other = Message("tool", [ResultPart(id="b", content=[*text("y")])])
    answer = Message("assistant", [*text("z")])

    alone, _ = write(result, other, answer)
    assert [message["role"] for message in alone] == ["tool", "tool", "user", "assistant"]
    assert alone[2]["content"] == [IMAGE]
    joined, _ = write(result, Message("user", [*text("z")]))
    assert [message["role"] for message in joined] == ["tool", "user"]
    assert joined[1]["content"] == [IMAGE, {"type": "text", "text": "z"}]
    last, _ = write(result)
    assert last[1] == {"role": "user", "content": [IMAGE]}
    own, _ = write(result, origin=NAME)
    assert own == [
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "x"}, IMAGE]}
    ]


def test_cache_marks_are_spelled_as_the_provider_does() -> None:
    marked = TextPart(text="a", cache="1h")
    control = {"type": "ephemeral", "ttl": "1h"}

    assert write(Message("user", [marked]))[1] == ["cache_control"]
    [part] = user(marked, cache_marks="cache_control")
    assert part == {"type": "text", "text": "a", "cache_control": control}
    [part] = user(marked, cache_marks="prompt_cache_breakpoint")
    assert part["prompt_cache_breakpoint"] == {"mode": "explicit"}
    [part] = user(TextPart(text="a", cache="30m"), cache_marks="prompt_cache_breakpoint")
    assert part["prompt_cache_breakpoint"] == {"mode": "explicit", "ttl": "30m"}
    [part] = user(marked, origin=NAME)
    assert part["cache_control"] == control
    result = Message("tool", [ResultPart(id="a", content=[*text("x")], cache="")])
    [message], _ = write(result, cache_marks="cache_control")
    assert message["content"][0]["cache_control"] == {"type": "ephemeral"}
    call = CallPart(id="c", name="f", arguments="{}", cache="")
    [call_body] = assistant(call, cache_marks="cache_control")["tool_calls"]
    assert call_body["cache_control"] == {"type": "ephemeral"}
