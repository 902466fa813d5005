"""Converse's streams, cut anywhere and broken anywhere."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.chat import Chat
from proxy.dialects._bedrock.frames import event_frame as message
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
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
    assert decode(message("contentBlockDelta", {"delta": {"reasoningContent": {}}})) == []
    assert events[2] == Stop("stop", "new_reason")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    start = {"start": {"toolUse": {"toolUseId": "a", "name": "f"}}, "contentBlockIndex": 1}
    empty = {"delta": {"toolUse": {"input": ""}}, "contentBlockIndex": 1}

    assert decode(
        message("contentBlockStart", start),
        message("contentBlockDelta", empty),
        message("contentBlockStop", {"contentBlockIndex": 1}),
        message("contentBlockStop", {"contentBlockIndex": 1}),
    ) == [Call(0, "a", "f"), Arguments(0, "{}")]


def test_what_the_provider_calls_itself_is_no_call() -> None:
    use = {"toolUseId": "a", "name": "search", "type": "server_tool_use"}

    assert (
        decode(
            message("contentBlockStart", {"start": {"toolUse": use}, "contentBlockIndex": 0}),
            message(
                "contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 0}
            ),
            message("contentBlockStop", {"contentBlockIndex": 0}),
        )
        == []
    )


def test_an_image_has_the_format_that_its_block_began_with() -> None:
    assert decode(
        message(
            "contentBlockStart", {"start": {"image": {"format": "jpeg"}}, "contentBlockIndex": 2}
        ),
        message(
            "contentBlockDelta",
            {"delta": {"image": {"source": {"bytes": "AA=="}}}, "contentBlockIndex": 2},
        ),
    ) == [Media("image/jpeg", "AA==")]


def test_redacted_thinking_and_citations_are_told() -> None:
    cited = {"title": "T", "source": "s", "sourceContent": [{"text": "q"}]}

    assert decode(
        message("contentBlockDelta", {"delta": {"reasoningContent": {"redactedContent": "r"}}}),
        message("contentBlockDelta", {"delta": {"citation": cited}}),
    ) == [
        Signature("r", ORIGIN, redacted=True),
        Citation(
            url="s",
            title="T",
            quote="q",
            raw=json.dumps(cited, separators=(",", ":")).encode(),
            origin=ORIGIN,
        ),
    ]


def test_a_stop_sequence_is_told_where_the_model_says_which() -> None:
    met = {
        "stopReason": "stop_sequence",
        "additionalModelResponseFields": {"stop_sequence": "###"},
    }

    assert decode(message("messageStop", met))[0] == Stop("stop_sequence", "stop_sequence", "###")


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
