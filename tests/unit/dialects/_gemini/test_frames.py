"""Streams of both forms, cut into chunks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects._gemini.frames import ArraySplitter, Chunks
from proxy.framing.sse import MAX_FRAME
from proxy.testing.cuts import cuts

ELEMENTS = [
    {"text": 'a "quoted" } ] \\ word'},
    {"deep": {"er": [{"x": [1, 2]}, {}], "s": "\\"}},
    {"é": "\u2028😀"},
    {},
]
COMPACT = json.dumps(ELEMENTS).encode()
AS_GOOGLE_WRITES_IT = b"[" + b"\n,\r\n".join(json.dumps(e, indent=2).encode() for e in ELEMENTS)
WHOLE = AS_GOOGLE_WRITES_IT + b"\n]\n"

values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def split(pieces: list[bytes]) -> tuple[list[Any], bool, str]:
    splitter = ArraySplitter()
    elements = [element for piece in pieces for element in splitter.feed(piece)]
    return list(map(json.loads, elements)), splitter.closed, splitter.wrong


@pytest.mark.parametrize("data", [COMPACT, WHOLE, b" \r\n" + COMPACT + b"  "])
def test_an_array_is_cut_into_its_elements_wherever_it_is_cut(data: bytes) -> None:
    for pieces in cuts(data):
        assert split(pieces) == (ELEMENTS, True, "")


@given(st.lists(st.dictionaries(st.text(max_size=4), values, max_size=4), max_size=4), st.data())
def test_any_array_of_objects_is(elements: list[Any], data: st.DataObject) -> None:
    raw = json.dumps(elements, ensure_ascii=data.draw(st.booleans())).encode()
    at = data.draw(st.integers(0, len(raw)))

    assert split([raw[:at], raw[at:]]) == (elements, True, "")


def test_an_element_comes_out_with_its_last_byte() -> None:
    splitter = ArraySplitter()
    seen = [len(splitter.feed(COMPACT[at : at + 1])) for at in range(len(COMPACT))]

    ends = [at for at, number in enumerate(seen) if number]
    assert [COMPACT[at : at + 1] for at in ends] == [b"}"] * 4
    assert sum(seen) == 4


def test_an_array_that_is_cut_off_is_not_closed() -> None:
    assert split([WHOLE[:-3]]) == (ELEMENTS, False, "")
    assert split([b"["]) == ([], False, "")
    assert split([b""]) == ([], False, "")


def test_an_object_that_stands_alone_is_the_whole_stream() -> None:
    for pieces in cuts(b' {"error": {}} trailing'):
        assert split(pieces) == ([{"error": {}}], True, "")


@pytest.mark.parametrize("data", [b"[1]", b'["a"]', b"[[{}]]", b"nonsense", b"}", b"]", b"[{}}"])
def test_what_is_no_array_of_objects_is_wrong(data: bytes) -> None:
    for pieces in cuts(data):
        _, closed, wrong = split(pieces)
        assert (closed, wrong) == (False, "an array whose elements are no objects")


def test_an_element_has_a_size_that_it_may_have() -> None:
    for pieces in cuts(b'[{"a":1},{"a":"' + b"x" * 20 + b'"}]'):
        splitter = ArraySplitter(max_element=12)
        found = [element for piece in pieces for element in splitter.feed(piece)]
        assert (found, splitter.wrong) == ([b'{"a":1}'], "an element of more than 12 bytes")


def chunks(pieces: list[bytes]) -> tuple[list[bytes], Chunks]:
    stream = Chunks()
    found = [chunk for piece in pieces for chunk in stream.feed(piece)]
    return found, stream


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
def test_events_are_told_from_an_array_by_the_first_byte(ends: bytes, before: bytes) -> None:
    """Trap 15: Google ends its lines in CR LF."""
    data = before + b'data: {"a":1}' + ends + b'data: {"b":2}' + ends
    for pieces in cuts(data):
        found, stream = chunks(pieces)
        assert found == [before + b'data: {"a":1}' + ends, b'data: {"b":2}' + ends]
        assert (stream.is_array, stream.closed, stream.wrong) == (False, False, "")


def test_a_byte_order_mark_may_stand_before_an_array() -> None:
    for pieces in cuts(b'\xef\xbb\xbf\n[{"a":1}]'):
        found, stream = chunks(pieces)
        assert (found, stream.is_array, stream.closed) == ([b'{"a":1}'], True, True)


def test_a_last_frame_may_lack_its_blank_line() -> None:
    _, stream = chunks([b'data: {"a":1}\n\ndata: {"b"', b":2}"])

    assert stream.close() == b'data: {"b":2}'
    assert Chunks().close() == b""
    assert chunks([b"[{}"])[1].close() == b""


def test_what_came_before_a_frame_without_end_comes_out() -> None:
    stream = Chunks()
    found = stream.feed(b"data: {}\n\ndata: " + b"x" * MAX_FRAME)

    assert found == [b"data: {}\n\n"]
    assert stream.wrong == f"a server-sent event of more than {MAX_FRAME} bytes"
