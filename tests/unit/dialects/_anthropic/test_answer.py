"""Whole answers of theirs, put together from events."""

import json
from typing import Any

import pytest

from proxy.chat import Chat
from proxy.dialects._anthropic.answer import AnswerEncoder
from proxy.dialects._anthropic.reader import read_answer
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Other,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

CHAT = Chat(model="asked", messages=[])


def answer(*events: Event) -> Any:
    return json.loads(AnswerEncoder(CHAT).answer(events))


def native(**members: Any) -> Other:
    return Other(json.dumps(members).encode(), ORIGIN)


def test_an_answer_has_its_blocks_whole() -> None:
    assert answer(
        Begin(id="i", model="m", service_tier="default"),
        Thinking("h"),
        Thinking("m"),
        Signature("s", ORIGIN),
        Text("a"),
        Text("b"),
        Citation(raw=b'{"type":"x"}', origin=ORIGIN),
        Citation(raw=b'{"type":"y"}', origin=ORIGIN),
        Call(0, "c", "f"),
        Arguments(0, '{"n":'),
        Arguments(0, "1}"),
        Call(1, "d", "f"),
        Stop("tool_calls"),
        Used(Usage(1, 2)),
        End(),
    ) == {
        "id": "i",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "ab", "citations": [{"type": "x"}, {"type": "y"}]},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"n": 1}},
            {"type": "tool_use", "id": "d", "name": "f", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard"},
    }


def test_an_answer_of_nothing_is_one() -> None:
    assert answer()["content"] == []


def test_arguments_keep_their_spelling() -> None:
    body = AnswerEncoder(CHAT).answer([Call(0, "c", "f"), Arguments(0, '{ "n": 1.0e2 }')])

    assert b'"input":{ "n": 1.0e2 }' in body


@pytest.mark.parametrize("text", ['{"a":', "[1]", "words", "{}}"])
def test_arguments_that_are_no_object_are_shown_for_what_they_are(text: str) -> None:
    (block,) = answer(Call(0, "c", "f"), Arguments(0, text))["content"]

    assert block["input"] == {"INVALID_JSON": text}


def test_own_blocks_of_a_stream_are_put_together() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "content": [{"n": 1.5}]}
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"q"', ":1}")]
    content = answer(
        native(type="content_block_start", content_block=search),
        *(native(type="content_block_delta", delta=piece) for piece in pieces),
        native(type="content_block_stop"),
        native(type="content_block_start", content_block=found),
        native(type="content_block_stop"),
        native(type="content_block_start", content_block={"type": "text", "citations": []}),
        Text("a"),
        Citation(raw=b"{}", origin=ORIGIN),
        native(type="brand_new"),
    )["content"]

    assert content == [
        {**search, "input": {"q": 1}},
        found,
        {"type": "text", "text": "a", "citations": [{}]},
    ]


def test_own_members_of_the_ending_are_members_of_the_message() -> None:
    body = answer(
        native(type="message_start", message={"diagnostics": {}, "usage": {"speed": "fast"}}),
        native(
            type="message_delta",
            delta={"container": {"id": "c"}},
            usage={"iterations": [], "output_tokens": 0},
            context_management={"applied_edits": []},
        ),
        Used(Usage(1, 2)),
    )

    assert body["diagnostics"] == {}
    assert body["container"] == {"id": "c"}
    assert body["context_management"] == {"applied_edits": []}
    assert body["usage"] == {
        "speed": "fast",
        "input_tokens": 1,
        "output_tokens": 2,
        "iterations": [],
    }


def test_a_stop_reason_that_is_not_known_is_told_again() -> None:
    body = b'{"content":[],"stop_reason":"brand_new","usage":{"input_tokens":1}}'

    assert answer(*read_answer(body))["stop_reason"] == "brand_new"
