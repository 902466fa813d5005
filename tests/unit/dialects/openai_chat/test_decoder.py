"""What providers that speak OpenAI's Chat answer, each in its own way."""

import json
from typing import Any

import pytest

from proxy.dialects.openai_chat.decoder import ChatDecoder
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import (
    BadResponse,
    ProviderBroke,
    ProviderOverloaded,
    ProviderRateLimited,
    ProxyError,
    TooLong,
)
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
)
from proxy.framing.sse import MAX_FRAME

DONE = b"data: [DONE]\n\n"


def frame(**fields: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields).encode()


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    return frame(id="r", model="m", created=7, choices=list(choices), **more)


def delta(index: int = 0, /, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": None}


def finish(word: str = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {}, "finish_reason": word, **more}


def decode(*frames: bytes) -> list[Event]:
    decoder = ChatDecoder()
    return [event for data in frames for event in decoder.feed(data)] + decoder.close()


def said(*deltas: dict[str, Any]) -> list[Event]:
    """The events of these choices, without what is around them."""
    begin, *events = decode(*map(chunk, deltas))
    assert begin == Begin("r", "m", 7)
    return events


def test_a_stream() -> None:
    events = decode(
        chunk(delta(role="assistant", content=""), service_tier="flex", system_fingerprint="fp"),
        chunk(delta(content="a")),
        chunk(delta(content="b")),
        chunk(finish()),
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 4}),
        DONE,
    )

    assert events == [
        Begin("r", "m", 7, "flex", "fp"),
        *(Text("a"), Text("b"), Stop("stop", "stop"), Used(Usage(3, 4)), End()),
    ]


def test_nothing_comes_after_the_end() -> None:
    assert decode(DONE, chunk(delta(content="a")), DONE) == [End()]


def test_choices_interleave() -> None:  # trap 9
    events = said(delta(1, content="b"), delta(0, content="a"), delta(1, content="c"))

    assert events == [Text("b", 1), Text("a", 0), Text("c", 1)]


@pytest.mark.parametrize("content", [None, "", []])
def test_content_may_be_nothing(content: object) -> None:  # trap 12
    assert said(delta(role="assistant", content=content)) == []


def test_a_refusal_is_no_content() -> None:  # trap 10
    assert said(delta(refusal="no"), finish()) == [Refusal("no"), Stop("refusal", "stop"), End()]


def test_logprobs_with_and_without_content() -> None:  # trap 10
    top = {"token": "b", "logprob": -2.0, "bytes": None}
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [top]}
    expected = [Logprob("a", -1.0, [97], [Logprob("b", -2.0)])]

    assert said(
        delta(content="a") | {"logprobs": {"content": [token], "refusal": None}},
        delta(content="") | {"logprobs": {"content": None, "refusal": [token]}},
        delta() | {"logprobs": {"content": [], "refusal": None}},
    ) == [Text("a"), Logprobs(expected), Logprobs(expected, refusal=True)]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_in_any_field(field: str) -> None:
    assert said(delta(**{field: "hm", "content": "a"})) == [Thinking("hm"), Text("a")]
    assert said(delta(reasoning="hm", reasoning_content="hm")) == [Thinking("hm")]


def details(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return delta(reasoning_details=list(found), **more)


def test_reasoning_in_details() -> None:
    words = {"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}
    summary = {"type": "reasoning.summary", "summary": "so"}
    signed = {"type": "reasoning.text", "signature": "s", "format": "f", "index": 0}
    value = '{"type":"reasoning.text","signature":"s","format":"f"}'

    assert said(details(words, reasoning="hm"), details(words), details(summary)) == [
        *(Thinking("hm"), Thinking("hm"), Thinking("so", summary=True)),
    ]
    assert said(details(words), details(signed)) == [Thinking("hm"), Signature(value, NAME)]
    # Some say all of it again where they sign it.
    again = details(signed | {"text": "hmhm"})
    expected = [Thinking("hm"), Thinking("hm"), Signature(value, NAME)]
    assert said(delta(reasoning="hm"), delta(reasoning="hm"), again) == expected
    assert said(details(signed, reasoning="hm")) == [Thinking("hm"), Signature(value, NAME)]


def test_reasoning_that_is_only_kept_encrypted() -> None:
    hidden = {"type": "reasoning.encrypted", "data": "d", "id": "i", "index": 1}
    value = '{"type":"reasoning.encrypted","data":"d","id":"i"}'

    assert said(details(hidden)) == [Signature(value, NAME, redacted=True)]


def test_content_in_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}]},
        {"type": "thinking", "thinking": "!"},
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
    ]

    assert said(delta(content=parts)) == [Thinking("hm"), Thinking("!"), Text("a")]


def test_content_that_a_server_has_parsed() -> None:
    assert said(delta(content={"a": [1, {"b": None}]})) == [Text('{"a":[1, {"b": null}]}')]


def test_calls() -> None:
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = said(
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]),
        delta(function_call={"arguments": "}"}),
        finish("tool_calls"),
    )

    stop = Stop("tool_calls", "tool_calls")
    assert events == [Call(0, "c", "f"), Arguments(0, "{"), Arguments(0, "}"), stop, End()]


def test_a_function_call_of_old() -> None:
    events = said(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{}"}),
        finish("function_call"),
    )

    assert isinstance(events[0], Call)
    assert (events[0].name, events[1]) == ("f", Arguments(0, "{}"))
    assert events[2] == Stop("tool_calls", "function_call")
    assert said(delta(content="a", function_call={"name": "", "arguments": ""})) == [Text("a")]


def test_a_call_that_had_to_be_made_stops_for_no_reason() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}

    assert said(delta(tool_calls=[call]), finish())[-2] == Stop("tool_calls", "stop")


@pytest.mark.parametrize(
    ("more", "stop"),
    [
        ({"native_finish_reason": "end_turn"}, Stop("stop", "end_turn")),
        ({"native_finish_reason": "pause_turn"}, Stop("pause", "pause_turn")),
        ({"native_finish_reason": "stop"}, Stop("stop", "stop")),
        ({"stop_reason": "\n"}, Stop("stop_sequence", "stop", "\n")),
        ({"stop_reason": 128009}, Stop("stop", "stop")),
    ],
)
def test_what_else_is_said_of_a_stop(more: dict[str, Any], stop: Stop) -> None:
    assert said(finish(**more)) == [stop, End()]


def test_a_choice_stops_once() -> None:
    assert said(finish("length"), finish("stop")) == [Stop("length", "length"), End()]


def test_a_choice_that_never_stopped_stops_at_the_end() -> None:
    assert decode(chunk(delta(content="a")), DONE)[1:] == [Text("a"), Stop("stop"), End()]
    assert decode(chunk(delta(content="a") | {"finish_reason": ""})) == [
        Begin("r", "m", 7),
        Text("a"),
    ]


@pytest.mark.parametrize("rest", [DONE[:-2], DONE[:-1], b""])
def test_an_end_without_its_blank_line_or_at_all(rest: bytes) -> None:
    assert decode(chunk(finish()), rest)[-1] == End()


def test_a_last_chunk_without_its_blank_line() -> None:
    whole = chunk(finish())

    assert decode(chunk(delta(content="a")), whole[:-2])[-2:] == [Stop("stop", "stop"), End()]
    assert decode(chunk(delta(content="a")), whole[:-3])[-1] == Text("a")


def test_a_stream_without_a_reason_was_cut_off() -> None:  # trap 8
    assert decode(chunk(delta(content="a")))[-1] == Text("a")
    assert decode(chunk(delta(content="a")), chunk(delta(1, content="b"), finish()))[-1] != End()


def test_a_filters_chunk_has_no_choices() -> None:  # trap 2
    filtered = frame(choices=[], id="", model="", prompt_filter_results=[{"x": {}}])
    events = decode(filtered, chunk(delta(content="a")))

    assert events == [Other(filtered, NAME), Begin("r", "m", 7), Text("a")]


COUNTS = {"prompt_tokens": 3, "completion_tokens": 4}


@pytest.mark.parametrize(
    "last",
    [
        frame(choices=[], usage=COUNTS),
        frame(choices=[finish()], usage=COUNTS),
        frame(choices=[finish(usage=COUNTS)]),
        frame(choices=[finish()], x_groq={"id": "x", "usage": COUNTS}),
        frame(choices=[delta(role="assistant", content="")], usage=COUNTS),
        frame(usage=COUNTS),
    ],
)
def test_usage_wherever_it_stands(last: bytes) -> None:
    assert Used(Usage(3, 4)) in decode(chunk(delta(content="a")), last)


def test_usage_with_every_chunk() -> None:
    used = [
        event
        for count in (1, 2)
        for event in decode(chunk(delta(content="a"), usage=COUNTS | {"completion_tokens": count}))
        if isinstance(event, Used)
    ]

    assert used == [Used(Usage(3, 1)), Used(Usage(3, 2))]


def test_citations() -> None:
    cited = {"url": "u", "title": "t", "start_index": 1, "end_index": 2}
    raw = {"type": "url_citation", "url_citation": cited}
    [found] = said(delta(annotations=[raw, "odd"]))

    assert isinstance(found, Citation)
    assert (found.url, found.title, found.start, found.end) == ("u", "t", 1, 2)
    assert (found.origin, json.loads(found.raw)) == (NAME, raw)


def test_what_is_not_read_may_be_broken() -> None:
    spoiled = b'{"type":"url_citation","x":"\xff"}'
    body = (
        b'data: {"choices":[{"delta":{"annotations":[%b],"content":{"x":"\xff"}}}]}\n\n' % spoiled
    )

    assert decode(body)[1:] == [Text('{"x":"\ufffd"}')]


def test_the_sources_of_an_answer_are_told_once() -> None:
    sources: dict[str, Any] = {
        "citations": ["u", "v"],
        "search_results": [{"url": "v", "title": "t"}],
    }
    events = decode(
        chunk(delta(content="a"), citations=["u"]),
        chunk(delta(content="b"), **sources),
        chunk(finish(), **sources),
    )

    assert events[3:] == [Citation("u"), Citation("v", "t"), Stop("stop", "stop"), End()]


def test_media() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    elsewhere = {"type": "image_url", "image_url": {"url": "https://example.com"}}

    assert said(delta(images=[image, elsewhere, {}])) == [Media("image/png", "AA")]
    sound = chunk(delta(audio={"id": "a", "data": "AA"}))
    assert decode(sound)[1:] == [Other(sound, NAME)]


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ({"error": {"message": "no", "code": 429}}, ProviderRateLimited, "no"),
        ({"error": {"message": "no", "type": "overloaded_error"}}, ProviderOverloaded, "no"),
        ({"error": {"message": "no", "code": "context_length_exceeded"}}, TooLong, "no"),
        ({"error": "no"}, ProviderBroke, "no"),
        ({"error": [1]}, ProviderBroke, "an error event in the stream"),
        ({"object": "error", "message": "no", "code": 500}, ProviderBroke, "no"),
        ({"type": "error", "message": "no"}, ProviderBroke, "no"),
    ],
)
def test_errors_in_a_stream(data: dict[str, Any], kind: type[ProxyError], words: str) -> None:
    # trap 13
    *events, failure = decode(chunk(delta(content="a")), frame(**data), DONE)

    assert events[-1] == Text("a")
    assert isinstance(failure, Failure)
    assert (type(failure.error), str(failure.error)) == (kind, words)
    assert type(decode(b"event: error\n" + frame(**data))[0]) is Failure


def test_an_error_beside_a_choice() -> None:
    error = {"code": 502, "message": "no"}
    events = decode(chunk(finish("error"), error=error))
    alone = decode(chunk(finish("error")))

    assert isinstance(events[-1], Failure)
    assert str(events[-1].error) == "no"
    assert isinstance(alone[-1], Failure)


@pytest.mark.parametrize("empty", [None, {}, ""])
def test_an_empty_error_is_none(empty: object) -> None:
    assert decode(chunk(delta(content="a"), error=empty))[-1] == Text("a")


@pytest.mark.parametrize(
    "data", [b"data: {\n\n", b"data: 1\n\n", b"data: \xff\n\n", b"data: [[\n\n"]
)
def test_what_is_no_chunk_is_a_failure(data: bytes) -> None:
    *events, failure = decode(chunk(delta(content="a")), data, chunk(delta(content="b")))

    assert events[-1] == Text("a")
    assert isinstance(failure, Failure)
    assert type(failure.error) is BadResponse


def test_a_frame_without_end_is_a_failure() -> None:  # trap 16
    decoder = ChatDecoder()
    large = b"data: " + b" " * MAX_FRAME
    [begin, text, failure] = decoder.feed(chunk(delta(content="a")) + large)

    assert (begin, text) == (Begin("r", "m", 7), Text("a"))
    assert isinstance(failure, Failure)
    assert decoder.feed(b"\n\n") == decoder.close() == []


def test_fields_of_an_odd_type_are_passed_over() -> None:
    odd = delta(content="a", reasoning={"x": 1}, tool_calls="none") | {"logprobs": [1]}

    first = frame(created="today", id=1, choices=[odd])

    assert decode(first, chunk(odd)) == [Begin(), Text("a"), Text("a")]


def test_framing_of_every_kind() -> None:  # trap 15
    data = json.dumps({"id": "r", "choices": [delta(content="a")]}, indent=1)
    lines = "".join(f"data: {line}\n" for line in data.splitlines())

    assert decode(lines.encode() + b"\n")[1:] == [Text("a")]
    assert decode(b"id: 1\nretry: 5\n" + chunk(delta(content="a")))[1:] == [Text("a")]
    assert decode(chunk(delta(content="a")).replace(b"\n", b"\r\n"))[1:] == [Text("a")]
    assert decode(chunk(delta(content="a")).replace(b"data: ", b"data:"))[1:] == [Text("a")]
    assert decode(b": OPENROUTER PROCESSING\n\n", b"\n", b"event: x\n\n") == []
    ping = b'event: ping\ndata: {"x":1}\n\n'
    assert decode(ping) == [Other(ping, NAME)]


# Whole answers.


def whole(**message: Any) -> list[Event]:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}
    body = {"id": "r", "model": "m", "created": 7, "choices": [choice], "usage": COUNTS}
    begin, *events, stop, used, end = ChatDecoder().whole(json.dumps(body).encode())
    assert (begin, used, end) == (Begin("r", "m", 7), Used(Usage(3, 4)), End())
    assert isinstance(stop, Stop)
    return events


def test_a_whole_answer() -> None:
    assert whole(content="a") == [Text("a")]
    assert whole(content=None, refusal="no") == [Refusal("no")]
    assert whole(content="a", reasoning="hm") == [Thinking("hm"), Text("a")]


def test_each_call_of_a_whole_answer_is_one_of_its_own() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}, "id": ""}
    first, arguments, second, _ = whole(tool_calls=[call, call])

    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert (first.index, second.index, arguments) == (0, 1, Arguments(0, '{"a":1}'))
    assert first.id != second.id


def test_a_whole_answer_in_sound() -> None:
    empty = {"id": "", "data": "", "transcript": ""}

    assert whole(content="a", audio=empty) == [Text("a")]
    body = json.dumps({"choices": [{"message": {"audio": {"id": "a", "data": "AA"}}}]}).encode()
    assert ChatDecoder().whole(body)[0] == Other(body, NAME)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BadResponse),
        (b"{", BadResponse),
        (b"[]", BadResponse),
        (b"{}", BadResponse),
        (b'{"choices":[]}', BadResponse),
        (b'{"choices":1}', BadResponse),
        (b"[" * 100_000, BadResponse),
        (b'{"error":{"message":"no","code":429}}', ProviderRateLimited),
        (b'{"choices":[{"finish_reason":"error"}]}', ProviderBroke),
        (b'{"choices":[{}],"error":{"message":"no","code":429}}', ProviderRateLimited),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, kind: type[ProxyError]) -> None:
    with pytest.raises(ProxyError) as raised:
        ChatDecoder().whole(body)
    assert type(raised.value) is kind
