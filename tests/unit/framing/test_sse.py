"""Server-sent events: where frames end, what they say, and that cuts never show."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing import FramingError, sse
from proxy.framing.sse import Frame, FrameSplitter, parse_frame
from proxy.testing.cuts import cuts


def split(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = FrameSplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return frames, splitter.close()


STREAMS = [
    ([], b""),
    ([], b"data: a"),
    ([], b"data: a\n"),
    ([b"data: a\n\n"], b""),
    ([b"data: a\n\n", b"data: b\n\n"], b"data: c\n"),
    ([b"event: x\ndata: a\n\n", b": ping\n\n"], b""),
    ([b"data: a\r\n\r\n", b"data: b\r\n\r\n"], b""),
    ([b"data: a\r\r", b"data: b\r\r"], b""),
    ([b"data: a\rdata: b\r\r"], b"\r"),
    ([b"data: a\n\r\n", b"data: b\r\n\n"], b""),
    ([b"data: a\n\r", b"data: b\n\r"], b"\r"),
    ([b"data: a\r\n\r", b"data: b\n\n"], b""),
    ([b"data: a\r\r", b"\n", b"data: b\n\n"], b""),
    ([b"\n", b"\n", b"data: a\n\n", b"\n"], b""),
    ([b"\r\n", b"\r", b"data: a\r\n\r\n"], b"\r"),
    ([b"\xef\xbb\xbf\ndata: a\n\n"], b""),
    ([b"data: \xe2\x80\xa8 \x0b \x0c \x1c \xc2\x85\n\n"], b""),
]


@pytest.mark.parametrize(("frames", "rest"), STREAMS)
def test_a_stream_is_cut_into_its_frames(frames: list[bytes], rest: bytes) -> None:
    for pieces in cuts(b"".join(frames) + rest):
        assert split(pieces) == (frames, rest)


@pytest.mark.parametrize("raw", [b"data: a\n\n", b"data: a\r\n\r\n", b"data: a\r\r"])
def test_a_frame_is_out_with_its_last_byte(raw: bytes) -> None:
    splitter = FrameSplitter()
    for at in range(len(raw) - 1):
        assert splitter.feed(raw[at : at + 1]) == []
        assert splitter.pending == at + 1
    assert splitter.feed(raw[-1:]) == [raw]
    assert splitter.pending == 0


def test_a_pair_of_cr_and_lf_is_not_torn_apart() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"data: a\r\n\r") == []
    assert splitter.feed(b"\ndata") == [b"data: a\r\n\r\n"]
    assert splitter.close() == b"data"


def test_a_closed_splitter_holds_nothing() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"data: a") == []
    assert splitter.close() == b"data: a"
    assert splitter.close() == b""


def take(pieces: list[bytes], max_frame: int) -> tuple[bytes, str]:
    """All that comes out in frames, and what was wrong."""
    splitter = FrameSplitter(max_frame=max_frame)
    out = b""
    try:
        for piece in pieces:
            out += b"".join(splitter.feed(piece))
    except FramingError as error:
        return out + error.decoded, str(error)
    return out, ""


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_a_frame_longer_than_the_limit_is_refused(ending: bytes) -> None:
    short, fits, long = (b"d" * size + ending for size in (1, 16 - len(ending), 17 - len(ending)))
    for pieces in cuts(short + fits + short):
        assert take(pieces, 16) == (short + fits + short, "")
    for pieces in cuts(short + long + short):
        assert take(pieces, 16) == (short, "a server-sent event of more than 16 bytes")


def test_a_frame_that_never_ends_is_refused_when_it_is_too_long() -> None:
    splitter = FrameSplitter(max_frame=16)
    assert splitter.feed(b"d" * 16) == []
    with pytest.raises(FramingError):
        splitter.feed(b"d")


def test_a_long_frame_is_not_searched_again_for_every_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size, reads = 4096, 2048
    splitter = FrameSplitter()
    searched = 0

    def search(buffer: bytes | bytearray, at: int) -> re.Match[bytes] | None:
        nonlocal searched
        searched += len(buffer) - at
        return original(buffer, at)

    original = sse._find_blank_line
    monkeypatch.setattr(sse, "_find_blank_line", search)
    for _ in range(reads):
        assert splitter.feed(b"d" * size) == []
    assert searched <= reads * (size + 2)
    assert splitter.pending == size * reads


LINES = [b"data: a", b"data:", b"event: e", b": c", b"d", b"\xef\xbb\xbf"]
stream = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([*LINES, b"\n", b"\r", b"\r\n", b"\n\n"]), max_size=16).map(b"".join),
)


@given(stream, st.integers(0, 2**32))
def test_whatever_comes_comes_out_again_in_the_same_frames_wherever_it_is_cut(
    raw: bytes, seed: int
) -> None:
    """Invariant: the frames and the rest are all the bytes fed, and the same however cut."""
    expected = split([raw])
    assert b"".join(expected[0]) + expected[1] == raw
    for pieces in cuts(raw, seed=seed):
        assert split(pieces) == expected


@given(stream, st.integers(0, 2**32))
def test_frames_in_one_run_are_the_frames(raw: bytes, seed: int) -> None:
    """Invariant: wherever it is cut, a run is the frames that `feed` gives, joined."""
    for pieces in cuts(raw, seed=seed):
        one, other = FrameSplitter(), FrameSplitter()
        for piece in pieces:
            assert other.whole(piece) == b"".join(one.feed(piece))
            assert other.pending == one.pending
        assert other.close() == one.close()


def test_a_run_longer_than_a_frame_may_be_is_fine_and_a_frame_is_not() -> None:
    splitter = FrameSplitter(max_frame=10)
    assert splitter.whole(b"data: 1\n\n" * 3) == b"data: 1\n\n" * 3
    with pytest.raises(FramingError):
        splitter.whole(b"data: 1\n\ndata: 12345")


@given(stream)
def test_frames_are_what_the_standard_makes_of_the_stream(raw: bytes) -> None:
    """Against WHATWG's own procedure, line by line over the whole stream."""
    frames, rest = split([raw])
    said = [frame for frame in map(parse_frame, [*frames, rest]) if frame != Frame()]
    lines = re.split(rb"\r\n|\n|\r", raw)
    events, current = [], b""
    for line in lines:
        if line:
            current += line + b"\n"
        else:
            events.append(parse_frame(current))
            current = b""
    events.append(parse_frame(current))
    assert said == [event for event in events if event != Frame()]


FRAMES = [
    (b"data: a\n\n", b"", b"a"),
    (b"data:a\n\n", b"", b"a"),
    (b"data:  a \n\n", b"", b" a "),
    (b"data: a\ndata: b\n\n", b"", b"a\nb"),
    (b"data\ndata:\n\n", b"", b"\n"),
    (b"event: e\r\ndata: a: b\r\n\r\n", b"e", b"a: b"),
    (b"event:e\rdata:a\r\r", b"e", b"a"),
    (b"event: one\nevent: two\n\n", b"two", b""),
    (b": comment\n:data: x\nid: 1\nretry: 2\nDATA: x\n data: x\ndata : x\n\n", b"", b""),
    (b"\xef\xbb\xbfdata: a\n\n", b"", b"a"),
    (b"\ndata: a\n\n", b"", b"a"),
    (b"data: \x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\n\n", b"", b"\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8"),
    (b"data: not ended", b"", b"not ended"),
    (b"\n", b"", b""),
    (b"", b"", b""),
]


@pytest.mark.parametrize(("raw", "event", "data"), FRAMES)
def test_what_a_frame_says(raw: bytes, event: bytes, data: bytes) -> None:
    assert parse_frame(raw) == Frame(event, data)
