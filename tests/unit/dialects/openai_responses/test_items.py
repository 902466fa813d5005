"""The input of a request, item by item."""

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
)
from proxy.dialects._openai.fields import Fields
from proxy.dialects.openai_responses.items import Conversation
from proxy.dialects.openai_responses.wire import NAME, encrypted_content, pack
from proxy.errors import BadRequest
from proxy.exchange import Raw


def read(*items: dict[str, Any]) -> list[Message]:
    conversation = Conversation()
    for at, item in enumerate(items):
        fields = {name: Raw(json.dumps(value).encode()) for name, value in item.items()}
        conversation.add(Fields(fields, f"input[{at}]"))
    return conversation.messages


def parts(*items: dict[str, Any]) -> list[Part]:
    [message] = read(*items)
    return message.parts


@pytest.mark.parametrize(
    ("role", "neutral"),
    [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant")],
)
def test_messages(role: str, neutral: str) -> None:
    for item in ({"role": role, "content": "x"}, {"type": "message", "role": role, "content": "x"}):
        [message] = read(item)
        assert message == Message(neutral, [TextPart(text="x")])  # type: ignore[arg-type]


URL = "https://example.com/a"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "input_text", "text": "x"}, TextPart(text="x")),
        (
            {"type": "output_text", "text": "x", "annotations": [1], "logprobs": []},
            TextPart(text="x"),
        ),
        ({"type": "refusal", "refusal": "no"}, RefusalPart(text="no")),
        (
            {"type": "input_image", "image_url": URL, "detail": "low"},
            ImagePart(url=URL, detail="low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AA"},
            ImagePart(media_type="image/png", data="AA"),
        ),
        ({"type": "input_image", "file_id": "f"}, ImagePart(file_id="f", origin=NAME)),
        ({"type": "input_file", "file_url": URL, "filename": "n"}, FilePart(url=URL, name="n")),
        ({"type": "input_file", "file_id": "f"}, FilePart(file_id="f", origin=NAME)),
        (
            {"type": "input_file", "file_data": "data:text/csv;base64,AA"},
            FilePart(data="AA", media_type="text/csv"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            AudioPart(data="AA", media_type="audio/wav"),
        ),
        (
            {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
            TextPart(text="x", cache=""),
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: Part) -> None:
    assert parts({"role": "user", "content": [part]}) == [expected]


def test_parts_that_only_this_dialect_knows_are_kept_whole() -> None:
    part = {"type": "computer_screenshot", "x": 1}
    [found] = parts({"role": "user", "content": [part]})

    assert isinstance(found, NativePart)
    assert (found.kind, found.origin, json.loads(bytes(found.raw))) == (part["type"], NAME, part)


def test_what_the_assistant_did_without_a_break_is_one_message() -> None:
    found = read(
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg",
            "status": "completed",
            "content": "x",
        },
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "free"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {
            "type": "custom_tool_call_output",
            "call_id": "d",
            "output": [{"type": "input_text", "text": "2"}],
        },
        {"role": "assistant", "content": "y"},
    )

    assert found == [
        Message(
            "assistant",
            [
                ThinkingPart(signature=pack("rs", "e"), origin=NAME),
                TextPart(text="x"),
                CallPart(id="c", name="f", arguments="{}"),
                CallPart(id="d", name="g", arguments="free", custom=True),
            ],
        ),
        Message("tool", [ResultPart(id="c", content=[TextPart(text="1")])]),
        Message("tool", [ResultPart(id="d", content=[TextPart(text="2")])]),
        Message("assistant", [TextPart(text="y")]),
    ]


def reasoning(**fields: Any) -> list[Part]:
    return parts({"type": "reasoning", "id": "rs", "summary": []} | fields)


def test_reasoning() -> None:
    summary = [{"type": "summary_text", "text": text} for text in "ab"]
    content = [{"type": "reasoning_text", "text": text} for text in "cd"]

    assert reasoning() == []
    assert reasoning(summary=summary) == [ThinkingPart(text="a\n\nb")]
    assert reasoning(summary=summary, content=content) == [ThinkingPart(text="cd")]


@pytest.mark.parametrize("redacted", [False, True])
def test_what_a_provider_of_another_dialect_signed_comes_back(redacted: bool) -> None:
    kept = encrypted_content("s", "anthropic_messages", redacted=redacted)
    [found] = reasoning(encrypted_content=kept)

    expected = ThinkingPart(signature="s", origin="anthropic_messages", redacted=redacted)
    assert found == expected


@pytest.mark.parametrize("kind", ["item_reference", "web_search_call", "mcp_call", "compaction"])
def test_items_that_only_this_dialect_knows_are_kept_whole(kind: str) -> None:
    item = {"type": kind, "id": "i", "x": [1]}
    [found] = parts(item)

    assert isinstance(found, NativePart)
    assert (found.kind, json.loads(bytes(found.raw))) == (kind, item)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({}, "type"),
        ({"type": "message"}, "role"),
        ({"role": "tool", "content": "x"}, "role"),
        ({"role": "user", "content": [{}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "content[0].file_id"),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:x,y"}]},
            "content[0].image_url",
        ),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "content[0].input_audio"),
        ({"type": "function_call", "name": "f"}, "call_id"),
        ({"type": "function_call", "call_id": "c"}, "name"),
        ({"type": "function_call_output", "output": "x"}, "call_id"),
    ],
)
def test_what_no_provider_would_take_is_named(item: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(item)
    assert raised.value.param == f"input[0].{param}"
