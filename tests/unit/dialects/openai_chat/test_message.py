"""The messages of a request."""

import json
from typing import Any

import pytest

from proxy.chat import (
    AudioPart,
    CallPart,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Part,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
    seal,
)
from proxy.dialects._openai.fields import Fields
from proxy.dialects.openai_chat.message import Turns
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import BadRequest
from proxy.exchange import Raw


def read(*messages: dict[str, Any]) -> list[Message]:
    turns = Turns()
    for at, message in enumerate(messages):
        fields = {name: Raw(json.dumps(value).encode()) for name, value in message.items()}
        turns.add(Fields(fields, f"messages[{at}]"))
    return turns.messages


def parts(**message: Any) -> list[Part]:
    return read({"role": "user"} | message)[0].parts


@pytest.mark.parametrize(
    ("role", "neutral"),
    [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant")],
)
def test_roles(role: str, neutral: str) -> None:
    [message] = read({"role": role, "content": "x", "name": "n"})

    assert message == Message(neutral, [TextPart(text="x")], "n")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, "", []])
def test_content_may_be_nothing(content: object) -> None:  # trap 12
    assert parts(content=content) == []
    assert read({"role": "assistant"})[0].parts == []


URL = "https://example.com/a.png"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "x"}, TextPart(text="x")),
        ({"type": "image_url", "image_url": {"url": URL}}, ImagePart(url=URL)),
        ({"type": "image_url", "image_url": URL}, ImagePart(url=URL)),
        (
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,AA", "detail": "low"},
            },
            ImagePart(media_type="image/png", data="AA", detail="low"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
            AudioPart(data="AA", media_type="audio/mpeg"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            AudioPart(data="AA", media_type="audio/wav"),
        ),
        (
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
            },
            FilePart(media_type="application/pdf", data="AA", name="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "AA", "filename": "a.csv"}},
            FilePart(media_type="text/csv", data="AA", name="a.csv"),
        ),
        (
            {"type": "file", "file": {"file_data": "AA"}},
            FilePart(media_type="application/pdf", data="AA"),
        ),
        ({"type": "file", "file": {"file_data": URL}}, FilePart(url=URL)),
        ({"type": "file", "file": {"file_id": "f"}}, FilePart(file_id="f", origin=NAME)),
        ({"type": "refusal", "refusal": "no"}, RefusalPart(text="no")),
        ({"type": "thinking", "thinking": "hm"}, ThinkingPart(text="hm")),
        (
            {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}]},
            ThinkingPart(text="hm"),
        ),
        (
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
            TextPart(text="x", cache=""),
        ),
        (
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "x", "ttl": "30m"}},
            TextPart(text="x", cache="30m"),
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: Part) -> None:
    assert parts(content=[part]) == [expected]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": URL}},
        {"type": "input_audio", "input_audio": "AA"},
    ],
)
def test_parts_that_only_this_dialect_knows_are_kept_whole(part: dict[str, Any]) -> None:
    [found] = parts(content=[part])

    assert isinstance(found, NativePart)
    assert (found.origin, found.kind, json.loads(bytes(found.raw))) == (NAME, part["type"], part)


def test_unknown_fields_of_a_part_are_hints() -> None:
    [part] = parts(content=[{"type": "text", "text": "x", "y": 1, "z": None}])

    assert {name: bytes(raw) for name, raw in part.extra.items()} == {"y": b"1"}


def test_a_mark_on_a_message_is_one_on_the_last_part() -> None:
    found = parts(content=[{"type": "text", "text": x} for x in "ab"], cache_control={})

    assert [part.cache for part in found] == [None, ""]


def called(identifier: str | None = "c", **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": "f", "arguments": "{"},
    } | more


def test_an_assistants_turn() -> None:
    [message] = read(
        {
            "role": "assistant",
            "content": "x",
            "refusal": "no",
            "reasoning_content": "hm",
            "audio": {"id": "a"},
            "tool_calls": [
                called(),
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "free"}},
            ],
        }
    )
    thinking, text, refusal, audio, call, custom = message.parts

    assert thinking == ThinkingPart(text="hm")
    assert (text, refusal) == (TextPart(text="x"), RefusalPart(text="no"))
    assert isinstance(audio, NativePart)
    assert (audio.kind, bytes(audio.raw)) == ("audio", b'{"id": "a"}')
    assert call == CallPart(id="c", name="f", arguments="{")
    assert custom == CallPart(id="d", name="g", arguments="free", custom=True)


@pytest.mark.parametrize(("kept", "origin"), [("s", NAME), (seal("s", "gemini", NAME), "gemini")])
def test_a_calls_signature_comes_back(kept: str, origin: str) -> None:
    extra = {"google": {"thought_signature": kept}}
    [call] = parts(role="assistant", tool_calls=[called(extra_content=extra)])

    assert call == CallPart(id="c", name="f", arguments="{", signature="s", origin=origin)


def thoughts(**message: Any) -> list[Part]:
    return parts(role="assistant", **message)


def test_reasoning_comes_back_in_any_field() -> None:
    plain = [ThinkingPart(text="hm")]

    assert thoughts(reasoning="hm") == plain
    assert thoughts(reasoning_content="hm", reasoning="hm") == plain
    assert thoughts(reasoning_details=[{"type": "reasoning.text", "text": "hm"}]) == plain
    assert thoughts(reasoning_details=[{"type": "reasoning.summary", "summary": "hm"}]) == plain
    assert thoughts(reasoning_details=[], reasoning="") == []


def test_what_a_provider_of_another_dialect_signed_comes_back() -> None:
    signed = {
        "type": "reasoning.text",
        "text": "hm",
        "signature": "~anthropic_messages~s",
        "index": 0,
    }
    hidden = {"type": "reasoning.encrypted", "data": "~anthropic_messages~d", "index": 1}
    expected = [
        ThinkingPart(text="hm", signature="s", origin="anthropic_messages"),
        ThinkingPart(signature="d", origin="anthropic_messages", redacted=True),
    ]

    assert thoughts(reasoning_details=[signed, hidden], reasoning_content="hm") == expected
    del signed["text"]
    assert thoughts(reasoning_details=[signed, hidden], reasoning_content="hm") == expected


def test_what_a_provider_of_this_dialect_signed_comes_back_as_it_was() -> None:
    detail = {"type": "reasoning.encrypted", "data": "d", "id": "i", "format": "f", "index": 0}
    [words, hidden] = thoughts(reasoning_details=[detail], reasoning="hm")

    assert words == ThinkingPart(text="hm")
    assert isinstance(hidden, ThinkingPart)
    del detail["index"]
    assert (hidden.origin, hidden.redacted, json.loads(hidden.signature)) == (NAME, True, detail)


def test_results() -> None:
    [message] = read({"role": "tool", "tool_call_id": "c", "content": "x", "name": "f"})

    result = ResultPart(id="c", content=[TextPart(text="x")], name="f")
    assert message == Message("tool", [result])


def test_functions_of_old_and_their_results_get_ids() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"role": "assistant", "function_call": {"name": name, "arguments": "{}"}}

    def result(name: str) -> dict[str, Any]:
        return {"role": "function", "name": name, "content": "x"}

    found = read(call("f"), result("f"), call("f"), result("f"))
    first, answer, second, other = (message.parts[0] for message in found)
    assert isinstance(first, CallPart)
    assert isinstance(second, CallPart)
    assert isinstance(answer, ResultPart)
    assert isinstance(other, ResultPart)
    assert (first.id, second.id) == (answer.id, other.id)
    assert first.id != second.id != ""


def test_calls_without_ids_are_answered_in_their_order() -> None:
    calls = [called(""), called(None)]
    found = read(
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "", "content": "1"},
        {"role": "tool", "content": "2"},
    )
    made = [part.id for part in found[0].parts if isinstance(part, CallPart)]
    named = [message.parts[0].id for message in found[1:]]  # type: ignore[attr-defined]

    assert made == named
    assert len(set(made)) == 2


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({}, "role"),
        ({"role": "other"}, "role"),
        ({"role": "user", "content": 1}, "content"),
        ({"role": "user", "content": [{}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "content[0].image_url"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": "data:x,y"}]},
            "content[0].image_url.url",
        ),
        ({"role": "user", "content": [{"type": "file"}]}, "content[0].file"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "content[0].file.file_id"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, "tool_calls[0].function.name"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
    ],
)
def test_what_no_provider_would_take_is_named(message: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(message)
    assert raised.value.param == f"messages[0].{param}"
