"""Streams in both forms, to events and back."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.chat import Chat
from proxy.dialects._gemini.stream import StreamDecoder, StreamEncoder
from proxy.errors import BadResponse, ProviderOverloaded
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
    call_id,
)
from proxy.testing.cuts import cuts

CHUNKS: list[dict[str, Any]] = [
    {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}], "role": "model"}}],
        "usageMetadata": {"promptTokenCount": 3},
        "modelVersion": "m",
        "responseId": "r",
    },
    {"candidates": [{"content": {"parts": [{"text": 'Hé "} ]\u2028😀'}], "role": "model"}}]},
    {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": [1]}}}]}}]},
    {
        "candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
    },
]
EVENTS = [
    Begin("r", "m"),
    Thinking("hm", summary=True),
    Used(Usage(3)),
    Text('Hé "} ]\u2028😀'),
    Call(0, call_id("r", 0, 0), "f"),
    Arguments(0, '{"a": [1]}'),
    Used(Usage(3, 4)),
    Stop("tool_calls", "STOP"),
    End(),
]


INDENTED = [Arguments(0, '{"a":[1]}') if type(e) is Arguments else e for e in EVENTS]
"""Arguments that have lines come without them: they would be sent back and forth."""


def as_events(ends: str = "\r\n\r\n", *, ascii: bool = False) -> bytes:
    return "".join(
        f"data: {json.dumps(chunk, ensure_ascii=ascii)}{ends}" for chunk in CHUNKS
    ).encode()


def as_array(indent: int | None = 2) -> bytes:
    return ("[" + "\n,\r\n".join(json.dumps(c, indent=indent) for c in CHUNKS) + "\n]").encode()


def decode(pieces: list[bytes], *, close: bool = True) -> list[Event]:
    decoder = StreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close() if close else events


@pytest.mark.parametrize(
    "data", [as_events(), as_events("\n\n"), as_events(ascii=True), as_events("\r\r")]
)
def test_events_are_read_wherever_they_are_cut(data: bytes) -> None:
    """Trap 15: CR LF, and characters cut in two."""
    for pieces in cuts(data):
        assert decode(pieces) == EVENTS


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_wherever_it_is_cut(indent: int | None) -> None:
    for pieces in cuts(as_array(indent)):
        assert decode(pieces) == (EVENTS if indent is None else INDENTED)


def test_a_text_comes_out_with_its_frame() -> None:
    decoder = StreamDecoder()
    frames = as_events().split(b"\r\n\r\n")[:-1]

    assert [len(decoder.feed(frame + b"\r\n\r\n")) for frame in frames] == [3, 1, 2, 1]
    assert decoder.close() == EVENTS[-2:]


def test_an_array_that_ends_has_no_need_of_the_end_of_the_body() -> None:
    assert decode([as_array()], close=False)[-1] == End()


@pytest.mark.parametrize("data", [as_events(), as_array(None)])
def test_a_stream_that_is_cut_off_is_a_prefix_without_an_end(data: bytes) -> None:
    """Trap 8."""
    last = data.rindex(b'"finishReason"')
    for at in range(0, last, 7):
        events = decode([data[:at]])
        assert events == EVENTS[: len(events)]
        assert End() not in events


def test_an_array_without_its_bracket_is_cut_off() -> None:
    assert decode([as_array(None)[:-1]]) == EVENTS[:-2]


def test_a_last_frame_may_lack_its_blank_line() -> None:
    for kept in (as_events()[:-2], as_events()[:-4]):
        assert decode([kept]) == EVENTS


def test_half_a_frame_is_no_failure() -> None:
    assert decode([b'data: {"candidates":[{"content"']) == []


def test_what_is_no_chunk_says_nothing() -> None:
    """Comments, pings, a [DONE] that a gateway added: trap 4 in the other direction."""
    noise = b": ping\n\n\n\nid: 7\n\nretry: 10\n\nevent: x\n\n"

    assert decode([noise + as_events() + b"data: [DONE]\n\n"]) == EVENTS


def test_a_frame_may_have_its_data_in_several_lines() -> None:
    data = as_events("\n\n").replace(b', "role"', b',\ndata:  "role"')

    assert decode([data]) == EVENTS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"data: DONE\n\n", "holds what is no response of Gemini's"),
        (b"data: {\n\n", "holds what is no response of Gemini's"),
        (b'data: {"candidates":7}\n\n', "holds what is no response of Gemini's"),
        (b"[1", "holds an array whose elements are no objects"),
        (b'[{"candidates":7}', "holds what is no response of Gemini's"),
    ],
)
def test_what_cannot_be_read_is_a_failure_and_the_last(data: bytes, words: str) -> None:
    for pieces in cuts(data):
        (failure,) = decode([*pieces, as_events()])
        assert isinstance(failure, Failure)
        assert type(failure.error) is BadResponse
        assert words in str(failure.error)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}\r\n\r\n',
        b',\r\n{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]',
        b'{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}',
    ],
)
def test_an_error_in_the_midst_is_a_failure_and_the_last(data: bytes) -> None:
    """Trap 13."""
    before = b"" if data.startswith(b"{") else as_events()
    before = b"[" + json.dumps(CHUNKS[0]).encode() if data.startswith(b",") else before
    for pieces in cuts(before + data, random_ways=2):
        events = decode([*pieces, as_events()])
        assert isinstance(events[-1], Failure)
        assert type(events[-1].error) is ProviderOverloaded
        assert sum(isinstance(event, Failure) for event in events) == 1


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from([b"", b"data: {", b"[{"]))
def test_bytes_are_read_or_are_a_failure(pieces: list[bytes], start: bytes) -> None:
    events = decode([start, *pieces])

    assert all(not isinstance(event, Failure) for event in events[:-1])


# Encoding.


def encoder(*, array: bool = False) -> StreamEncoder:
    return StreamEncoder(Chat(model="asked", messages=[], stream=True, array=array))


def encode(*events: Event, array: bool = False) -> bytes:
    made = encoder(array=array)
    return made.feed(events) + made.close()


def said(*events: Event) -> list[Any]:
    data = encode(*events)
    assert data.endswith(b"\n\n")
    frames = data.split(b"\n\n")[:-1]
    assert all(frame.startswith(b"data: {") and b"\n" not in frame for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def parts(*events: Event) -> list[Any]:
    """The parts of each chunk but the last."""
    return [chunk["candidates"][0]["content"]["parts"] for chunk in said(*events)[:-1]]


def test_a_stream_of_text() -> None:
    """Traps 4, 6 and 15: whole frames, ended by LF, nothing that Gemini does not send."""
    assert encode(
        Begin("r", "m", 1757664949),
        Text("He"),
        Text('"l\n'),
        Text(""),
        Stop("stop", "end_turn"),
        Used(Usage(3, 4)),
        End(),
    ) == (
        b'data: {"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"},"index":0}],'
        b'"createTime":"2025-09-12T08:15:49Z","modelVersion":"m","responseId":"r"}\n\n'
        b'data: {"candidates":[{"content":{"parts":[{"text":"\\"l\\n"}],"role":"model"},'
        b'"index":0}],"modelVersion":"m","responseId":"r"}\n\n'
        b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0,'
        b'"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,'
        b'"candidatesTokenCount":4,"totalTokenCount":7},"modelVersion":"m","responseId":"r"}\n\n'
    )


def test_a_stream_that_is_an_array() -> None:
    events = [Begin(), Text("a"), Text("b"), Stop("stop"), End()]
    made = encoder(array=True)
    written = [made.feed([event]) for event in events]

    assert written[0] == b""
    assert written[1].startswith(b'[{"candidates"')
    assert written[2].startswith(b',\n{"candidates"')
    assert made.close() == b"]"
    assert len(json.loads(encode(*events, array=True))) == 3
    assert encode(array=True) == b"[]"


def test_each_delta_is_passed_on_at_once() -> None:
    made = encoder()
    events = [
        *(Begin(), Text("a"), Thinking("b"), Text("c", 1), Text("d"), Media("image/png", "QQ==")),
        *(Refusal("e"), Signature("QQ==", "gemini")),
    ]

    assert [made.feed([event]).count(b"\n\n") for event in events] == [0, 1, 1, 1, 1, 1, 1, 1]


def test_every_chunk_has_a_part() -> None:
    """Google's chats forget a turn that had a chunk without any."""
    chunks = said(
        Begin(),
        Text("a"),
        Call(0, "x", "f"),
        Logprobs([Logprob("a", 0.0)]),
        Stop("tool_calls"),
        Stop("stop", choice=1),
        End(),
    )

    assert all(
        candidate["content"]["parts"] for chunk in chunks for candidate in chunk["candidates"]
    )


def test_a_call_is_written_once_it_is_whole() -> None:
    made = encoder()
    held = made.feed([Call(0, "a", "f"), Arguments(0, '{"x":'), Arguments(0, "1.50}")])
    next_call = made.feed([Call(1, "b", "g")])
    rest = made.feed([Arguments(1, "{}"), Stop("tool_calls"), End()])

    assert held == b""
    assert b'"functionCall":{"name":"f","args":{"x":1.50},"id":"a"}' in next_call
    assert b'"functionCall":{"name":"g","args":{},"id":"b"}' in rest
    assert b'"finishReason":"STOP"' in rest


def test_a_frame_is_one_line_whatever_stands_in_it() -> None:
    (chunk,) = said(Call(0, "a", "f"), Arguments(0, '{"x":\r\n 1.50}'), Stop("tool_calls"), End())

    assert chunk["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == {"x": 1.5}


def test_calls_that_interleave_come_out_in_their_order() -> None:
    found = said(
        Call(0, "a", "f"),
        Call(1, "b", "g"),
        Arguments(1, '{"y":'),
        Arguments(0, '{"x":1}'),
        Arguments(1, "2}"),
        Call(2, "c", "h"),
        Stop("tool_calls"),
        End(),
    )
    calls = [
        part["functionCall"]
        for chunk in found
        for part in chunk["candidates"][0]["content"]["parts"]
        if "functionCall" in part
    ]

    assert calls == [
        {"name": "f", "args": {"x": 1}, "id": "a"},
        {"name": "g", "args": {"y": 2}, "id": "b"},
        {"name": "h", "args": {}, "id": "c"},
    ]


def test_a_text_after_a_call_lets_it_out_first() -> None:
    assert parts(Call(0, "a", "f"), Arguments(0, "{}"), Text("then"), Stop("stop"), End()) == [
        [{"functionCall": {"name": "f", "args": {}, "id": "a"}}],
        [{"text": "then"}],
    ]


def test_arguments_that_are_no_object_make_a_malformed_call() -> None:
    (last,) = said(Call(0, "a", "f"), Arguments(0, "[1]"), Stop("tool_calls"), End())

    assert last["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"


def test_thoughts_are_told_from_text_and_signed() -> None:
    """Trap 20."""
    assert parts(
        Thinking("hm"),
        Signature("s", "anthropic_messages"),
        Text("a"),
        Signature("QQ==", "gemini"),
        Stop("stop"),
        End(),
    ) == [
        [{"text": "hm", "thought": True}],
        [{"text": "", "thought": True, "thoughtSignature": "fmFudGhyb3BpY19tZXNzYWdlc35z"}],
        [{"text": "a"}],
        [{"text": "", "thoughtSignature": "QQ=="}],
    ]


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        (Stop("stop"), "STOP"),
        (Stop("stop_sequence", "stop_sequence", "x"), "STOP"),
        (Stop("length", "max_tokens"), "MAX_TOKENS"),
        (Stop("context"), "MAX_TOKENS"),
        (Stop("tool_calls", "tool_use"), "STOP"),
        (Stop("filter", "content_filter"), "SAFETY"),
        (Stop("filter", "RECITATION"), "RECITATION"),
        (Stop("refusal", "refusal"), "SAFETY"),
        (Stop("pause", "pause_turn"), "STOP"),
        (Stop("pause", "CONTINUATION"), "CONTINUATION"),
        (Stop("stop", "STOP"), "STOP"),
    ],
)
def test_finish_reasons(stop: Stop, word: str) -> None:
    assert said(Text("a"), stop, End())[-1]["candidates"][0]["finishReason"] == word


def test_choices_end_together_with_the_usage() -> None:
    """Trap 9."""
    last = said(
        *(Text("a", 1), Stop("stop", choice=1), Text("b"), Stop("length"), Used(Usage(1, 2))),
        End(),
    )[-1]

    assert [(c["index"], c["finishReason"]) for c in last["candidates"]] == [
        (0, "MAX_TOKENS"),
        (1, "STOP"),
    ]
    assert last["usageMetadata"]["totalTokenCount"] == 3


def test_what_follows_the_stops_ends_the_stream_once() -> None:
    made = encoder()
    ended = made.feed([Text("a"), Stop("stop"), End()])

    assert ended.count(b"finishReason") == 1
    assert made.close() == b""
    assert encode() == b""


def test_logprobs_and_citations() -> None:
    _, tokens, last = said(
        Text("ab"),
        Logprobs([Logprob("ab", -1.0)]),
        Logprobs([Logprob("no", -1.0)], refusal=True),
        Citation(url="u", start=0, end=2),
        Stop("stop"),
        End(),
    )

    assert tokens["candidates"][0]["logprobsResult"]["chosenCandidates"] == [
        {"token": "ab", "logProbability": -1.0}
    ]
    (support,) = last["candidates"][0]["groundingMetadata"]["groundingSupports"]
    assert support["segment"] == {"startIndex": 0, "endIndex": 2, "text": "ab"}


def test_what_only_its_own_dialect_says_passes_as_it_is() -> None:
    frame = b'{"candidates":[{"content":{"parts":[{"executableCode":{"x": 1.50}}]},"index":0}]'
    data = encode(*(Begin("r", "m"), Other(frame + b"}", "gemini"), Other(b"event: ping\n\n", "x")))

    assert data.startswith(b"data: " + frame + b',"modelVersion":"m","responseId":"r"}\n\n')
    assert b"ping" not in data


def test_a_blocked_prompt_has_no_candidates() -> None:
    data = b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n'
    (first,) = said(*decode([data]))

    assert first == {"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "asked"}


texts = st.text(min_size=1, max_size=6)
words = st.text("abc_", min_size=1, max_size=5)
signatures = st.builds(
    Signature,
    texts,
    st.sampled_from(["anthropic_messages", "openai_responses"]),
    st.just(0),
    st.booleans(),
)


@st.composite
def responses(draw: st.DrawFn) -> list[Event]:
    """Events as a decoder makes them, in the order that Gemini can say."""
    events: list[Event] = [
        Begin(draw(words), draw(words), draw(st.integers(0, 1 << 32))),
    ]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            events += draw(st.lists(st.builds(Text, texts), max_size=3))
        elif kind == 1:
            events.append(Thinking(draw(texts), summary=True))
            events += draw(st.lists(signatures, max_size=1))
        elif kind == 2:
            events.append(Media("image/png", "QUJD"))
        else:
            events.append(draw(signatures))
    calls = draw(st.integers(0, 3))
    for index in range(calls):
        value = draw(st.dictionaries(words, st.integers() | texts, min_size=1, max_size=2))
        events.append(Call(index, f"call_{draw(words)}", draw(words)))
        events.append(Arguments(index, json.dumps(value)))
    events.append(Used(Usage(draw(st.integers(0, 9)), draw(st.integers(5, 9)), 1, 2)))
    events.append(Stop("tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))))
    return [*events, End()]


def plain(events: list[Event]) -> list[Event]:
    """Without what the provider alone called things."""
    return [Stop(event.reason) if isinstance(event, Stop) else event for event in events]


@settings(max_examples=200)
@given(responses(), st.booleans(), st.data())
def test_what_is_encoded_is_decoded_to_the_same(
    events: list[Event], array: bool, data: st.DataObject
) -> None:
    raw = encode(*events, array=array)
    at = data.draw(st.integers(0, len(raw)))

    assert plain(decode([raw[:at], raw[at:]])) == events
