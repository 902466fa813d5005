"""Converse's streams: cut anywhere, broken anywhere, and what is made of events."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from proxy.chat import Chat
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.dialects.bedrock_converse.stream import message
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Media,
    Other,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.framing.aws_eventstream import encode_message
from proxy.testing import cuts

DIALECT = BedrockConverse()
CHAT = Chat(model="m", messages=[], stream=True)
ORIGIN = DIALECT.name
USAGE = Usage(9, 5, cached_tokens=4)
EVENTS: list[Event] = [
    Begin(),
    Thinking("h\xe9"),
    Signature("sig", ORIGIN),
    Text("\U0001f600 "),
    Text("a"),
    Call(0, "c", "f"),
    Arguments(0, '{"n":'),
    Arguments(0, "1}"),
    Call(1, "d", "g"),
    Arguments(1, "{}"),
    Stop("tool_calls", native="tool_use"),
    Used(USAGE),
    End(),
]


def decode(*pieces: bytes) -> list[Event]:
    decoder = DIALECT.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def encode(events: list[Event]) -> bytes:
    encoder = DIALECT.encoder(CHAT)
    return encoder.feed(events) + encoder.close()


STREAM = encode(EVENTS)


def test_what_is_encoded_is_decoded_to_the_same() -> None:
    assert decode(STREAM) == EVENTS


def test_where_it_is_cut_does_not_matter() -> None:
    for pieces in cuts(STREAM, random_ways=5):
        assert decode(*pieces) == EVENTS


def test_a_stream_that_is_cut_off_is_a_prefix_without_an_end() -> None:
    rng = random.Random(1)
    for _ in range(50):
        events = decode(STREAM[: rng.randrange(len(STREAM))])
        # Converse stops, and only then counts: what lacks the count alone has ended, too.
        assert events in (EVENTS[: len(events)], [*EVENTS[: len(events) - 1], End()])
    short = decode(STREAM[: len(STREAM) // 2])
    assert not any(isinstance(event, End) for event in short)


def test_botocore_reads_blocks_that_stand_one_after_the_other() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    kinds = []
    indices = []
    for each in buffer:
        kinds.append(each.headers[":event-type"])
        payload = json.loads(each.payload)
        if "contentBlockIndex" in payload:
            indices.append(payload["contentBlockIndex"])

    assert kinds[0] == "messageStart"
    assert kinds[-2:] == ["messageStop", "metadata"]
    assert kinds.count("contentBlockStart") == 2
    assert indices == sorted(indices)
    assert kinds.count("contentBlockStop") == 4


def test_interleaved_calls_come_one_after_the_other() -> None:
    events: list[Event] = [
        Call(0, "a", "f"),
        Call(1, "b", "g"),
        Arguments(0, '{"x":'),
        Arguments(1, '{"y":'),
        Arguments(0, "1}"),
        Arguments(1, "2}"),
        Stop("tool_calls"),
    ]
    found = [event for event in decode(encode(events)) if isinstance(event, Call | Arguments)]

    assert found == [
        Call(0, "a", "f"),
        Arguments(0, '{"x":'),
        Arguments(0, "1}"),
        Call(1, "b", "g"),
        Arguments(1, '{"y":'),
        Arguments(1, "2}"),
    ]


def test_an_event_goes_out_at_once() -> None:
    encoder = DIALECT.encoder(CHAT)

    assert encoder.feed([Begin()])
    for _ in range(3):
        assert encoder.feed([Text("a")])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "provider.rate_limited"),
        ("serviceUnavailableException", "provider.overloaded"),
        ("modelStreamErrorException", "provider.broke"),
    ],
)
def test_an_exception_in_the_midst_ends_it(kind: str, code: str) -> None:
    headers = {":message-type": "exception", ":exception-type": kind}
    [*_, last] = decode(message("contentBlockDelta", {}) + encode_message(headers, b"{}") + STREAM)

    assert isinstance(last, Failure)
    assert last.error.code == code


def test_an_error_without_a_type_of_its_own_ends_it_as_well() -> None:
    headers = {":message-type": "error", ":error-code": "x", ":error-message": "words"}
    [failure] = decode(encode_message(headers, b""))

    assert isinstance(failure, Failure)
    assert str(failure.error) == "words"


@pytest.mark.parametrize(
    "data",
    [
        STREAM[:4] + b"\xff" + STREAM[5:],
        encode_message({":event-type": "contentBlockDelta"}, b"{"),
        message("messageStop", {"stopReason": "malformed_model_output"}),
    ],
)
def test_what_cannot_be_read_is_a_failure_and_nothing_follows(data: bytes) -> None:
    [failure] = decode(data, STREAM)

    assert isinstance(failure, Failure)
    assert failure.error.code == "provider.bad_response"


def test_what_is_new_is_passed_over() -> None:
    events = decode(
        message("somethingNew", {"a": 1}),
        message("contentBlockStart", {"start": {"new": {}}, "contentBlockIndex": 7}),
        message("contentBlockDelta", {"delta": {"new": 1}, "contentBlockIndex": 7}),
        message("contentBlockDelta", {"delta": {"toolUse": {"input": "x"}}}),
        message("contentBlockDelta", {"delta": {"image": {"source": {"bytes": "AA=="}}}}),
        message("messageStop", {"stopReason": "new_reason"}),
    )

    assert [type(event) for event in events] == [Other, Media, Stop, End]
    assert events[2] == Stop("stop", "new_reason")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_fail(data: bytes) -> None:
    for event in decode(data):
        assert isinstance(event, Event)


def recorded(cassettes: Path) -> Iterator[tuple[str, bytes]]:
    for line in (cassettes / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if (row["kind"], row["stream"], row["status"]) == ("converse", "aws-eventstream", 200):
            yield row["id"], (cassettes / "bodies" / row["resp_body"]).read_bytes()


def test_recorded_streams_say_the_same_however_they_are_cut(cassettes: Path) -> None:
    streams = list(recorded(cassettes))
    assert len(streams) > 10
    for id, response in streams:
        events = decode(response)
        assert type(events[-1]) is End, id
        assert any(isinstance(event, Used) for event in events), id
        for pieces in cuts(response, random_ways=2):
            assert decode(*pieces) == events, id


def _joined(events: list[Event]) -> list[Event]:
    used = [event for event in events if isinstance(event, Used)]
    others = [event for event in events if not isinstance(event, Used)]
    return [*others, *used]


def test_recorded_streams_are_told_again(cassettes: Path) -> None:
    for id, response in recorded(cassettes):
        events = [event for event in decode(response) if type(event) is not Other]
        # Usage comes last here, and a provider may send a block of its own between two texts.
        assert _joined(decode(encode(events))) == _joined(events), id
