"""The chunked decoder: what it delivers, what it refuses, and that cuts never show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing import FramingError
from proxy.framing.chunked import (
    LAST_CHUNK,
    MAX_EXTENSIONS,
    MAX_TRAILERS,
    ChunkedDecoder,
    encode_chunk,
)
from proxy.testing.cuts import cuts

Outcome = tuple[bytes, bool, bytes, str]


def decode(pieces: list[bytes]) -> Outcome:
    """The payload, whether it was the whole body, what came behind it, and what was wrong."""
    decoder = ChunkedDecoder()
    payload = b""
    try:
        for piece in pieces:
            payload += decoder.feed(piece)
    except FramingError as error:
        return payload + error.decoded, False, b"", "refused"
    return payload, decoder.done, decoder.rest, ""


BODIES = [
    (b"", b"", False, b""),
    (LAST_CHUNK, b"", True, b""),
    (b"5\r\nhello\r\n" + LAST_CHUNK, b"hello", True, b""),
    (b"5\r\nhello\r\n6\r\n world\r\n" + LAST_CHUNK, b"hello world", True, b""),
    (
        b"1A\r\n" + b"x" * 26 + b"\r\n1a\r\n" + b"y" * 26 + b"\r\n",
        b"x" * 26 + b"y" * 26,
        False,
        b"",
    ),
    (b"0000000000000001\r\na\r\n000\r\n\r\n", b"a", True, b""),
    (b"5\r\n\r\n0\r\n\r\n" + LAST_CHUNK, b"\r\n0\r\n", True, b""),
    (b"5\r\nhel", b"hel", False, b""),
    (b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello", True, b""),
    (b'5 \t; a = "q\xe9;" \r\nhello\r\n', b"hello", False, b""),
    (b"0\r\nx-sum: 1\r\nX-More:\r\n\r\n", b"", True, b""),
    (LAST_CHUNK + b"HTTP/1.1 200 OK\r\n\r\n", b"", True, b"HTTP/1.1 200 OK\r\n\r\n"),
    (b"ffffffffffffffff\r\nab", b"ab", False, b""),
]


@pytest.mark.parametrize(("raw", "payload", "done", "rest"), BODIES)
def test_a_body_is_decoded(raw: bytes, payload: bytes, done: bool, rest: bytes) -> None:
    for pieces in cuts(raw):
        assert decode(pieces) == (payload, done, rest, "")


FAULTS = [
    (b"x", b""),
    (b"\r\n", b""),
    (b"\n", b""),
    (b" 5\r\nhello\r\n", b""),
    (b"5 \r\nhello\r\n", b""),
    (b"+5\r\nhello\r\n", b""),
    (b"-5\r\nhello\r\n", b""),
    (b"0x5\r\nhello\r\n", b""),
    (b"5_0\r\nhello\r\n", b""),
    (b"5g\r\nhello\r\n", b""),
    (b"5\nhello\r\n", b""),
    (b"5\rhello\r\n", b""),
    (b"5\r\rhello\r\n", b""),
    (b"5,\r\nhello\r\n", b""),
    (b"5;a\nhello\r\n", b""),
    (b"5;a\rb\r\nhello\r\n", b""),
    (b"5;\x00\r\nhello\r\n", b""),
    (b"5;\x7f\r\nhello\r\n", b""),
    (b"00000000000000005\r\nhello\r\n", b""),
    (b"10000000000000000\r\n", b""),
    (b"5\r\nhello!\r\n", b"hello"),
    (b"5\r\nhello\n", b"hello"),
    (b"5\r\nhello\r\r\n", b"hello"),
    (b"5\r\nhello5\r\nworld\r\n", b"hello"),
    (b"5\r\nhello\r\n\r\n", b"hello"),
    (b"2\r\nab\r\n2\r\ncd\r\nzz\r\n", b"abcd"),
    (b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", b"hello"),
    (b"0\r\na b: c\r\n\r\n", b""),
    (b"0\r\n folded: c\r\n\r\n", b""),
    (b"0\r\na: \x00\r\n\r\n", b""),
    (b"0\r\na: b\n\r\n", b""),
    (b"0\r\n\n", b""),
    (b"0\n\n", b""),
]


@pytest.mark.parametrize(("raw", "decoded"), FAULTS)
def test_a_faulty_body_is_refused_and_what_came_before_is_not_lost(
    raw: bytes, decoded: bytes
) -> None:
    for pieces in cuts(raw):
        assert decode(pieces) == (decoded, False, b"", "refused")


def test_a_size_line_that_can_no_longer_become_one_is_not_awaited_to_its_end() -> None:
    with pytest.raises(FramingError, match=r"chunk size line '\{\"id\"' \(expected 1 to 16 hex"):
        ChunkedDecoder().feed(b'{"id"')


def test_extensions_are_limited_in_all() -> None:
    chunk = b"1;" + b"e" * (MAX_EXTENSIONS // 4 - 1) + b"\r\nx\r\n"
    assert decode([chunk * 4]) == (b"xxxx", False, b"", "")
    for pieces in cuts(chunk * 4 + b"1;\r\nx\r\n", random_ways=2):
        assert decode(pieces) == (b"xxxx", False, b"", "refused")
    for pieces in cuts(b"1;" + b"e" * MAX_EXTENSIONS, random_ways=2):
        assert decode(pieces) == (b"", False, b"", "refused")


def test_trailers_are_limited_in_all() -> None:
    line = b"x: " + b"t" * 1019 + b"\r\n"
    fits = b"0\r\n" + line * (MAX_TRAILERS // len(line) - 1)
    last = b"x:" + b"t" * (len(line) - 6) + b"\r\n"
    assert decode([fits + last + b"\r\n"]) == (b"", True, b"", "")
    assert decode([fits + line + b"\r\n"])[3] == "refused"
    assert decode([fits, line, b"\r"])[3] == "refused"
    assert decode([b"0\r\n", *[b"t" * 1024] * 65])[3] == "refused"


def test_payload_is_never_held_back() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"5\r\nhel") == b"hel"
    assert decoder.feed(b"lo") == b"lo"
    assert decoder.feed(b"\r") == b""
    assert decoder.feed(b"\n5\r\nwo") == b"wo"


def test_a_size_cut_in_two_is_not_taken_for_a_shorter_one() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"1") == b""
    assert decoder.feed(b"5\r\nhello\r\n") == b"hello\r\n"
    assert not decoder.whole


def test_what_comes_after_the_end_is_kept() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(LAST_CHUNK + b"a") == b""
    assert decoder.feed(b"bc") == b""
    assert decoder.done
    assert decoder.rest == b"abc"


WHOLE = [
    ([b"5\r\nhello\r\n"], True),
    ([b"5\r\nhello\r\n1\r\nx\r\n"], True),
    ([b"5\r\nhello\r\n", b"1\r\nx\r\n"], True),
    ([b"05\r\nhello\r\n"], True),
    ([b""], False),
    ([b"5\r\nhello\r\n", b""], False),
    ([LAST_CHUNK], False),
    ([b"5\r\nhello\r\n" + LAST_CHUNK], False),
    ([b"5\r\nhello\r\n0\r\n"], False),
    ([b"5;a\r\nhello\r\n"], False),
    ([b"1\r\nx\r\n5;a\r\nhello\r\n"], False),
    ([b"5\r\nhello\r"], False),
    ([b"5\r\nhello"], False),
    ([b"5\r\nhell"], False),
    ([b"5\r\nhello\r\n5"], False),
    ([b"5\r\nhello\r\n5\r\n"], False),
    ([b"5", b"\r\nhello\r\n"], False),
    ([b"5\r\nhell", b"o\r\n1\r\nx\r\n"], False),
    ([b"5\r\nhello", b"\r\n"], False),
    ([b"5\r\nhello\r", b"\n1\r\nx\r\n"], False),
    ([b"5\r\nhello\r", b"\n", b"1\r\nx\r\n"], True),
    ([LAST_CHUNK, b"5\r\nhello\r\n"], False),
]


@pytest.mark.parametrize(("pieces", "whole"), WHOLE)
def test_whether_a_read_is_whole_chunks_and_may_be_passed_on(
    pieces: list[bytes], whole: bool
) -> None:
    decoder = ChunkedDecoder()
    for piece in pieces:
        decoder.feed(piece)
    assert decoder.whole is whole


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 2**32))
def test_what_is_encoded_is_decoded(payloads: list[bytes], seed: int) -> None:
    body = b"".join(map(encode_chunk, payloads)) + LAST_CHUNK
    for pieces in cuts(body, seed=seed):
        assert decode(pieces) == (b"".join(payloads), True, b"", "")


PARTS = [b"5", b"0", b"\r\n", b"\r", b"\n", b"hello", b";a=b", b"x: y", b" ", b"5\r\nhello\r\n"]
anything = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([*PARTS, LAST_CHUNK]), max_size=12).map(b"".join),
)


@given(anything, st.integers(0, 2**32))
def test_whatever_comes_is_decoded_or_refused_wherever_it_is_cut(raw: bytes, seed: int) -> None:
    """Invariant: any bytes decode or raise FramingError, with the same payload however cut."""
    outcomes = {decode(pieces) for pieces in cuts(raw, seed=seed)}
    assert len(outcomes) == 1


@given(anything, st.integers(0, 2**32))
def test_reads_that_are_whole_are_the_encoding_of_their_payload(raw: bytes, seed: int) -> None:
    for pieces in cuts(raw, seed=seed):
        decoder = ChunkedDecoder()
        for piece in pieces:
            try:
                payload = decoder.feed(piece)
            except FramingError:
                break
            if decoder.whole:
                assert decode([piece, LAST_CHUNK]) == (payload, True, b"", "")
                assert b";" not in piece


def test_nothing_is_encoded_as_nothing() -> None:
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
