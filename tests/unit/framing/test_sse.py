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


# The cases of the web platform's own tests of event streams (eventsource/format-*), and what a
# browser makes of each: the type and the data of every event that it dispatches.

LONG = b"x" * 2000
STANDARD: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "bom": (b"\xef\xbb\xbfdata:1\n\ndata:3\n\n", [(b"", b"1"), (b"", b"3")]),
    "two boms": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n",
        [(b"", b"2"), (b"", b"3")],
    ),
    "comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:%b\rdata:3\n:data:fail\r:%b\ndata:4\n\n" % (LONG, LONG),
        [(b"", b"1\n2\n3\n4")],
    ),
    "data before the final empty line": (b"retry:1000\ndata:test1\n\nid:test\n", [(b"", b"test1")]),
    "field data": (b"data:\ndata\n\ndata:test\n\n", [(b"", b"\n"), (b"", b"test")]),
    "field event": (b"event:test\ndata:x\n\ndata:x\n\n", [(b"test", b"x"), (b"", b"x")]),
    "field event, empty": (b"event: \ndata:data\n\n", [(b"", b"data")]),
    "field event, again empty": (b"event:a\nevent:\ndata:data\n\n", [(b"", b"data")]),
    "field id": (b"id: \xe2\x80\xa6\ndata:1\n\ndata:2\n\n", [(b"", b"1"), (b"", b"2")]),
    "field id, twice": (b"id\ndata:1\n\nid:2\nid\ndata:3\n\n", [(b"", b"1"), (b"", b"3")]),
    "field id, null": (b"id:a\0b\ndata:1\n\n", [(b"", b"1")]),
    "field parsing": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n"
        b" data:32\ndata:4\n\n",
        [(b"", b"\0\n 2\n1\n3\n\n4")],
    ),
    "field retry": (b"retry:3000\ndata:x\n\n", [(b"", b"x")]),
    "field retry, bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", [(b"", b"x")]),
    "field retry, empty": (b"retry\ndata:test\n\n", [(b"", b"test")]),
    "field unknown": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n",
        [(b"", b"test\n")],
    ),
    "leading space": (b"data:\ttest\rdata: \ndata:test\n\n", [(b"", b"\ttest\n\ntest")]),
    "newlines": (b"data:test\r\ndata\ndata:test\r\n\r", [(b"", b"test\n\ntest")]),
    "null character": (b"data:\0\n\n\n\n", [(b"", b"\0")]),
    "utf-8": (b"data:ok\xe2\x80\xa6\n\n", [(b"", b"ok\xe2\x80\xa6")]),
    "a comment alone": (b":\n\n: a\n\ndata:1\n\n", [(b"", b"1")]),
    "no data, no event": (b"event:a\nid:1\n\ndata:1\n\n", [(b"", b"1")]),
    "mixed line ends": (
        b"data:1\n\r\ndata:2\r\rdata:3\r\n\n",
        [(b"", b"1"), (b"", b"2"), (b"", b"3")],
    ),
    "a colon in data": (b"data:a:b\ndata: :\n\n", [(b"", b"a:b\n:")]),
    "only a field's name": (b"data\ndata\n\n", [(b"", b"\n")]),
    "many empty lines": (b"\n\n\r\n\rdata:1\n\n\n\ndata:2\n\n", [(b"", b"1"), (b"", b"2")]),
}


def dispatched(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    frames, rest = split(pieces)
    read = [parse_frame(frame) for frame in [*frames, rest]]
    return [(frame.event, frame.data) for frame in read if frame.data]


@pytest.mark.parametrize(("raw", "events"), STANDARD.values(), ids=STANDARD)
def test_event_streams_are_read_as_browsers_read_them(
    raw: bytes, events: list[tuple[bytes, bytes]]
) -> None:
    for pieces in cuts(raw):
        assert dispatched(pieces) == events


@pytest.mark.parametrize(
    ("raw", "browsers", "here"),
    [
        # A provider's last event may lack its blank line, and it is as good as the others.
        (b"data:1\n\ndata:2", [(b"", b"1")], [(b"", b"1"), (b"", b"2")]),
        # A stream may be made of several; no API has a field whose name begins like this.
        (b"data:1\n\n\xef\xbb\xbfdata:2\n\n", [(b"", b"1")], [(b"", b"1"), (b"", b"2")]),
        # An event that says nothing means nothing.
        (b"data:\n\ndata:1\n\n", [(b"", b""), (b"", b"1")], [(b"", b"1")]),
    ],
)
def test_where_they_are_read_otherwise(
    raw: bytes, browsers: list[tuple[bytes, bytes]], here: list[tuple[bytes, bytes]]
) -> None:
    for pieces in cuts(raw):
        assert dispatched(pieces) == here != browsers
