"""Anthropic's Messages: the contract, the official SDK, recorded traffic, and properties."""

import json
import random
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors
from proxy.chat import Chat, ImagePart, Message, Omissions, Rendering, TextPart, ThinkingPart
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.errors import ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.testing import check_dialect, cuts

DIALECT = AnthropicMessages()
ORIGIN = DIALECT.name
CHAT = Chat(model="asked", messages=[], stream=True)


def decode(*pieces: bytes) -> list[Event]:
    decoder = DIALECT.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def encode(events: list[Event]) -> bytes:
    encoder = DIALECT.encoder(CHAT)
    return encoder.feed(events) + encoder.close()


def told(events: list[Event]) -> list[Event]:
    """The events without what only their own dialect has use for."""
    return [event for event in events if type(event) is not Other]


EVENTS: list[Event] = [
    Begin(id="msg_1", model="m"),
    Used(Usage(input_tokens=9, output_tokens=1, cached_tokens=4)),
    Thinking("h\xe9"),
    Signature("sig", ORIGIN),
    Text("\U0001f600 "),
    Text("a"),
    Call(0, "c", "f"),
    Arguments(0, '{"n":'),
    Arguments(0, "1}"),
    Used(Usage(input_tokens=9, output_tokens=5, cached_tokens=4)),
    Stop("tool_calls", native="tool_use"),
    End(),
]


def test_it_keeps_the_contract_of_dialects() -> None:
    requests = [
        b'{"model":"m","max_tokens":1,"messages":[]}',
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}],"stream":true}',
    ]
    stream = encode(EVENTS)
    check_dialect(DIALECT, requests, [stream, stream.replace(b"\n", b"\r\n")])


def test_it_is_the_messages_endpoint_of_the_family() -> None:
    assert (DIALECT.name, DIALECT.family, DIALECT.path, DIALECT.aliases) == (
        *("anthropic_messages", "anthropic", "/v1/messages", ("/messages",)),
    )
    assert (DIALECT.operation, DIALECT.form, DIALECT.client_facing) == ("chat", "chat", True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_names_the_providers_model_and_whether_it_streams(stream: bool) -> None:
    chat = Chat(model="asked", messages=[], stream=stream, max_tokens=1, origin=ORIGIN)
    rendering = Rendering(model="theirs", omissions=Omissions(ORIGIN, reject=False))
    body = json.loads(DIALECT.render(chat, rendering))

    assert (body["model"], body.get("stream", False)) == ("theirs", stream)


# Properties.

_text = st.text(min_size=1)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def _arguments(draw: Callable[..., Any]) -> list[str]:
    """A JSON object's text in pieces."""
    whole = json.dumps(draw(st.dictionaries(st.text(), _json, max_size=3)))
    at = sorted(draw(st.sets(st.integers(1, len(whole) - 1), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]


_blocks = st.lists(
    st.one_of(
        st.lists(st.builds(Text, _text), min_size=1, max_size=3),
        st.tuples(
            *(st.builds(Thinking, _text), st.builds(Signature, _text, st.just(ORIGIN))),
        ).map(list),
        st.builds(Signature, _text, st.just(ORIGIN), redacted=st.booleans()).map(lambda s: [s]),
        st.tuples(_text, _text, _arguments()),
    ),
    max_size=6,
)
_stops = st.sampled_from(
    [
        *(("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use")),
        *(("pause", "pause_turn"), ("refusal", "refusal")),
        ("context", "model_context_window_exceeded"),
    ]
)
_counts = st.integers(0, 1 << 40)


@st.composite
def _responses(draw: Callable[..., Any]) -> list[Event]:
    events: list[Event] = [Begin(id=draw(_text), model=draw(_text))]
    calls = 0
    for block in draw(_blocks):
        if isinstance(block, tuple):
            id, name, pieces = block
            events.append(Call(calls, id, name))
            events += [Arguments(calls, piece) for piece in pieces]
            calls += 1
        else:
            events += block
    cached, written, thought = draw(_counts), draw(_counts), draw(_counts)
    fresh, output = draw(_counts), draw(_counts)
    events.append(Used(Usage(fresh + cached + written, output + thought, cached, thought, written)))
    reason, native = draw(_stops)
    if reason == "stop" and calls:
        reason, native = "tool_calls", "tool_use"
    return [*events, Stop(reason, native=native), End()]


def _said(events: list[Event]) -> tuple[list[Event], Usage]:
    """What was said, and the usage in the end: a stream's start tells one that is but a guess."""
    used = [event.usage for event in events if isinstance(event, Used)]
    return [event for event in told(events) if type(event) is not Used], used[-1]


@given(_responses())
def test_encoded_events_are_decoded_again(events: list[Event]) -> None:
    assert _said(decode(encode(events))) == _said(events)


@given(_responses())
def test_a_whole_answer_says_the_same(events: list[Event]) -> None:
    again = told(DIALECT.decode(DIALECT.encode(CHAT, events)))

    def joined(events: list[Event]) -> list[Any]:
        """Texts, thoughts and arguments whole, since an answer has no pieces of them."""
        found: list[Any] = []
        for event in events:
            if isinstance(event, Text | Thinking) and found and found[-1][0] is type(event):
                found[-1][1] += event.text
            elif isinstance(event, Text | Thinking):
                found.append([type(event), event.text])
            elif isinstance(event, Arguments) and found[-1][0] is Arguments:
                found[-1][1] += event.text
            elif isinstance(event, Arguments):
                found.append([Arguments, event.text])
            elif not isinstance(event, Used):
                found.append([type(event), event])
        return found

    assert joined(again) == joined(events)
    assert [e for e in again if isinstance(e, Used)] == [e for e in events if isinstance(e, Used)]


@given(_responses(), st.integers(0, 1 << 32))
def test_a_stream_that_is_cut_anywhere_has_a_prefix_of_its_events(
    events: list[Event], at: int
) -> None:
    stream = encode(events)
    whole = decode(stream)
    cut = stream[: at % len(stream.rstrip())]
    some = decode(cut)

    assert some == whole[: len(some)]
    assert not any(type(event) is End for event in some)


@given(_responses(), st.integers(0, 1 << 32))
def test_where_a_stream_is_cut_does_not_matter(events: list[Event], seed: int) -> None:
    stream = encode(events)
    whole = decode(stream)
    for pieces in cuts(stream, seed=seed, random_ways=2):
        assert decode(*pieces) == whole


@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(0, 1 << 32))
def test_no_bytes_make_a_decoder_raise(noise: list[bytes], seed: int) -> None:
    dice = random.Random(seed)
    frames = encode(EVENTS).split(b"\n\n")
    for piece in noise:
        frames.insert(dice.randint(0, len(frames)), piece)
    dice.shuffle(frames)

    decode(*noise)
    decode(b"\n\n".join(frames))


@given(st.lists(_arguments(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_calls_that_interleave_are_all_told_whole_and_in_order(
    calls: list[list[str]], dice: random.Random
) -> None:
    waiting = [
        iter([Call(n, f"c{n}", "f"), *(Arguments(n, piece) for piece in pieces)])
        for n, pieces in enumerate(calls)
    ]
    # Each call begins in its order; after that their pieces come in any.
    events: list[Event] = [next(call) for call in waiting]
    while waiting:
        call = dice.choice(waiting)
        piece = next(call, None)
        if piece is None:
            waiting.remove(call)
        else:
            events.append(piece)
    found: dict[int, str] = {}
    for event in decode(encode([*events, Stop("tool_calls"), End()])):
        if isinstance(event, Call):
            assert event.index == len(found)
            found[event.index] = ""
        elif isinstance(event, Arguments):
            found[event.index] += event.text

    assert list(found.values()) == ["".join(pieces) for pieces in calls]


# The official SDK.


def sdk(respond: Callable[[httpx2.Request], httpx2.Response]) -> anthropic.Anthropic:
    transport = httpx2.MockTransport(respond)
    return anthropic.Anthropic(
        api_key="k",
        base_url="http://proxy",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )


def responder(body: bytes, *, stream: bool, status: int = 200) -> anthropic.Anthropic:
    kind = DIALECT.content_type(CHAT, stream=stream).decode()
    return sdk(lambda _: httpx2.Response(status, headers={"content-type": kind}, content=body))


def create(client: anthropic.Anthropic, **members: Any) -> Any:
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return client.messages.create(**asked | members)


def streamed(body: bytes) -> dict[str, Any]:
    """The message that the SDK puts together from a stream."""
    client = responder(body, stream=True)
    messages: Any = [{"role": "user", "content": "hi"}]
    with client.messages.stream(model="m", max_tokens=9, messages=messages) as stream:
        return stream.get_final_message().model_dump(mode="json", warnings=False)


def whole(body: bytes) -> dict[str, Any]:
    dumped: dict[str, Any] = create(responder(body, stream=False)).model_dump(
        mode="json", warnings=False
    )
    return dumped


FOREIGN: list[Event] = [
    Begin(id="chatcmpl-1", model="gpt"),
    Thinking("hm"),
    Signature("enc", "openai_responses"),
    Text("a"),
    Citation(url="https://x", title="t", quote="q", origin="openai_chat"),
    Call(0, "call_1", "f"),
    Call(1, "call_2", "g", signature="sig", origin="gemini"),
    Arguments(1, '{"b":'),
    Arguments(0, '{"a":1}'),
    Arguments(1, "2}"),
    Stop("tool_calls", native="tool_calls"),
    Used(Usage(input_tokens=7, output_tokens=5, cached_tokens=2, reasoning_tokens=1)),
    End(),
]


def test_the_sdk_reads_what_other_providers_said_streamed_and_whole() -> None:
    message = streamed(encode(FOREIGN))

    assert [block["type"] for block in message["content"]] == [
        *("thinking", "text", "tool_use", "redacted_thinking", "tool_use"),
    ]
    thinking, text, first, _, second = message["content"]
    assert thinking["signature"] == "~openai_responses~enc"
    assert text["text"] == "a"
    assert text["citations"][0]["url"] == "https://x"
    assert (first["id"], first["input"]) == ("call_1", {"a": 1})
    assert (second["id"], second["input"]) == ("call_2", {"b": 2})
    assert (message["id"], message["model"]) == ("chatcmpl-1", "gpt")
    assert message["stop_reason"] == "tool_use"
    usage = message["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (5, 2)
    assert (usage["output_tokens"], usage["output_tokens_details"]["thinking_tokens"]) == (5, 1)

    assert whole(DIALECT.encode(CHAT, FOREIGN)) == message


def test_what_the_sdk_sends_back_of_it_is_read_for_what_it_was() -> None:
    answer = create(responder(DIALECT.encode(CHAT, FOREIGN), stream=False))
    sent: list[bytes] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, content=DIALECT.encode(CHAT, [Text("ok"), End()]))

    results = [
        {"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ("call_1", "call_2")
    ]
    create(
        sdk(respond),
        messages=[
            {"role": "user", "content": "hi"},
            answer.to_param(),
            {"role": "user", "content": results},
        ],
    )
    chat = DIALECT.read(DIALECT.parse(sent[0]))
    thinking, text, first, second = chat.messages[1].parts

    assert thinking == ThinkingPart(text="hm", signature="enc", origin="openai_responses")
    assert isinstance(text, TextPart)
    assert (first.signature, second.signature, second.origin) == ("", "sig", "gemini")  # type: ignore[attr-defined]
    assert [message.role for message in chat.messages] == ["user", "assistant", "tool"]


def test_a_refusal_is_text_and_a_reason() -> None:
    message = streamed(encode([Refusal("I will not."), Stop("stop"), End()]))

    assert (message["content"][0]["text"], message["stop_reason"]) == ("I will not.", "refusal")


def test_what_the_sdk_asks_is_read() -> None:
    seen: list[Chat] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        # Both API versions are read alike; the SDK sends the newer one.
        assert request.headers["anthropic-version"] == "2026-10-21"
        seen.append(DIALECT.read(DIALECT.parse(request.content)))
        return httpx2.Response(200, content=DIALECT.encode(seen[-1], [Text("ok"), End()]))

    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what?"}]
    tool = {"name": "f", "input_schema": {"type": "object"}}
    message = create(
        sdk(respond),
        system="be brief",
        messages=[{"role": "user", "content": content}],
        tools=[tool],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive"},
        output_config={"effort": "low"},
    )

    (chat,) = seen
    assert message.content[0].text == "ok"
    assert chat.messages == [
        Message("system", [TextPart(text="be brief")]),
        Message("user", [ImagePart(data="AAAA", media_type="image/png"), TextPart(text="what?")]),
    ]
    assert chat.reasoning is not None
    assert (chat.reasoning.effort, chat.reasoning.budget, chat.parallel_tools) == ("low", -1, False)
    assert (chat.tools[0].name, chat.tool_choice and chat.tool_choice.mode) == ("f", "required")


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("BadRequest", "BadRequestError"),
        ("TooLarge", "ContentTooLargeError"),
        ("Forbidden", "PermissionDeniedError"),
        ("NoRoute", "NotFoundError"),
        ("ProviderRateLimited", "RateLimitError"),
        ("ProviderOverloaded", "OverloadedError"),
        ("Overloaded", "OverloadedError"),
        ("Draining", "ServiceUnavailableError"),
        ("ProviderTimeout", "GatewayTimeoutError"),
        ("InternalError", "InternalServerError"),
    ],
)
def test_the_sdk_raises_the_right_exception(name: str, raised: str) -> None:
    error: ProxyError = getattr(errors, name)("in words")
    client = responder(DIALECT.error(error), stream=False, status=DIALECT.status(error))

    with pytest.raises(anthropic.APIStatusError) as caught:
        create(client)
    assert type(caught.value).__name__ == raised
    assert "in words" in str(caught.value)


def test_the_sdk_raises_on_an_error_event() -> None:
    error = errors.ProviderOverloaded("in words")
    body = encode([Text("a"), End()]).partition(b"event: message_delta")[0]

    with pytest.raises(anthropic.APIStatusError, match="in words"):
        streamed(body + DIALECT.error_event(error))


# Recorded traffic.


def recorded(folder: Path) -> Iterator[tuple[str, str, bytes, bytes]]:
    """The id, stream form, request and response of each exchange that went well."""
    rows = (json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines())
    for row in rows:
        if row["kind"] == "messages" and row["status"] == 200 and row["provider"] != "openai":
            bodies = (folder / "bodies" / row[name] for name in ("req_body", "resp_body"))
            request, response = (path.read_bytes() for path in bodies)
            yield row["id"], row["stream"], request, response


def test_recorded_streams_say_the_same_however_they_are_cut(cassettes: Path) -> None:
    streams = [row for row in recorded(cassettes) if row[1] == "sse"]
    assert len(streams) > 20
    for id, _, _, response in streams:
        events = decode(response)
        assert type(events[-1]) is End, id
        for pieces in cuts(response, random_ways=3):
            assert decode(*pieces) == events, id


def test_the_sdk_reads_recorded_streams_and_what_we_make_of_them_alike(cassettes: Path) -> None:
    for id, stream, _, response in recorded(cassettes):
        if stream == "sse":
            assert streamed(encode(decode(response))) == streamed(response), id


def test_recorded_answers_are_told_again_whole(cassettes: Path) -> None:
    answers = [row for row in recorded(cassettes) if row[1] == "none"]
    assert len(answers) > 3
    for id, _, _, response in answers:
        events = DIALECT.decode(response)
        assert json.loads(DIALECT.encode(CHAT, events)) == json.loads(response), id
        streamed_again = whole(response)
        assert streamed(encode(events)) == streamed_again, id


def test_usage_of_recorded_traffic_is_the_same_watched_and_decoded(cassettes: Path) -> None:
    for id, stream, _, response in recorded(cassettes):
        watch = DIALECT.watch(stream=stream == "sse", strip=False)
        watch.feed(response)
        events = decode(response) if stream == "sse" else DIALECT.decode(response)
        used = [event.usage for event in events if isinstance(event, Used)]
        assert watch.usage == used[-1], id


def _spread(body: dict[str, Any]) -> dict[str, Any]:
    """A request with texts as blocks, and without what says nothing."""

    def blocks(content: Any) -> Any:
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        return [
            {**block, "content": blocks(block["content"])}
            if block["type"] == "tool_result"
            else block
            for block in content
        ]

    said = {name: value for name, value in body.items() if value not in ([], False)}
    said["messages"] = [{**each, "content": blocks(each["content"])} for each in body["messages"]]
    if "system" in body:
        said["system"] = blocks(body["system"])
    return said


def test_recorded_requests_are_rendered_as_they_were(cassettes: Path) -> None:
    for id, _, body, _ in recorded(cassettes):
        chat = DIALECT.read(DIALECT.parse(body))
        omissions = Omissions(ORIGIN, reject=True)
        again = DIALECT.render(chat, Rendering(model=chat.model, omissions=omissions))
        assert _spread(json.loads(again)) == _spread(json.loads(body)), id


def test_the_recorded_requests_have_all_that_is_asked_for(cassettes: Path) -> None:
    """What the tests above prove is proved of images, calls, results, thinking and marks."""
    parts = list(
        chain.from_iterable(
            message.parts
            for _, _, body, _ in recorded(cassettes)
            for message in DIALECT.read(DIALECT.parse(body)).messages
        )
    )
    kinds = {type(part).__name__ for part in parts}

    assert kinds >= {"TextPart", "ImagePart", "CallPart", "ResultPart", "NativePart"}
    assert any(part.cache is not None for part in parts)
