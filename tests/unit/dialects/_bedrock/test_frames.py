"""What the messages of Bedrock's streams say."""

import pytest

from proxy.dialects._bedrock.frames import FrameDecoder, event_frame, exception_frame
from proxy.event import Event, Failure, Text
from proxy.framing.aws_eventstream import encode_message
from proxy.testing import cuts


class Told(FrameDecoder):
    """Tells the payload of each event, and ends with one that is called so."""

    def _read(self, kind: str, payload: bytes) -> list[Event]:
        self._over = kind == "end"
        return [Text(f"{kind}:{payload.decode()}")]


def told(*pieces: bytes) -> list[Event]:
    decoder = Told()
    return [event for piece in pieces for event in decoder.feed(piece)]


A, B = event_frame("a", 1), event_frame("b", "x")


def test_each_event_is_read_until_one_is_the_last() -> None:
    stream = A + B + event_frame("end", None) + A
    for pieces in cuts(stream, random_ways=5):
        assert told(*pieces) == [Text("a:1"), Text('b:"x"'), Text("end:null")]


def test_a_message_without_a_message_type_is_an_event() -> None:
    assert told(encode_message({":event-type": "a"}, b"1")) == [Text("a:1")]


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (exception_frame(b'{"message":"m"}'), "provider.broke", "m"),
        (
            encode_message(
                {":message-type": "exception", ":exception-type": "throttlingException"},
                b'{"message":"slow down"}',
            ),
            "provider.rate_limited",
            "slow down",
        ),
        (
            encode_message(
                {":message-type": "exception", ":exception-type": "modelStreamErrorException"},
                b'{"originalStatusCode":500,"originalMessage":"inner"}',
            ),
            "provider.broke",
            "inner",
        ),
        (
            encode_message({":message-type": "exception", ":exception-type": "x"}, b"{"),
            "provider.broke",
            "the provider failed: x",
        ),
        (
            encode_message(
                {":message-type": "error", ":error-code": "x", ":error-message": "words"}, b""
            ),
            "provider.broke",
            "words",
        ),
        (encode_message({}, b""), "provider.broke", "the provider failed: "),
    ],
)
def test_what_is_no_event_ends_it_with_the_providers_words(
    message: bytes, code: str, words: str
) -> None:
    first, failure = told(A + message + B)

    assert first == Text("a:1")
    assert isinstance(failure, Failure)
    assert (failure.error.code, str(failure.error)) == (code, words)


def test_what_comes_before_a_fault_is_told_wherever_it_is_cut() -> None:
    stream = A + B + b"\xff" * 40
    for pieces in cuts(stream, random_ways=5):
        *before, failure = told(*pieces, A)
        assert before == [Text("a:1"), Text('b:"x"')]
        assert isinstance(failure, Failure)
        assert failure.error.code == "provider.bad_response"


def test_a_payload_that_cannot_be_read_ends_it() -> None:
    message = encode_message({":event-type": "a"}, b"\xff")
    first, failure = told(A + message + A)

    assert first == Text("a:1")
    assert isinstance(failure, Failure)
    assert failure.error.code == "provider.bad_response"
