"""Usage is found wherever it stands and however it is cut; what was not asked for is taken out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.event import Usage
from proxy.framing import FramingError
from proxy.framing.sse import MAX_FRAME, FrameSplitter
from proxy.framing.usage import UsageStrip, UsageWatch, decode_usage
from proxy.testing import cuts

CHAT = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSES = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
}
BOTH = Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=3)


@pytest.mark.parametrize(
    ("spelled", "usage"),
    [
        (CHAT, BOTH),
        (RESPONSES, BOTH),
        ({"prompt_tokens": 4, "total_tokens": 4}, Usage(input_tokens=4)),
        ({"prompt_tokens": 4, "completion_tokens_details": None}, Usage(input_tokens=4)),
        ({"prompt_tokens": 4, "prompt_tokens_details": 1}, Usage(input_tokens=4)),
        ({"prompt_tokens": 4.5, "completion_tokens": "7"}, Usage()),
        ({"prompt_tokens": -4, "completion_tokens": True}, Usage()),
        ({"prompt_tokens": 10**400, "completion_tokens": 1}, Usage(output_tokens=1)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}},
            Usage(9, cache_write_tokens=4),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, Usage(9, cached_tokens=4)),
        ({"prompt_tokens": 9, "cached_tokens": 4}, Usage(9, cached_tokens=4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "reasoning_tokens": 4},
            Usage(9, 5, reasoning_tokens=4),
        ),
        # As xAI counts, and as everybody else does.
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 17, "reasoning_tokens": 3},
            Usage(9, 8, reasoning_tokens=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "reasoning_tokens": 3},
            Usage(9, 5, reasoning_tokens=3),
        ),
        # One member is not what it should be, and all others count.
        (
            {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "total_tokens": "9"},
            Usage(9, cached_tokens=4),
        ),
    ],
)
def test_what_usage_objects_spell(spelled: dict[str, Any], usage: Usage) -> None:
    assert decode_usage(json.dumps(spelled).encode()) == usage


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"type":"string"}',
        b'{"total_tokens":4}',
        b'[{"prompt_tokens":4}]',
        b'"prompt_tokens"',
    ],
)
def test_what_counts_neither_input_nor_output_spells_no_usage(raw: bytes) -> None:
    assert decode_usage(raw) is None


@pytest.mark.parametrize("raw", [b"{", b'{"a":\xff}', b"{a}", b'{"prompt_tokens":1e999}'])
def test_what_is_no_json_spells_no_usage(raw: bytes) -> None:
    assert decode_usage(raw) is None


def frame(tree: object, ending: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(tree).encode() + ending


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


def watched(pieces: list[bytes]) -> tuple[Usage | None, bytes]:
    watch = UsageWatch()
    passed = b"".join([watch.feed(piece) for piece in pieces])
    return watch.usage, passed + watch.close()


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b"", None),
        (json.dumps({"choices": [], "usage": CHAT}).encode(), BOTH),
        (json.dumps({"choices": [], "usage": CHAT}, indent=2).encode(), BOTH),
        (json.dumps({"usage": RESPONSES, "output": [], "z": {"a": {"b": {}}}}).encode(), BOTH),
        (b'{"usage"\r\n\t :\n {"prompt_tokens" : 4 } }', Usage(input_tokens=4)),
        (b'{"usage":null}', None),
        (b'{"usage":"none","a":{"prompt_tokens":4}}', None),
        (b'{"usage":[{"prompt_tokens":4}]}', None),
        (b'{"usage":{"prompt_tokens":4', None),
        (b'{"usage":{"prompt_tokens":4},"tools":[{"usage":{"type":"string"}}]}', Usage(4)),
        (b'{"usage_x":{"prompt_tokens":4},"xusage":{"prompt_tokens":4}}', None),
        (frame(delta('{"usage":{"prompt_tokens":4}}')) + b"data: [DONE]\n\n", None),
        (frame({"usage": CHAT}) + frame({"usage": None}) + frame(delta("x")), BOTH),
        (frame({"usage": {"prompt_tokens": 1}}) + frame({"usage": CHAT}), BOTH),
        (frame({"usage": CHAT}) + b'data: {"usage":{"prompt_tokens":4', BOTH),
        (frame({"usage": CHAT}) + b'data: {"usage":{"prompt_tokens":x}}\n\n', BOTH),
        (
            frame({"type": "response.completed", "response": {"usage": RESPONSES}}, b"\r\n\r\n"),
            BOTH,
        ),
    ],
)
def test_the_last_usage_is_found_and_nothing_is_changed(body: bytes, usage: Usage | None) -> None:
    for pieces in cuts(body, random_ways=30):
        assert watched(pieces) == (usage, body)


def test_what_nobody_changed_is_the_same_object() -> None:
    watch = UsageWatch()
    for data in (b'{"usage"', b':{"prompt_tokens":1}}', b"x"):
        assert watch.feed(data) is data


def test_a_usage_that_never_ends_is_not_waited_for() -> None:
    watch = UsageWatch()
    watch.feed(b'{"usage":{"a":"')
    for _ in range(17):
        watch.feed(b"x" * 1024)
    watch.feed(b'","prompt_tokens":4}}')
    assert watch.usage is None

    watch.feed(frame({"usage": CHAT}))
    assert watch.usage == BOTH


tokens = st.integers(0, 99)
usages = st.builds(
    lambda a, b, nested: (
        {"prompt_tokens": a, "completion_tokens": b}
        | ({"prompt_tokens_details": {"cached_tokens": 1}} if nested else {})
    ),
    tokens,
    tokens,
    st.booleans(),
)
texts = st.sampled_from(['"usage":{"prompt_tokens":1}', "a", 'é"}\n\n', "\\", "data: ", ""])
endings = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"])
kept = st.one_of(
    st.builds(lambda t: frame(delta(t)), texts),
    st.builds(lambda t, u: frame(delta(t) | {"usage": u}), texts, st.none() | usages),
    st.builds(lambda t, e: frame(delta(t) | {"usage": None}, e), texts, endings),
    st.sampled_from(
        [
            b": ping\n\n",
            b"\n",
            b"data: [DONE]\n\n",
            frame({"choices": [], "prompt_filter_results": []}),
            frame({"choices": [], "usage": None}),
            frame({"choices": [], "usage": {}}),
            frame({"usage": {"prompt_tokens": 3}}),
            frame({"choices": None, "usage": {"prompt_tokens": 3}}),
            b'data: {"usage":{"prompt_tokens":3}\n\n',
            b'event: error\r\ndata: {"error":{"message":"\\"usage\\""}}\r\n\r\n',
        ]
    ),
)
taken = st.builds(lambda u, e: frame({"choices": [], "usage": u}, e), usages, endings)
streams = st.lists(st.tuples(st.booleans(), kept, taken), max_size=8)


@given(streams, st.integers(0, 2**32))
def test_exactly_the_usage_chunks_are_taken_out_wherever_the_bytes_are_cut(
    parts: list[tuple[bool, bytes, bytes]], seed: int
) -> None:
    """Invariant: what leaves is every frame but those with no choice and a usage."""
    stream = b"".join(keep if mine else keep + usage for mine, keep, usage in parts)
    spared = b"".join(keep for _, keep, _ in parts)
    last = None
    for pieces in cuts(stream, seed=seed):
        strip = UsageStrip()
        assert b"".join([strip.feed(piece) for piece in pieces]) + strip.close() == spared
        last = last or strip
        assert strip.usage == last.usage


@given(streams, st.integers(0, 2**32))
def test_where_the_bytes_are_cut_does_not_matter_to_the_watch(
    parts: list[tuple[bool, bytes, bytes]], seed: int
) -> None:
    """Invariant: the same usage is found, and every byte passes."""
    stream = b"".join(keep + usage for _, keep, usage in parts)
    expected = watched([stream])
    assert expected[1] == stream
    for pieces in cuts(stream, seed=seed):
        assert watched(pieces) == expected


def test_a_taken_chunk_is_where_the_usage_comes_from() -> None:
    strip = UsageStrip()
    out = strip.feed(
        frame(delta("x")) + frame({"choices": [], "usage": CHAT}) + b"data: [DONE]\n\n"
    )

    assert out == frame(delta("x")) + b"data: [DONE]\n\n"
    assert strip.usage == BOTH


def test_whole_frames_without_usage_leave_as_the_object_that_came() -> None:
    strip = UsageStrip()
    for data in (
        frame(delta("x")) * 3,
        frame(delta("x") | {"usage": None}),
        frame(delta("x") | {"usage": None}) * 3,
        frame(delta("x") | {"usage": CHAT}),
        b'data: {"choices":[],"usage":null}\r\n\r\n',
    ):
        assert strip.feed(data) is data


def test_the_usage_chunk_is_found_among_many_that_have_none() -> None:
    strip = UsageStrip()
    none = frame(delta("x") | {"usage": None})
    usage = frame({"choices": [], "usage": CHAT})
    assert strip.feed(none * 3 + usage + none) == none * 4
    assert strip.usage == BOTH


def test_a_frame_leaves_as_soon_as_it_is_whole_and_waits_for_no_other() -> None:
    strip = UsageStrip()
    assert strip.feed(frame(delta("a")) + b"data: {") == frame(delta("a"))
    assert strip.feed(b"}\n") == b""
    assert strip.feed(b"\ndata: ") == b"data: {}\n\n"
    assert strip.close() == b"data: "


@given(streams, st.integers(0, 2**32))
def test_what_is_sent_on_are_whole_frames(
    parts: list[tuple[bool, bytes, bytes]], seed: int
) -> None:
    """Invariant: as `whole_frames` says, each feed returns frames that have ended."""
    assert UsageStrip.whole_frames
    for pieces in cuts(b"".join(keep + usage for _, keep, usage in parts), seed=seed):
        strip, splitter = UsageStrip(), FrameSplitter()
        for piece in pieces:
            splitter.feed(strip.feed(piece))
            assert not splitter.pending


def test_a_frame_without_end_is_refused() -> None:
    strip = UsageStrip()
    with pytest.raises(FramingError):
        strip.feed(b"d" * (MAX_FRAME + 1))
