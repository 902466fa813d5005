"""OpenAI Responses, as a whole: its contract, its codec's invariants, recorded traffic."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.responses import Response

from proxy.chat import Chat, Omissions, Quirks, Reasoning, Rendering
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.wire import NAME, pack, unpack
from proxy.errors import BadRequest, ProxyError, TooLong
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
    Refusal,
    Signature,
    Stop,
    StopReason,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.testing import check_dialect
from proxy.testing.cuts import cuts
from tests.recorded import Recorded, recordings

RESPONSES = OpenAIResponses()
STREAM = (
    b'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"delta":"\\"usage\\":{\\"input_tokens\\":9}"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"output":[],'
    b'"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":4,'
    b'"output_tokens_details":{"reasoning_tokens":2},"total_tokens":7}}}\n\n'
)


def test_it_keeps_the_contract_of_dialects() -> None:
    requests = [b'{"model":"m","input":"hi"}', b'{"prompt":{"id":"p"},"stream":true}']
    check_dialect(RESPONSES, requests, [STREAM])


def test_it_is_the_responses_endpoint_of_the_family() -> None:
    assert (RESPONSES.name, RESPONSES.family, RESPONSES.path, RESPONSES.form) == (
        *("openai_responses", "openai", "/v1/responses", "chat"),
    )


def test_a_model_may_be_left_to_the_stored_prompt() -> None:
    assert RESPONSES.parse(b'{"prompt":{"id":"p"}}').model is None


def test_the_usage_of_the_last_event_is_found() -> None:
    watch = RESPONSES.watch(stream=True, strip=False)

    assert watch.feed(STREAM) is STREAM
    assert watch.usage == Usage(
        input_tokens=3, output_tokens=4, cached_tokens=1, reasoning_tokens=2
    )


@pytest.mark.parametrize(
    ("fields", "edited"),
    [
        (b"", b',"instructions":"first"'),
        (b',"instructions":null', b',"instructions":"first"'),
        (b',"instructions":""', b',"instructions":"first"'),
        (b',"instructions":"own","x":1', b',"instructions":"first\\n\\nown","x":1'),
    ],
)
def test_a_system_prompt_stands_before_the_instructions(fields: bytes, edited: bytes) -> None:
    request = RESPONSES.parse(b'{"model":"m"%b}' % fields)
    RESPONSES.add_system(request, "first")

    assert request.body() == b'{"model":"m"%b}' % edited


@pytest.mark.parametrize("value", [b"1", b'["a"]', b"{}"])
def test_instructions_that_are_no_string_have_no_place_for_one(value: bytes) -> None:
    request = RESPONSES.parse(b'{"model":"m","instructions":%b}' % value)

    with pytest.raises(BadRequest, match="`instructions` must be a string") as raised:
        RESPONSES.add_system(request, "x")
    assert raised.value.param == "instructions"


def test_an_error_event_has_its_own_shape_and_the_name_of_one() -> None:
    event = RESPONSES.error_event(TooLong("it\nis", param="input"))
    name, data, *rest = event.split(b"\n")

    assert (name, rest) == (b"event: error", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "code": "client.too_long",
        "message": "it\nis",
        "param": "input",
        "sequence_number": 0,
        "error": {
            "message": "it\nis",
            "type": "invalid_request_error",
            "param": "input",
            "code": "context_length_exceeded",
        },
    }
    told = RESPONSES.failure(event)
    assert (type(told), str(told)) == (TooLong, "it\nis")


def test_the_sdk_raises_what_an_error_event_says(
    openai_sdk: Callable[[bytes, bool], OpenAI],
) -> None:
    client = openai_sdk(RESPONSES.error_event(TooLong("it is")), True)

    with pytest.raises(APIError, match="it is"):
        list(client.responses.create(model="m", input="x", stream=True))


# The codec's invariants.

ODD = ["\n\n", "data: ", "[DONE]", '"usage":{}']
WORDS = st.text(min_size=1, max_size=8) | st.sampled_from(ODD)
BYTES = st.lists(st.integers(0, 255), max_size=3)
TOKENS = st.builds(
    Logprob,
    WORDS,
    st.floats(-9, 0),
    BYTES,
    st.lists(st.builds(Logprob, WORDS, st.floats(-9, 0), BYTES), max_size=2),
)
SAID = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Text, WORDS),
    st.builds(Refusal, WORDS),
    st.builds(Thinking, WORDS, summary=st.booleans()),
    st.builds(Signature, st.builds(pack, st.sampled_from(["", "rs"]), WORDS), st.just(NAME)),
    st.builds(Citation, WORDS, WORDS, st.just(""), st.just(0), st.just(0)),
    st.builds(Logprobs, st.lists(TOKENS, min_size=1, max_size=2)),
    st.builds(Media, st.just("image/png"), st.sampled_from(["AAAA", "/+=="])),
)
STOPS = st.sampled_from(
    [Stop("length", "max_output_tokens"), Stop("filter", "content_filter"), None]
)


@st.composite
def answers(draw: Callable[..., Any]) -> list[Event]:
    """A whole response as a decoder makes it: calls interleave."""
    said: list[Event] = draw(st.lists(SAID, max_size=8))
    calls = draw(st.integers(0, 3))
    opened: list[Event] = [
        Call(index, f"c{index}", draw(WORDS), custom=draw(st.booleans())) for index in range(calls)
    ]
    pieces = [
        Arguments(index, draw(WORDS))
        for index in range(calls)
        for _ in range(draw(st.integers(1, 3)))
    ]
    refused = any(type(event) is Refusal for event in said)
    reason: StopReason = "tool_calls" if calls else "refusal" if refused else "stop"
    stop = draw(STOPS) or Stop(reason, "completed")
    usage = draw(st.none() | st.builds(Usage, st.integers(1, 9), *([st.integers(0, 9)] * 4)))
    last = [stop, *([Used(usage)] if usage else []), End()]
    return [Begin("id", "m", 7, "default"), *said, *opened, *draw(st.permutations(pieces)), *last]


def ask(**fields: Any) -> Chat:
    return Chat(model="m", messages=[], stream=True, **fields)


def decoded(pieces: Iterable[bytes]) -> list[Event]:
    decoder = RESPONSES.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def streamed(events: list[Event], **fields: Any) -> bytes:
    encoder = RESPONSES.encoder(ask(**fields))
    return encoder.feed(events) + encoder.close()


def put_together(events: list[Event]) -> list[Any]:
    """What a response says: neighbours that belong together as one, and no ids of items."""
    found: list[Any] = []
    arguments: dict[int, str] = {}
    for event in events:
        last: Any = found[-1] if found else None
        if isinstance(event, Arguments):
            arguments[event.index] = arguments.get(event.index, "") + event.text
        elif isinstance(event, Signature):
            found.append(("signature", unpack(event.value)[1]))
        elif isinstance(event, Citation):
            found.append((event.url, event.title))
        elif isinstance(event, Text | Refusal) and type(last) is type(event):
            last.text += event.text
        elif isinstance(event, Text | Refusal):
            found.append(msgspec.structs.replace(event))
        else:
            found.append(event)
    return [found, arguments]


@example(
    [Begin("id", "m", 7), Signature(pack("rs", "x:"), NAME), Stop("stop", "completed"), End()],
    False,
)
@given(answers(), st.booleans())
def test_what_is_encoded_decodes_to_the_same_events(events: list[Event], logprobs: bool) -> None:
    assert put_together(decoded([streamed(events, logprobs=logprobs)])) == put_together(events)


@given(answers())
def test_a_whole_response_says_the_same_as_a_stream(events: list[Event]) -> None:
    whole = json.loads(RESPONSES.encode(ask(), events))
    last = streamed(events).split(b"\n\n")[-2].partition(b"data: ")[2]

    assert json.loads(last)["response"] == whole


@given(answers(), st.randoms(use_true_random=False))
def test_where_a_stream_is_cut_does_not_matter(events: list[Event], dice: random.Random) -> None:
    stream = streamed(events)
    stream = stream.replace(b"\n", b"\r\n") if dice.random() < 0.3 else stream
    expected = decoded([stream])
    for pieces in cuts(stream, seed=dice.randrange(99), random_ways=2):
        assert decoded(pieces) == expected


@given(answers(), st.floats(0, 1, exclude_max=True))
def test_a_stream_that_was_cut_off_is_a_beginning_of_it(events: list[Event], part: float) -> None:
    stream = streamed(events)
    expected = decoded([stream])
    found = decoded([stream[: int((len(stream) - 3) * part)]])

    assert found == expected[: len(found)]
    assert End() not in found


@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from([*STREAM.splitlines(keepends=True), b'data: {"type":"error"}\n\n']),
        max_size=8,
    )
)
def test_arbitrary_bytes_raise_nothing(pieces: list[bytes]) -> None:
    events = decoded(pieces)

    over = [at for at, event in enumerate(events) if isinstance(event, End | Failure)]
    assert over in ([], [len(events) - 1])
    with suppress(ProxyError):
        RESPONSES.decode(b"".join(pieces))


@given(answers(), st.booleans())
def test_the_events_are_in_the_order_and_number_that_sdks_want(
    events: list[Event], logprobs: bool
) -> None:
    said = [
        json.loads(frame.partition(b"data: ")[2])
        for frame in streamed(events, logprobs=logprobs).split(b"\n\n")[:-1]
    ]
    assert [event["sequence_number"] for event in said] == list(range(len(said)))
    assert [event["type"] for event in said[:2]] == ["response.created", "response.in_progress"]
    open_items: dict[int, dict[str, Any]] = {}
    whole: dict[int, dict[str, Any]] = {}
    for event in said[2:-1]:
        place = event["output_index"]
        if event["type"] == "response.output_item.added":
            assert place == len(open_items) + len(whole)
            open_items[place] = event["item"]
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == open_items.pop(place)["id"]
            whole[place] = event["item"]
        else:
            assert event["item_id"] == open_items[place]["id"]
    assert open_items == {}
    assert said[-1]["type"] in ("response.completed", "response.incomplete")
    assert said[-1]["response"]["output"] == [item for _, item in sorted(whole.items())]


def test_the_sdk_puts_it_together(openai_sdk: Callable[[bytes, bool], OpenAI]) -> None:
    tokens = [Logprob("a", -1.0, None, [Logprob("b", -2.0)])]
    events: list[Event] = [
        *(Begin("r", "m", 7), Thinking("hm"), Signature("s", "anthropic_messages")),
        *(Text("a"), Logprobs(tokens), Citation("u", "t"), Refusal("no"), Text("b")),
        *(Call(0, "c", "f"), Call(1, "d", "g", custom=True), Arguments(1, "free")),
        *(Arguments(0, '{"x":'), Arguments(0, "1}"), Media("image/png", "AA")),
        *(Stop("tool_calls", "tool_use"), Used(Usage(3, 4)), End()),
    ]
    asked = {"logprobs": True, "reasoning": Reasoning(show=True)}
    client = openai_sdk(streamed(events, **asked), True)
    with client.responses.stream(model="m", input="x") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    streamed_events = client.responses.create(model="m", input="x", stream=True)
    last = list(streamed_events)[-1]
    body = RESPONSES.encode(ask(**asked), events)
    whole = openai_sdk(body, False).responses.create(model="m", input="x")

    assert {"response.output_text.done", "response.function_call_arguments.delta"} <= kinds
    assert last.type == "response.completed"
    Response.model_validate(json.loads(body))  # strictly
    assert whole.model_dump() == last.response.model_dump()
    assert [item.type for item in final.output] == [
        *("reasoning", "message", "function_call", "custom_tool_call", "image_generation_call"),
    ]
    assert final.output_text == whole.output_text == "ab"
    assert final.usage is not None
    assert final.usage.total_tokens == 7


# Recorded traffic.


@pytest.fixture(scope="module")
def recorded(cassettes: Path) -> list[Recorded]:
    found = recordings(cassettes, "openai_responses")
    assert len(found) > 50
    return found


def answered(recorded: list[Recorded], *, streamed: bool) -> Iterator[Recorded]:
    for case in recorded:
        ended = b'"output"' in case.response and b'"status": "queued"' not in case.response
        if case.status < 300 and case.streamed == streamed and ended:
            yield case


def said_of(response: Response) -> dict[str, Any]:
    """What a response says to who reads it with the SDK."""
    output: list[Any] = []
    for item in response.output:
        if item.type == "message":
            for part in item.content:
                text = part.text if part.type == "output_text" else part.refusal
                annotations = part.annotations if part.type == "output_text" else []
                output.append((part.type, text, [each.to_dict() for each in annotations or ()]))
        elif item.type == "function_call":
            output.append((item.type, item.call_id, item.name, item.arguments))
        elif item.type == "reasoning":
            summary = "\n\n".join(part.text for part in item.summary or [])
            words = "".join(part.text for part in item.content or [])
            if summary or words or item.encrypted_content:
                # One provider encrypts it again for the last event.
                output.append((item.type, summary or words, bool(item.encrypted_content)))
        else:
            output.append(item.to_dict())
    details = response.incomplete_details
    return {
        "model": response.model,
        "status": response.status,
        "why": details and details.reason,
        "output": output,
        "tokens": response.usage and (response.usage.input_tokens, response.usage.output_tokens),
    }


def last_of(client: OpenAI) -> Response:
    *_, last = client.responses.create(model="m", input="x", stream=True)
    assert last.type in ("response.completed", "response.incomplete")
    return last.response


def test_recorded_streams_encode_to_what_their_sdk_reads_of_them(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=True):
        tried += 1
        events = decoded([case.response])
        assert type(events[-1]) is End, case.id
        encoded = streamed(events)
        before = said_of(last_of(openai_sdk(case.response, True)))
        after = said_of(last_of(openai_sdk(encoded, True)))
        if not before["output"]:  # a server that says it in parts only
            before["output"] = after["output"]
        assert after == before, case.id
        with openai_sdk(encoded, True).responses.stream(model="m", input="x") as stream:
            stream.until_done()
    assert tried > 25


def test_recorded_streams_say_the_same_wherever_they_are_cut(recorded: list[Recorded]) -> None:
    for case in answered(recorded, streamed=True):
        stream = case.response[:8000]
        whole = decoded([stream])
        assert all(decoded(pieces) == whole for pieces in cuts(stream, random_ways=2)), case.id


def test_recorded_responses_encode_to_what_they_were(
    recorded: list[Recorded], openai_sdk: Callable[[bytes, bool], OpenAI]
) -> None:
    tried = 0
    for case in answered(recorded, streamed=False):
        tried += 1
        encoded = RESPONSES.encode(ask(), RESPONSES.decode(case.response))
        before, after = (
            said_of(openai_sdk(payload, False).responses.create(model="m", input="x"))
            for payload in (case.response, encoded)
        )
        assert after == before, case.id
    assert tried > 12


def plain(value: Any) -> Any:
    """Without what is null, which is as good as absent."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def in_one_spelling(body: dict[str, Any]) -> dict[str, Any]:
    """A request with one of each two spellings that mean the same."""
    said = plain(body)
    items = said["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if items[0].get("role") in ("system", "developer") and len(items) > 1:
        first = items[0]["content"]
        if isinstance(first, str) or len(first) == 1:
            assert "instructions" not in said
            said["instructions"] = first if isinstance(first, str) else first[0]["text"]
            items = items[1:]
    for item in items:
        for name in ("status", "phase") + (("id",) if item.get("type") != "reasoning" else ()):
            item.pop(name, None)
        if item.get("type") == "message":
            del item["type"]
        content = item.get("content", [])
        if "role" in item and isinstance(content, list) and len(content) == 1:
            item["content"] = content[0].get("text", content)
        if item.get("role") == "developer":
            item["role"] = "system"
        for part in content if isinstance(content, list) else []:
            if part["type"] == "input_image":
                part.setdefault("detail", "auto")
    # Reasoning that nobody can be given back.
    items = [
        item for item in items if item.get("type") != "reasoning" or item.get("encrypted_content")
    ]
    said["input"] = items
    said["include"] = None
    said.setdefault("store", False)
    defaults = {
        "instructions": "",
        "stream": False,
        "tools": [],
        "include": None,
        "background": False,
    }
    return {name: value for name, value in said.items() if defaults.get(name, ...) != value}


def test_recorded_requests_render_to_what_they_were(recorded: list[Recorded]) -> None:
    for case in recorded:
        if not case.request:
            continue
        body = json.loads(case.request)
        chat = RESPONSES.read(RESPONSES.parse(case.request))
        assert isinstance(chat, Chat)
        omissions = Omissions(NAME, reject=False)
        rendering = Rendering(model=chat.model, omissions=omissions, quirks=Quirks())
        again = json.loads(RESPONSES.render(chat, rendering))
        assert in_one_spelling(again) == in_one_spelling(body), case.id
        assert set(omissions.names) <= {"thinking"}, case.id
