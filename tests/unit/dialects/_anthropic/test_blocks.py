"""Blocks of a request, read as parts of a message."""

import json
from typing import Any

import pytest

from proxy.chat import (
    CallPart,
    FilePart,
    ImagePart,
    NativePart,
    Part,
    Raw,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._anthropic.blocks import read_content
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.errors import BadRequest

MARK = {"type": "ephemeral", "ttl": "1h"}
PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}


def read(*blocks: Any) -> list[Part]:
    return read_content([Raw(json.dumps(block).encode()) for block in blocks], "content")


def test_a_text_is_one_part() -> None:
    assert read_content("hi", "content") == [TextPart(text="hi")]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, TextPart(text="a")),
        ({"type": "text", "text": "a", "cache_control": None}, TextPart(text="a")),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            TextPart(text="a", cache=""),
        ),
        ({"type": "text", "text": "a", "cache_control": MARK}, TextPart(text="a", cache="1h")),
        ({"type": "text", "text": "a", "citations": None}, TextPart(text="a")),
        ({"type": "text", "text": "a", "citations": []}, TextPart(text="a")),
        ({"type": "image", "source": PNG}, ImagePart(data="AAAA", media_type="image/png")),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/a"}},
            ImagePart(url="https://x/a"),
        ),
        (
            {"type": "image", "source": {"type": "file", "file_id": "f"}, "cache_control": MARK},
            ImagePart(file_id="f", origin=ORIGIN, cache="1h"),
        ),
        (
            {"type": "document", "title": "t", "source": {**PNG, "media_type": "application/pdf"}},
            FilePart(data="AAAA", media_type="application/pdf", name="t"),
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
            },
            FilePart(text="x", media_type="text/plain"),
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
            FilePart(url="https://x/a.pdf"),
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            FilePart(file_id="f", origin=ORIGIN),
        ),
        (
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            ThinkingPart(text="hm", signature="s", origin=ORIGIN),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, ThinkingPart(text="hm")),
        (
            {"type": "thinking", "thinking": "", "signature": "~gemini~s"},
            ThinkingPart(signature="s", origin="gemini"),
        ),
        (
            {"type": "redacted_thinking", "data": "d"},
            ThinkingPart(signature="d", origin=ORIGIN, redacted=True),
        ),
        (
            {"type": "redacted_thinking", "data": "~openai_responses~d"},
            ThinkingPart(signature="d", origin="openai_responses", redacted=True),
        ),
        (
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            CallPart(id="c", name="f", arguments="{}"),
        ),
        (
            {"type": "tool_result", "tool_use_id": "c", "content": "x"},
            ResultPart(id="c", content=[TextPart(text="x")]),
        ),
        ({"type": "tool_result", "tool_use_id": "c"}, ResultPart(id="c", content=[])),
        (
            {
                "type": "tool_result",
                "tool_use_id": "c",
                "is_error": True,
                "cache_control": MARK,
                "content": [{"type": "text", "text": "x"}, {"type": "image", "source": PNG}],
            },
            ResultPart(
                id="c",
                content=[TextPart(text="x"), ImagePart(data="AAAA", media_type="image/png")],
                error=True,
                cache="1h",
            ),
        ),
    ],
)
def test_each_block_has_its_part(block: dict[str, Any], part: Part) -> None:
    assert read(block) == [part]


def test_arguments_keep_their_spelling() -> None:
    raw = Raw(
        b'{"type":"tool_use","id":"c","name":"f","input":{ "n": 1.0e2, "b":12345678901234567890}}'
    )
    (part,) = read_content([raw], "content")

    assert isinstance(part, CallPart)
    assert part.arguments == '{ "n": 1.0e2, "b":12345678901234567890}'


@pytest.mark.parametrize(
    ("block", "extra"),
    [
        ({"type": "text", "text": "a", "citations": [{"type": "x"}]}, "citations"),
        ({"type": "image", "source": PNG, "transformations": {"a": 1}}, "transformations"),
        (
            {
                "type": "document",
                "source": {"type": "url", "url": "u"},
                "citations": {"enabled": True},
            },
            "citations",
        ),
        (
            {"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": {"type": "direct"}},
            "caller",
        ),
        ({"type": "tool_result", "tool_use_id": "c", "toolset_name": "t"}, "toolset_name"),
    ],
)
def test_hints_of_a_block_are_kept(block: dict[str, Any], extra: str) -> None:
    (part,) = read(block)

    assert {name: json.loads(bytes(raw)) for name, raw in part.extra.items()} == {
        extra: block[extra]
    }


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "server_tool_use", "id": 1}, "server_tool_use"),
        ({"type": "search_result", "source": "x"}, "search_result"),
        ({"type": "image", "source": {"type": "hologram"}}, "image of hologram"),
        ({"type": "document", "source": {"type": "content"}}, "document of content"),
        (
            {"type": "document", "source": {"type": "url", "url": "u"}, "context": "c"},
            "document with a context",
        ),
    ],
)
def test_what_no_other_dialect_can_say_stays_as_it_is(block: dict[str, Any], kind: str) -> None:
    (part,) = read(block)

    assert isinstance(part, NativePart)
    assert (json.loads(bytes(part.raw)), part.origin, part.kind) == (block, ORIGIN, kind)


def test_what_a_provider_wants_back_with_a_call_is_the_calls_again() -> None:
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    (part,) = read({"type": "redacted_thinking", "data": "~gemini+call~sig"}, call)

    assert part == CallPart(id="c", name="f", arguments="{}", signature="sig", origin="gemini")
    assert len(read({"type": "redacted_thinking", "data": "~gemini~sig"}, call)) == 2
    assert len(read({"type": "thinking", "thinking": "", "signature": "~gemini+call~s"}, call)) == 2


@pytest.mark.parametrize(
    ("block", "words", "param"),
    [
        (1, "expected `object`, got `int`", "content.0"),
        ({}, "object missing required field `type`", "content.0"),
        ({"type": "text"}, "object missing required field `text`", "content.0"),
        ({"type": "text", "text": 1}, "expected `str`, got `int`", "content.0.text"),
        ({"type": "image", "source": "x"}, "expected `object`, got `str`", "content.0.source"),
        ({"type": "image", "source": {"type": "url"}}, "missing required", "content.0.source.url"),
        (
            {"type": "image", "source": {"type": "base64", "data": "A"}},
            "missing required",
            "content.0.source.media_type",
        ),
        (
            {"type": "document", "source": {"type": "text"}},
            "missing required",
            "content.0.source.data",
        ),
        (
            {"type": "tool_use", "id": "c", "name": "f", "input": "{}"},
            "expected `object`",
            "content.0.input",
        ),
        ({"type": "tool_result", "content": "x"}, "`tool_use_id`", "content.0"),
        (
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text"}]},
            "`text`",
            "content.0.content.0",
        ),
    ],
)
def test_what_no_provider_would_take_is_named(block: Any, words: str, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(block)

    assert words in str(raised.value)
    assert raised.value.param == param
