"""What each object of a response means."""

import json
from typing import Any

import pytest

from proxy.dialects._anthropic.reader import Reader, read_answer
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.errors import BadResponse, ProviderOverloaded, ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Other,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def read(*objects: dict[str, Any]) -> list[Event]:
    reader = Reader()
    return [event for each in objects for event in reader.read(dump(each))]


def told(*objects: dict[str, Any]) -> list[Event]:
    """The events that other dialects have use for."""
    return [event for event in read(*objects) if not isinstance(event, Other)]


def start(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(kind: str, index: int = 0, **members: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": f"{kind}_delta", **members},
    }


def stop(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


TEXT = {"type": "text", "text": ""}
THINKING = {"type": "thinking", "thinking": "", "signature": ""}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}


def test_a_message_begins_with_what_is_known_of_it() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}
    message = {"id": "msg_1", "model": "m", "usage": {**usage, "service_tier": "standard"}}
    head = {"type": "message_start", "message": message}

    assert read(head) == [
        Begin(id="msg_1", model="m", service_tier="default"),
        Other(dump(head), ORIGIN),
        Used(Usage(input_tokens=7, output_tokens=1, cached_tokens=4)),
    ]
    assert told({"type": "message_start", "message": {}}) == [Begin()]
    assert told({"type": "message_start", "message": {"usage": None}}) == [Begin()]
    assert told({"type": "message_delta", "usage": None}) == []


def test_text_and_thinking_come_as_they_are_written() -> None:
    assert told(
        start(THINKING),
        delta("thinking", thinking="h"),
        delta("thinking", thinking=""),
        delta("thinking", thinking="m"),
        delta("signature", signature="sig"),
        stop(),
        start({"type": "redacted_thinking", "data": "d"}, 1),
        stop(1),
        start(TEXT, 2),
        delta("text", 2, text=""),
        delta("text", 2, text="hi"),
        stop(2),
    ) == [
        Thinking("h"),
        Thinking("m"),
        Signature("sig", ORIGIN),
        Signature("d", ORIGIN, redacted=True),
        Text("hi"),
    ]


def test_calls_are_counted_apart_from_the_blocks_they_stand_in() -> None:
    assert told(
        start(TEXT),
        stop(),
        start(USE, 1),
        delta("input_json", 1, partial_json=""),
        delta("input_json", 1, partial_json='{"a'),
        delta("input_json", 1, partial_json='":1}'),
        stop(1),
        start({**USE, "id": "b"}, 2),
        delta("input_json", 2, partial_json=""),
        stop(2),
        start({**USE, "id": "c", "input": {"x": 1}}, 3),
        stop(3),
    ) == [
        Call(0, "a", "f"),
        Arguments(0, '{"a'),
        Arguments(0, '":1}'),
        Call(1, "b", "f"),
        Arguments(1, "{}"),
        Call(2, "c", "f"),
        Arguments(2, '{"x":1}'),
    ]


def test_deltas_find_their_call_by_the_index_of_its_block() -> None:
    # Trap of those who key them by the call that began last.
    assert told(
        start(USE, 0),
        start({**USE, "id": "b"}, 1),
        delta("input_json", 0, partial_json="{}"),
        delta("input_json", 1, partial_json="[]"),
    )[2:] == [Arguments(0, "{}"), Arguments(1, "[]")]


@pytest.mark.parametrize(
    ("cited", "citation"),
    [
        (
            {"type": "char_location", "cited_text": "q", "document_title": "t"},
            {"title": "t", "quote": "q"},
        ),
        (
            {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "q"},
            {"url": "u", "title": "t", "quote": "q"},
        ),
        (
            {"type": "search_result_location", "source": "s", "title": None},
            {"url": "s"},
        ),
    ],
)
def test_citations_are_told_and_kept(cited: dict[str, Any], citation: dict[str, str]) -> None:
    expected = Citation(**citation, raw=dump(cited), origin=ORIGIN)  # type: ignore[arg-type]

    assert told(start(TEXT), delta("citations", citation=cited)) == [expected]
    assert told(start({**TEXT, "text": "a", "citations": [cited]})) == [Text("a"), expected]


def test_what_the_provider_did_itself_stays_in_its_own_words() -> None:
    search = start({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    query = delta("input_json", partial_json='{"q":1}')
    unknown = {"type": "brand_new", "n": 1}

    assert read(search, query, stop(), unknown) == [
        *(Other(dump(search), ORIGIN), Other(dump(query), ORIGIN)),
        *(Other(dump(stop()), ORIGIN), Other(dump(unknown), ORIGIN)),
    ]


def test_what_a_block_has_beyond_its_kind_is_told_beside_it() -> None:
    called = start({**USE, "caller": {"type": "direct"}})

    assert read(called) == [Other(dump(called), ORIGIN), Call(0, "a", "f")]
    assert read(start(USE)) == [Call(0, "a", "f")]
    cited = start({**TEXT, "citations": []})
    assert read(cited) == [Other(dump(cited), ORIGIN)]


def test_usage_is_cumulative_and_what_is_absent_stays() -> None:
    head = {"message": {"usage": {"input_tokens": 9, "output_tokens": 1}}, "type": "message_start"}
    assert told(
        head,
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}},
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 8, "output_tokens": 7}},
        {"type": "message_delta", "delta": {}},
    )[1:] == [Used(Usage(9, 1)), Used(Usage(9, 5)), Used(Usage(8, 7))]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop_sequence"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "context"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("never_seen", "stop"),
    ],
)
def test_each_stop_reason_is_understood(word: str, reason: Any) -> None:
    sequence = "x" if word == "stop_sequence" else None
    said = {"stop_reason": word, "stop_sequence": sequence}

    assert told({"type": "message_delta", "delta": said}) == [
        Stop(reason, native=word, sequence=sequence)
    ]
    assert told({"type": "message_delta", "delta": {"stop_reason": None}}) == []


def test_nothing_counts_after_the_end() -> None:
    assert read({"type": "message_stop"}, start(USE), {"type": "message_stop"}) == [End()]


def test_pings_say_nothing() -> None:
    assert read({"type": "ping"}) == []


def test_an_error_in_the_stream_is_a_failure_with_the_providers_words() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    (failure,) = read(error, start(USE))

    assert isinstance(failure, Failure)
    assert (type(failure.error), str(failure.error)) == (ProviderOverloaded, "busy")


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"type":1}',
        b'{"type":"content_block_start","index":0}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":1}}',
        b'{"type":"content_block_delta","index":"0","delta":{"type":"text_delta"}}',
        b'{"type":"message_start","message":[]}',
        b'{"type":"text\xff"}',
        b'{"type":"message_start","message":{"odd\xff":1}}',
        b'{"type":"x","a":' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_fails_and_ends_it(data: bytes) -> None:
    reader = Reader()
    (failure,) = reader.read(data)

    assert isinstance(failure, Failure)
    assert type(failure.error) is BadResponse
    assert reader.read(dump({"type": "message_stop"})) == []


def test_blocks_that_never_began_are_read_by_what_they_say() -> None:
    assert told(
        delta("text", text="a"),
        delta("thinking", thinking="b"),
        delta("signature", signature="c"),
        delta("input_json", partial_json="{}"),
    ) == [Text("a"), Thinking("b"), Signature("c", ORIGIN)]


ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        {"type": "tool_use", "id": "d", "name": "f", "input": {"n": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


def test_a_whole_answer_has_the_events_of_a_stream() -> None:
    events = [event for event in read_answer(dump(ANSWER)) if not isinstance(event, Other)]

    assert events == [
        Begin(id="msg_1", model="m"),
        Used(Usage(1, 2)),
        Thinking("hm"),
        Signature("s", ORIGIN),
        Text("a"),
        Call(0, "c", "f"),
        Arguments(0, "{}"),
        Call(1, "d", "f"),
        Arguments(1, '{"n":1}'),
        Stop("tool_calls", native="tool_use"),
        End(),
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BadResponse),
        (b"{", BadResponse),
        (b"[]", BadResponse),
        (b"{}", BadResponse),
        (b'{"content":"x"}', BadResponse),
        (b'{"content":[],"odd\xff":1}', BadResponse),
        (b'{"content":[1]}', BadResponse),
        (b'{"content":[{"type":"tool_use","input":"\xff"}]}', BadResponse),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', ProviderOverloaded),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes, kind: type[ProxyError]) -> None:
    with pytest.raises(kind):
        read_answer(body)
