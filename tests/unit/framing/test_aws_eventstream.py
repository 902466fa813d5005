"""AWS's event-stream framing, against botocore's own and against what breaks it."""

import contextlib
import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing import FramingError
from proxy.framing.aws_eventstream import MAX_PAYLOAD, EventStreamDecoder, Message, encode_message
from proxy.testing import cuts

HEADERS = {":event-type": "contentBlockDelta", ":message-type": "event"}
ONE = encode_message(HEADERS, b'{"a":1}')
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
messages = st.builds(
    Message, st.dictionaries(names, st.text(max_size=40), max_size=4), st.binary(max_size=200)
)


def test_a_message_comes_back_as_it_was_framed() -> None:
    assert EventStreamDecoder().feed(ONE) == [Message(HEADERS, b'{"a":1}')]


@given(messages)
def test_botocore_reads_what_is_framed_here(message: Message) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(message.headers, message.payload))
    [read] = list(buffer)

    assert read.headers == message.headers
    assert read.payload == message.payload


@given(st.lists(messages, max_size=4))
def test_where_it_is_cut_does_not_matter(sent: list[Message]) -> None:
    data = b"".join(encode_message(each.headers, each.payload) for each in sent)
    for pieces in cuts(data, random_ways=2):
        decoder = EventStreamDecoder()
        assert [message for piece in pieces for message in decoder.feed(piece)] == sent
        assert decoder.pending == 0


def test_half_a_message_is_pending() -> None:
    decoder = EventStreamDecoder()

    assert decoder.feed(ONE[:20]) == []
    assert decoder.pending == 20
    assert decoder.feed(ONE[20:]) == [Message(HEADERS, b'{"a":1}')]


def test_a_long_message_is_not_looked_at_again_for_each_piece_of_it() -> None:
    long = encode_message(HEADERS, bytes(MAX_PAYLOAD))
    decoder = EventStreamDecoder()
    read = [decoder.feed(long[at : at + 4096]) for at in range(0, len(long), 4096)]

    assert [len(messages) for messages in read] == [0] * (len(read) - 1) + [1]
    assert decoder.pending == 0


def test_long_headers_are_read_like_others() -> None:
    headers = {"a": "x" * 40_000, "b": "y" * 50_000}

    assert EventStreamDecoder().feed(encode_message(headers, b"z")) == [Message(headers, b"z")]


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def test_headers_of_other_types_are_passed_over() -> None:
    headers = (
        b"\x01a\x00"  # true
        b"\x01b\x04\x00\x00\x00\x01"  # an integer
        b"\x01c\x06\x00\x02xy"  # bytes
        b"\x01d\x07\x00\x01z"  # a string
        b"\x01e\x08" + bytes(8) + b"\x01f\x09" + bytes(16)  # a time, a UUID
    )

    assert EventStreamDecoder().feed(framed(headers)) == [Message({"d": "z"}, b"")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (bytes([ONE[0] ^ 1]) + ONE[1:], "prelude"),
        (ONE[:-1] + bytes([ONE[-1] ^ 1]), "does not match its checksum"),
        (ONE[:14] + bytes([ONE[14] ^ 1]) + ONE[15:], "does not match its checksum"),
        (framed(b"\x01a\x63"), "cannot be read"),
        (framed(b"\x05a"), "cannot be read"),
        (framed(b"\x01a\x07\x00\x09z"), "midst"),
        (framed(b"\x01a\x07\x00"), "midst"),
        (framed(b"\x01\xff\x00"), "cannot be read"),
    ],
)
def test_what_is_broken_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(FramingError, match=problem) as raised:
        EventStreamDecoder().feed(ONE + ONE + data)
    assert raised.value.decoded == ONE + ONE

    pieces = [ONE + data[:5], *(data[at : at + 1] for at in range(5, len(data)))]
    decoder = EventStreamDecoder()
    assert len(decoder.feed(pieces.pop(0))) == 1
    with pytest.raises(FramingError, match=problem):
        [decoder.feed(piece) for piece in pieces]


@pytest.mark.parametrize(("total", "headers"), [(1 << 31, 0), (1 << 20, 1 << 19), (10, 0), (20, 9)])
def test_lengths_beyond_the_limits_are_refused_before_anything_is_held(
    total: int, headers: int
) -> None:
    prelude = struct.pack("!II", total, headers)
    with pytest.raises(FramingError, match="a message of"):
        EventStreamDecoder().feed(prelude + struct.pack("!I", zlib.crc32(prelude)))


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(FramingError):
        EventStreamDecoder().feed(data)
