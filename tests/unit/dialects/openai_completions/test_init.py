"""OpenAI's Completions, as a whole: its contract, its codec's invariants, recorded traffic."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from proxy.chat import Chat, Omissions, Rendering
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_completions.wire import NAME
from proxy.errors import BadRequest, ProxyError, Unsupported
from proxy.event import (
    Begin,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Stop,
    Text,
    Usage,
    Used,
)
from proxy.testing import check_dialect
from proxy.testing.cuts import cuts
from tests.recorded import Recorded, recordings

COMPLETIONS = OpenAICompletions()
STREAM = (
    b'data: {"object":"text_completion","choices":[{"index":0,"text":"a"}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\ndata: [DONE]\n\n'
)


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(COMPLETIONS, [b'{"model":"m","prompt":["a",[1,2]]}'], [STREAM])


def test_it_is_the_completions_endpoint_of_the_family() -> None:
    assert (COMPLETIONS.name, COMPLETIONS.family, COMPLETIONS.path, COMPLETIONS.operation) == (
        *("openai_completions", "openai", "/v1/completions", "text_completion"),
    )
    assert COMPLETIONS.form == "chat"


def test_a_request_must_name_its_model() -> None:
    with pytest.raises(BadRequest, match="you must provide a model parameter"):
        COMPLETIONS.parse(b'{"prompt":"a"}')


def test_its_streams_are_asked_for_usage() -> None:
    assert COMPLETIONS.ask_usage(COMPLETIONS.parse(b'{"model":"m","stream":true}'))


def test_it_has_no_place_for_a_system_prompt() -> None:
    request = COMPLETIONS.parse(b'{"model":"m","prompt":"a"}')

    with pytest.raises(Unsupported, match="/v1/completions has no place for it"):
        COMPLETIONS.add_system(request, "x")
    assert not request.changed


# The codec's invariants.

WORDS = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["\n\n", "data: ", "[DONE]", '"usage":{}', "null"]
)
TOPS = st.dictionaries(WORDS, st.floats(-9, 0), max_size=2)
TOKENS = st.builds(
    lambda token, logprob, top: Logprob(token, logprob, None, [Logprob(*t) for t in top.items()]),
    WORDS,
    st.floats(-9, 0),
    TOPS,
)
SAID = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Text, WORDS),
    st.builds(Logprobs, st.lists(TOKENS, min_size=1, max_size=2)),
)
STOPS = st.sampled_from(
    [
        *(Stop("stop", "stop"), Stop("length", "length"), Stop("filter", "content_filter")),
        *(Stop("stop", "end_turn"), Stop("pause", "pause_turn"), Stop("context", "model_length")),
        *(Stop("stop_sequence", "stop", "\n"), Stop("refusal", "refusal")),
    ]
)
USAGES = st.builds(Usage, *([st.integers(1, 9)] * 2))


@st.composite
def answers(draw: Callable[..., Any]) -> list[Event]:
    """A whole response as a decoder makes it: its choices interleave."""
    n = draw(st.integers(1, 3))
    lanes: list[list[Event]] = []
    for choice in range(n):
        lane = [*draw(st.lists(SAID, max_size=6)), draw(STOPS)]
        lanes.append([msgspec.structs.replace(event, choice=choice) for event in lane])
    events: list[Event] = [Begin("id", "m", 7, "", "fp")]
    while any(lanes):
        lane = lanes[draw(st.sampled_from([at for at in range(n) if lanes[at]]))]
        events.append(lane.pop(0))
    usage = draw(st.none() | USAGES)
    return [*events, *([Used(usage)] if usage else []), End()]


def ask(**fields: Any) -> Chat:
    return Chat(model="m", messages=[], stream=True, **fields)


def decoded(pieces: Iterable[bytes]) -> list[Event]:
    decoder = COMPLETIONS.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def streamed(events: list[Event], **fields: Any) -> bytes:
    encoder = COMPLETIONS.encoder(ask(**fields))
    return encoder.feed(events) + encoder.close()


@given(answers(), st.booleans())
def test_what_is_encoded_decodes_to_the_same_events(events: list[Event], logprobs: bool) -> None:
    assert decoded([streamed(events, logprobs=logprobs)]) == events


@given(answers())
def test_a_whole_answer_says_the_same(events: list[Event]) -> None:
    again = COMPLETIONS.decode(COMPLETIONS.encode(ask(), events))

    assert by_choice(again) == by_choice(events)


def by_choice(events: list[Event]) -> dict[Any, Any]:
    """The events of each choice, with what belongs together put together."""
    put: dict[Any, Any] = {}
    for event in events:
        key = (getattr(event, "choice", None), type(event).__name__)
        if isinstance(event, Text):
            put[key] = put.get(key, "") + event.text
        elif isinstance(event, Logprobs):
            put[key] = put.get(key, []) + event.tokens
        else:
            put[key] = event
    return put


@given(answers(), st.randoms(use_true_random=False))
def test_where_a_stream_is_cut_does_not_matter(events: list[Event], dice: random.Random) -> None:
    stream = streamed(events)
    stream = stream.replace(b"\n", b"\r\n") if dice.random() < 0.3 else stream
    for pieces in cuts(stream, seed=dice.randrange(99), random_ways=2):
        assert decoded(pieces) == events


@given(answers(), st.floats(0, 1))
def test_a_stream_that_was_cut_off_is_a_beginning_of_it(events: list[Event], part: float) -> None:
    stream = streamed(events)
    found = COMPLETIONS.decoder().feed(stream[: int(len(stream) * part)])

    assert found == events[: len(found)]
    if part < 0.99:
        assert End() not in found


@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [*STREAM.splitlines(keepends=True), b'data: {"choices":[{"text":', b"\n\n"]
        ),
        max_size=8,
    )
)
def test_arbitrary_bytes_raise_nothing(pieces: list[bytes]) -> None:
    events = decoded(pieces)

    over = [at for at, event in enumerate(events) if isinstance(event, End | Failure)]
    assert over in ([], [len(events) - 1])
    with suppress(ProxyError):
        COMPLETIONS.decode(b"".join(pieces))


# Recorded traffic.


@pytest.fixture(scope="module")
def recorded(cassettes: Path) -> list[Recorded]:
    found = recordings(cassettes, NAME)
    assert len(found) > 20
    return found


def answered(recorded: list[Recorded], *, streamed: bool) -> Iterator[Recorded]:
    for case in recorded:
        if case.status < 300 and case.streamed == streamed and b'"choices"' in case.response:
            yield case


def read_by(client: OpenAI) -> dict[str, Any]:
    """What a stream comes to for who reads it with the SDK."""
    found: dict[str, Any] = {"text": {}, "finish": {}, "usage": None}
    for chunk in client.completions.create(model="m", prompt="", stream=True):
        found.setdefault("id", (chunk.id, chunk.model, chunk.created, chunk.object))
        if chunk.usage is not None:
            found["usage"] = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            index = choice.index or 0  # the last chunk of one server has none
            text = found["text"].get(index, "")
            found["text"][index] = text + (choice.text or "")
            if choice.finish_reason:
                found["finish"][index] = choice.finish_reason
    return found


def test_recorded_streams_encode_to_what_their_sdk_reads_of_them(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=True):
        tried += 1
        events = decoded([case.response])
        assert type(events[-1]) is End, case.id
        before, again = (
            read_by(openai_sdk(stream, True)) for stream in (case.response, streamed(events))
        )
        assert again == before, case.id
    assert tried > 10


def test_recorded_streams_say_the_same_wherever_they_are_cut(recorded: list[Recorded]) -> None:
    for case in answered(recorded, streamed=True):
        stream = case.response[:20_000]
        whole = decoded([stream])
        assert all(decoded(pieces) == whole for pieces in cuts(stream, random_ways=2)), case.id


def test_recorded_answers_encode_to_what_they_were(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=False):
        tried += 1
        encoded = COMPLETIONS.encode(ask(), COMPLETIONS.decode(case.response))
        before, again = (
            openai_sdk(payload, False).completions.create(model="m", prompt="")
            for payload in (case.response, encoded)
        )
        for one, other in zip(before.choices, again.choices, strict=True):
            assert other.text == one.text, case.id
            assert other.finish_reason == (one.finish_reason or "stop"), case.id
        assert (before.usage is None) == (again.usage is None), case.id
        if before.usage is not None and again.usage is not None:
            assert again.usage.total_tokens == before.usage.total_tokens, case.id
    assert tried > 5


def test_recorded_requests_render_to_what_they_were(recorded: list[Recorded]) -> None:
    for case in recorded:
        chat = COMPLETIONS.read(COMPLETIONS.parse(case.request))
        assert isinstance(chat, Chat)
        rendering = Rendering(
            model=chat.model,
            omissions=Omissions(NAME, reject=True),
            usage=chat.include_usage,
        )
        again = json.loads(COMPLETIONS.render(chat, rendering))
        before = {n: v for n, v in json.loads(case.request).items() if v is not None}
        if isinstance(before["prompt"], list):
            [before["prompt"]] = before["prompt"]
        if isinstance(before.get("stop"), str):
            before["stop"] = [before["stop"]]
        defaults = {"stream": False, "n": 1}
        assert again == {n: v for n, v in before.items() if defaults.get(n) != v}, case.id
