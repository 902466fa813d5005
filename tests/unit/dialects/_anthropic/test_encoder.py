"""Streams of theirs: what their clients are promised of them."""

import json
from typing import Any

from proxy.chat import Chat
from proxy.dialects._anthropic.encoder import StreamEncoder
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.event import Arguments, Begin, Call, End, Event, Other, Stop, Text, Usage, Used

CHAT = Chat(model="asked", messages=[], stream=True)


def frames(data: bytes) -> list[dict[str, Any]]:
    """The data of whole frames, LF only, each with the name that its data says."""
    assert data.endswith(b"\n\n") or not data
    assert b"\r" not in data
    found = []
    for frame in data.split(b"\n\n")[:-1]:
        name, line = frame.split(b"\n")
        found.append(json.loads(line.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


def encode(*events: Event) -> list[dict[str, Any]]:
    encoder = StreamEncoder(CHAT)
    return frames(encoder.feed(events) + encoder.close())


def test_each_event_leaves_at_once() -> None:
    encoder = StreamEncoder(CHAT)

    assert encoder.feed([]) == b""
    (start,) = frames(encoder.feed([Begin(id="i", model="m"), Used(Usage(3, 1))]))
    assert start == {
        "type": "message_start",
        "message": {
            "id": "i",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    }
    assert frames(encoder.feed([Text("a\n\xe9")])) == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "a\n\xe9"},
        },
    ]
    assert len(frames(encoder.feed([Text("b"), Text("c")]))) == 2
    assert frames(encoder.feed([Call(0, "c", "f"), Arguments(0, '{"')])) == [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '{"'},
        },
    ]
    assert frames(encoder.feed([Stop("tool_calls")])) == [
        {"type": "content_block_stop", "index": 1}
    ]
    assert encoder.feed([Used(Usage(4, 9, 1))]) == b""
    assert frames(encoder.feed([End()])) == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 1,
                "output_tokens": 9,
            },
        },
        {"type": "message_stop"},
    ]
    assert encoder.close() == b""


def test_a_stream_that_nobody_ended_ends_with_the_body() -> None:
    kinds = [frame["type"] for frame in encode(Text("a"))]

    assert kinds == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]


def test_a_stream_of_nothing_is_a_message_of_nothing() -> None:
    assert [frame["type"] for frame in encode()] == [
        *("message_start", "message_delta", "message_stop"),
    ]


def test_usage_that_is_never_told_is_none_and_there() -> None:
    # Their clients add to it without looking.
    start, *_, delta, _ = encode(Text("a"), Stop("stop"), End())

    assert start["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert delta["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_own_frames_keep_what_no_event_tells_and_come_after_the_start() -> None:
    tail = {"type": "message_delta", "delta": {"stop_details": None}, "context_management": {}}
    unknown = {"type": "brand_new", "n": 1}
    start, again, delta, _ = encode(
        Begin(),
        Other(json.dumps(unknown).encode(), ORIGIN),
        Other(json.dumps(tail).encode(), ORIGIN),
        Stop("stop"),
        End(),
    )

    assert (start["type"], again) == ("message_start", unknown)
    assert delta["context_management"] == {}
    assert delta["delta"] == {
        "stop_details": None,
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
