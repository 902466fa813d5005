"""OpenAI Chat Completions, as a whole: its contract, its codec's invariants, recorded traffic."""

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
from openai.types.chat import ChatCompletionChunk

from proxy.chat import Chat, Omissions, Quirks, Rendering
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.wire import NAME, Detail
from proxy.errors import BadRequest, ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.testing import check_dialect
from proxy.testing.cuts import cuts
from tests.recorded import Recorded, recordings

CHAT = OpenAIChat()
REQUESTS = [
    b'{"model":"m","messages":[]}',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}',
]
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"\\"usage\\":{} \xf0\x9f\x98\x80"}}]}\n\n'
    b": keep-alive\n\n"
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(CHAT, REQUESTS, [STREAM, STREAM.replace(b"\n", b"\r\n")])


def test_it_is_the_chat_endpoint_of_the_family() -> None:
    assert (CHAT.name, CHAT.family, CHAT.path, CHAT.operation, CHAT.form) == (
        *("openai_chat", "openai", "/v1/chat/completions", "chat", "chat"),
    )


def test_a_request_must_name_its_model() -> None:
    for body in (b'{"messages":[]}', b'{"model":null}'):
        with pytest.raises(BadRequest, match="you must provide a model parameter") as raised:
            CHAT.parse(body)
        assert raised.value.param == "model"


def test_a_system_prompt_is_the_first_message() -> None:
    request = CHAT.parse(b'{"messages":[ {"role":"system", "content":"own"} ],"model":"m"}')
    CHAT.add_system(request, "é\n")

    assert request.body() == (
        '{"messages":[{"role":"system","content":"é\\n"},{"role":"system", "content":"own"}],'
        '"model":"m"}'.encode()
    )


@pytest.mark.parametrize("fields", ["", ',"messages":null', ',"messages":"hi"', ',"messages":{}'])
def test_messages_that_are_no_array_have_no_place_for_one(fields: str) -> None:
    request = CHAT.parse(f'{{"model":"m"{fields}}}'.encode())

    with pytest.raises(BadRequest, match="`messages` must be an array") as raised:
        CHAT.add_system(request, "x")
    assert raised.value.param == "messages"


# The codec's invariants.

WORDS = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["\n\n", "data: ", "[DONE]", '"usage":{}']
)
TOKENS = st.builds(
    Logprob,
    WORDS,
    st.floats(-9, 0),
    st.none() | st.lists(st.integers(0, 255), max_size=3),
    st.lists(st.builds(Logprob, WORDS, st.floats(-9, 0)), max_size=2),
)


def signature(redacted: bool, value: str) -> Signature:
    if redacted:
        detail = Detail("reasoning.encrypted", data=value, id="i")
    else:
        detail = Detail("reasoning.text", signature=value, format="f")
    return Signature(detail.opaque(), NAME, redacted=redacted)


SAID = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Text, WORDS),
    st.builds(Refusal, WORDS),
    st.builds(Thinking, WORDS),
    st.builds(signature, st.booleans(), WORDS),
    st.builds(Logprobs, st.lists(TOKENS, min_size=1, max_size=2), refusal=st.booleans()),
    st.builds(Media, st.just("image/png"), st.sampled_from(["AAAA", "/+=="])),
)
STOPS = st.sampled_from(
    [
        *(Stop("stop", "stop"), Stop("length", "length"), Stop("filter", "content_filter")),
        *(Stop("stop", "end_turn"), Stop("pause", "pause_turn"), Stop("context", "model_length")),
        *(
            Stop("tool_calls", "tool_use"),
            Stop("stop_sequence", "stop", "\n"),
        ),
        Stop("refusal", "refusal"),
    ]
)
USAGES = st.builds(Usage, *([st.integers(0, 9)] * 5)).filter(lambda usage: any(usage_of(usage)))


def usage_of(usage: Usage) -> list[int]:
    return [usage.input_tokens, usage.output_tokens]


@st.composite
def answers(draw: Callable[..., Any]) -> list[Event]:
    """A whole response as a decoder makes it: choices interleave, calls interleave in them."""
    n = draw(st.integers(1, 3))
    lanes: list[list[Event]] = []
    for choice in range(n):
        lane: list[Event] = draw(st.lists(SAID, max_size=6))
        calls = draw(st.integers(0, 3))
        opened: list[Event] = [
            Call(index, f"c{index}", draw(WORDS), custom=draw(st.booleans()))
            for index in range(calls)
        ]
        pieces = [
            Arguments(index, draw(WORDS))
            for index in range(calls)
            for _ in range(draw(st.integers(0, 3)))
        ]
        lane += opened + draw(st.permutations(pieces))
        stop = draw(STOPS)
        if calls and stop.reason == "stop":
            stop = Stop("tool_calls", "tool_calls")
        if stop.reason == "stop" and any(type(event) is Refusal for event in lane):
            stop = Stop("length", "length")
        lanes.append([copied(event, choice) for event in (*lane, stop)])
    events: list[Event] = [Begin("id", "m", 7, draw(st.sampled_from(["", "default"])), "fp")]
    while any(lanes):
        lane = lanes[draw(st.sampled_from([at for at in range(n) if lanes[at]]))]
        events.append(lane.pop(0))
    usage = draw(st.none() | USAGES)
    return [*events, *([Used(usage)] if usage else []), End()]


def copied(event: Event, choice: int) -> Event:
    moved: Event = msgspec.structs.replace(event, choice=choice)
    return moved


def choices(events: list[Event]) -> int:
    return sum(type(event) is Stop for event in events)


def ask(**fields: Any) -> Chat:
    return Chat(model="m", messages=[], stream=True, **fields)


def decoded(pieces: Iterable[bytes]) -> list[Event]:
    decoder = CHAT.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def streamed(events: list[Event], **fields: Any) -> bytes:
    encoder = CHAT.encoder(ask(n=choices(events), **fields))
    return encoder.feed(events) + encoder.close()


@given(answers(), st.booleans())
def test_what_is_encoded_decodes_to_the_same_events(events: list[Event], logprobs: bool) -> None:
    assert decoded([streamed(events, logprobs=logprobs)]) == events


def by_choice(events: list[Event]) -> dict[Any, list[Event]]:
    """The events of each choice, with what belongs together put together, in one order of kinds."""
    found: dict[Any, list[Any]] = {}
    for event in events:
        found.setdefault((getattr(event, "choice", None), type(event).__name__), []).append(event)
    put: dict[Any, Any] = {}
    for (choice, kind), some in found.items():
        if kind in ("Text", "Refusal"):
            put[choice, kind] = "".join(event.text for event in some)
        elif kind == "Arguments":
            for event in some:
                put[choice, kind, event.index] = (
                    put.get((choice, kind, event.index), "") + event.text
                )
        elif kind == "Logprobs":
            for event in some:
                put.setdefault((choice, kind, event.refusal), []).extend(event.tokens)
        elif kind not in ("Thinking", "Signature"):
            put[choice, kind] = some
    return put


@given(answers())
def test_a_whole_answer_says_the_same(events: list[Event]) -> None:
    body = CHAT.encode(ask(n=choices(events)), events)

    assert by_choice(CHAT.decode(body)) == by_choice(events)


@given(answers(), st.randoms(use_true_random=False))
def test_where_a_stream_is_cut_does_not_matter(events: list[Event], dice: random.Random) -> None:
    stream = streamed(events)
    stream = stream.replace(b"\n", b"\r\n") if dice.random() < 0.3 else stream
    for pieces in cuts(stream, seed=dice.randrange(99), random_ways=2):
        assert decoded(pieces) == events


@given(answers(), st.floats(0, 1))
def test_a_stream_that_was_cut_off_is_a_beginning_of_it(events: list[Event], part: float) -> None:
    stream = streamed(events)
    decoder = CHAT.decoder()
    found = decoder.feed(stream[: int(len(stream) * part)])

    assert found == events[: len(found)]
    if part < 1:
        assert not found or type(found[-1]) is not End or stream.endswith(b"\n\n")


@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [*STREAM.splitlines(keepends=True), b'data: {"choices":[{"delta":', b"\n\n"]
        ),
        max_size=8,
    )
)
def test_arbitrary_bytes_raise_nothing(pieces: list[bytes]) -> None:
    events = decoded(pieces)

    over = [at for at, event in enumerate(events) if isinstance(event, End | Failure)]
    assert over in ([], [len(events) - 1])
    with suppress(ProxyError):
        CHAT.decode(b"".join(pieces))


# Recorded traffic.


@pytest.fixture(scope="module")
def recorded(cassettes: Path) -> list[Recorded]:
    found = recordings(cassettes, "openai_chat")
    assert len(found) > 200
    return found


def answered(recorded: list[Recorded], *, streamed: bool) -> Iterator[Recorded]:
    for case in recorded:
        if case.status < 300 and case.streamed == streamed and b'"choices"' in case.response:
            yield case


def merged(chunks: Iterable[ChatCompletionChunk]) -> dict[str, Any]:
    """What a stream comes to for who reads it with the SDK."""
    found: dict[str, Any] = {"choices": {}}
    for chunk in chunks:
        if chunk.usage is not None and chunk.usage.prompt_tokens is not None:
            usage = chunk.usage
            found["usage"] = (usage.prompt_tokens, usage.completion_tokens)
        if chunk.choices and chunk.id:
            found.setdefault("id", chunk.id)  # one provider changes it in the midst of a stream
            found.setdefault("model", chunk.model)
        for choice in chunk.choices:
            fresh: dict[str, Any] = {"content": "", "calls": {}, "thought": ""}
            put: dict[str, Any] = found["choices"].setdefault(choice.index, fresh)
            delta = choice.delta
            if delta is None:
                continue
            content: Any = delta.content
            for part in content if isinstance(content, list) else [{"text": content}]:
                put["content"] += part.get("text") or ""
                for thought in part.get("thinking") or ():
                    put["thought"] += thought["text"]
            put["thought"] += thought_of(delta)
            for call in delta.tool_calls or ():
                kept = put["calls"].setdefault(
                    call.index, {"id": call.id, "name": "", "arguments": ""}
                )
                kept["name"] = kept["name"] or (call.function and call.function.name) or ""
                kept["arguments"] += (call.function and call.function.arguments) or ""
            if choice.finish_reason:
                put.setdefault("finish", choice.finish_reason)
            if choice.logprobs is not None and choice.logprobs.content:
                put.setdefault("tokens", []).extend(
                    token.token for token in choice.logprobs.content
                )
    return found


def read_by(client: OpenAI) -> dict[str, Any]:
    return merged(client.chat.completions.create(model="m", messages=[], stream=True))


OURS = {"": "stop", "eos": "stop"}
"""What we call an end that a provider has no word, or its own word for."""


def test_recorded_streams_encode_to_what_their_sdk_reads_of_them(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=True):
        tried += 1
        events = decoded([case.response])
        assert type(events[-1]) is End, case.id
        encoder = CHAT.encoder(ask(n=choices(events), logprobs=True))
        encoded = encoder.feed(events) + encoder.close()
        again, before = read_by(openai_sdk(encoded, True)), read_by(openai_sdk(case.response, True))
        for put in before["choices"].values():
            put["finish"] = OURS.get(put.get("finish", ""), put.get("finish"))
        if "usage" in before:
            used = next(event for event in reversed(events) if type(event) is Used)
            assert again["usage"][0] == before["usage"][0], case.id
            assert again["usage"][1] in (before["usage"][1], used.usage.output_tokens), case.id
            again["usage"] = before["usage"]
        again.pop("usage", None) if "usage" not in before else None
        assert again["choices"] == before["choices"], case.id
        if "id" in before:
            assert again == before, case.id
        with openai_sdk(encoded, True).chat.completions.stream(model="m", messages=[]) as helper:
            helper.until_done()
            final = helper.current_completion_snapshot
        assert len(final.choices) == len(before["choices"]), case.id
    assert tried > 90


def test_recorded_streams_say_the_same_wherever_they_are_cut(recorded: list[Recorded]) -> None:
    for case in answered(recorded, streamed=True):
        whole = decoded([case.response])
        if len(case.response) < 20_000:
            ways = cuts(case.response, random_ways=2)
        else:
            ways = cuts(case.response[:4000], random_ways=2)
            whole = decoded([case.response[:4000]])
        assert all(decoded(pieces) == whole for pieces in ways), case.id


def test_recorded_answers_encode_to_what_they_were(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=False):
        tried += 1
        events = CHAT.decode(case.response)
        encoded = CHAT.encode(ask(), events)
        pair, identifiers = [], []
        for payload in (case.response, encoded):
            answer = openai_sdk(payload, False).chat.completions.create(model="m", messages=[])
            pair.append([said_of(choice) for choice in answer.choices])
            called = [choice.message.tool_calls or [] for choice in answer.choices]
            identifiers.append([call.id for calls in called for call in calls])
        assert pair[0] == pair[1], case.id
        assert identifiers[0] == identifiers[1] or "" in identifiers[0], case.id
    assert tried > 70


def thought_of(message: Any) -> str:
    """What is thought aloud in a message or a delta, in whatever field."""
    for name in ("reasoning_content", "reasoning"):
        if getattr(message, name, None):
            return str(getattr(message, name))
    # What a signature signs was said before.
    details = getattr(message, "reasoning_details", None) or ()
    return "".join(detail.get("text") or "" for detail in details if not detail.get("signature"))


def said_of(choice: Any) -> dict[str, Any]:
    message = choice.message
    content = message.content or ""
    if isinstance(content, dict):
        content = json.dumps(content, separators=(",", ":"))
    thought = thought_of(message)
    if isinstance(content, list):
        thought = "".join(each["text"] for part in content for each in part.get("thinking", ()))
        content = "".join(part.get("text", "") for part in content)
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    return {
        "content": content,
        "refusal": message.refusal or None,
        "calls": calls,
        "thought": thought,
        "finish": OURS.get(choice.finish_reason or "", choice.finish_reason),
    }


def rendered(body: bytes, **quirks: Any) -> dict[str, Any]:
    """A request, read and rendered again for a provider of the same dialect."""
    chat = CHAT.read(CHAT.parse(body))
    assert isinstance(chat, Chat)
    omissions = Omissions(NAME, reject=True)
    rendering = Rendering(
        model=chat.model,
        omissions=omissions,
        quirks=Quirks(**quirks),
        usage=chat.include_usage,
    )
    again: dict[str, Any] = json.loads(CHAT.render(chat, rendering))
    return again


def plain(value: Any) -> Any:
    """Without what is null, which is as good as absent."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def in_one_spelling(body: dict[str, Any]) -> dict[str, Any]:
    """A request with one of each two spellings that mean the same."""
    said = plain(body)
    for message in said["messages"]:
        content = message.get("content") or ""
        if (
            isinstance(content, list)
            and len(content) == 1
            and content[0].keys() == {"type", "text"}
        ):
            content = content[0]["text"]
        message["content"] = content
        for name in ("reasoning", "reasoning_content"):
            message["thought"] = message.pop(name, None) or message.get("thought")
        if message["role"] == "developer":
            message["role"] = "system"
        for call in message.get("tool_calls", ()):
            call["type"] = "function"
            call.pop("index", None)
        message.pop("annotations", None)
        # A mark on a message is one on the last thing in it.
        mark = message.pop("cache_control", None)
        if mark is not None:
            last = message.get("tool_calls") or [{"type": "text", "text": content}]
            last[-1]["cache_control"] = mark
            if "tool_calls" not in message:
                message["content"] = last
    effort = said.pop("reasoning", {}).get("effort")
    if effort is not None:
        said["reasoning_effort"] = effort
    if said.get("tool_choice") == "any":
        said["tool_choice"] = "required"
    defaults = {"stream": False, "n": 1, "tools": []}
    return {name: value for name, value in said.items() if defaults.get(name) != value}


def test_recorded_requests_render_to_what_they_were(recorded: list[Recorded]) -> None:
    for case in recorded:
        if not case.request:
            continue
        body = json.loads(case.request)
        newer = "max_completion_tokens" in body
        thinks = b'"type":"thinking"' in case.request.replace(b": ", b":")
        again = rendered(
            case.request,
            max_tokens_field="max_completion_tokens" if newer else "max_tokens",
            reasoning_field="thinking" if thinks else "",
        )
        assert in_one_spelling(again) == in_one_spelling(body), case.id
