"""What providers of OpenAI's Responses answer, each in its own way."""

import json
from typing import Any

import pytest

from proxy.dialects.openai_responses.decoder import ResponsesDecoder
from proxy.dialects.openai_responses.wire import NAME, pack
from proxy.errors import (
    BadResponse,
    ProviderBroke,
    ProviderRateLimited,
    ProxyError,
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

BEGIN = Begin("r", "m", 7)
COUNTS = {"input_tokens": 3, "output_tokens": 4}


def frame(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 1, **fields}).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "model": "m", "created_at": 7.5, "error": None, "usage": None} | fields


def created(**fields: Any) -> bytes:
    return frame("response.created", response=response(status="in_progress", output=[], **fields))


def completed(**fields: Any) -> bytes:
    return frame("response.completed", response=response(status="completed", **fields))


def item(place: int, **fields: Any) -> bytes:
    return frame("response.output_item.added", output_index=place, item=fields)


def done(place: int, **fields: Any) -> bytes:
    return frame("response.output_item.done", output_index=place, item=fields)


def delta(kind: str, text: str, place: int = 0, **more: Any) -> bytes:
    return frame(f"response.{kind}.delta", delta=text, output_index=place, **more)


def decode(*frames: bytes) -> list[Event]:
    decoder = ResponsesDecoder()
    return [event for data in frames for event in decoder.feed(data)] + decoder.close()


def said(*frames: bytes) -> list[Event]:
    """The events of these frames, in a response that begins."""
    begin, *events = decode(created(), *frames)
    assert begin == BEGIN
    return events


def test_a_stream() -> None:
    events = decode(
        created(service_tier="flex"),
        frame("response.in_progress", response=response()),
        item(0, type="message", id="msg", role="assistant", content=[]),
        frame("response.content_part.added", output_index=0, content_index=0, part={}),
        delta("output_text", "a"),
        delta("output_text", "b"),
        frame("response.output_text.done", output_index=0, text="ab"),
        frame("response.content_part.done", output_index=0, part={}),
        done(0, type="message", content=[{"type": "output_text", "text": "ab"}]),
        completed(output=[{"type": "message"}], usage=COUNTS),
    )

    assert events == [
        Begin("r", "m", 7, "flex"),
        *(Text("a"), Text("b"), Stop("stop", "completed"), Used(Usage(3, 4)), End()),
    ]


def test_nothing_comes_after_the_end() -> None:
    assert decode(completed(), delta("output_text", "a"))[-1] == End()


def test_text_with_logprobs() -> None:
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}

    assert said(delta("output_text", "a", logprobs=[token]), delta("output_text", "")) == [
        *(Text("a"), Logprobs([Logprob("a", -1.0, [97])])),
    ]


def test_a_refusal() -> None:
    assert said(delta("refusal", "no"), completed()) == [
        *(Refusal("no"), Stop("refusal", "completed"), End()),
    ]


def test_calls() -> None:
    events = said(
        item(1, type="function_call", id="fc", call_id="c", name="f", arguments=""),
        item(2, type="custom_tool_call", id="ct", call_id="d", name="g", input=""),
        delta("function_call_arguments", "{", 1),
        delta("custom_tool_call_input", "free", 2),
        delta("function_call_arguments", "}", 1),
        frame("response.function_call_arguments.done", output_index=1, arguments="{}"),
        done(1, type="function_call", call_id="c", name="f", arguments="{}"),
        done(2, type="custom_tool_call", call_id="d", name="g", input="free"),
        completed(),
    )

    assert events == [
        *(Call(0, "c", "f"), Call(1, "d", "g", custom=True)),
        *(Arguments(0, "{"), Arguments(1, "free"), Arguments(0, "}")),
        *(Stop("tool_calls", "completed"), End()),
    ]


def test_a_call_that_comes_whole() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    expected = [Call(0, "c", "f"), Arguments(0, "{}")]

    assert said(done(0, **call)) == expected
    assert said(item(0, **call), done(0, **call)) == expected
    assert said(item(0, type="function_call"), done(0, **call)) == expected
    nameless = said(done(0, type="function_call", arguments="{}"))[0]
    assert isinstance(nameless, Call)
    assert nameless.id.startswith("call_")


def test_reasoning() -> None:
    events = said(
        item(0, type="reasoning", id="rs", summary=[]),
        frame("response.reasoning_summary_part.added", output_index=0, summary_index=0, part={}),
        delta("reasoning_summary_text", "a"),
        frame("response.reasoning_summary_text.done", output_index=0, text="a"),
        frame("response.reasoning_summary_part.done", output_index=0, part={}),
        frame("response.reasoning_summary_part.added", output_index=0, summary_index=1, part={}),
        delta("reasoning_summary_text", "b"),
        done(0, type="reasoning", id="rs", summary=[{"text": "a"}], encrypted_content="e"),
        delta("reasoning_text", "hm", 1),
        done(1, type="reasoning", id="rt", summary=[], content=[{"text": "hm"}]),
    )

    assert events == [
        *(Thinking("a", summary=True), Thinking("\n\n", summary=True), Thinking("b", summary=True)),
        *(Signature(pack("rs", "e"), NAME), Thinking("hm")),
    ]


def test_an_item_that_comes_whole() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    token = {"token": "a", "logprob": -1.0, "bytes": None}
    text = {"type": "output_text", "text": "a", "annotations": [cited], "logprobs": [token]}
    refusal = {"type": "refusal", "refusal": "no"}
    summary = [{"type": "summary_text", "text": text} for text in "ab"]
    events = said(
        done(0, type="reasoning", id="rs", summary=summary, encrypted_content="e"),
        done(1, type="reasoning", id="rt", content=[{"type": "reasoning_text", "text": "hm"}]),
        done(2, type="message", content=[text, refusal]),
        done(3, type="image_generation_call", result="AA", output_format="webp"),
        done(4, type="image_generation_call", result=None),
    )

    *before, citation, told, image = events
    assert before == [
        *(Thinking("a\n\nb", summary=True), Signature(pack("rs", "e"), NAME), Thinking("hm")),
        *(Text("a"), Logprobs([Logprob("a", -1.0)])),
    ]
    assert isinstance(citation, Citation)
    assert (citation.url, citation.start, citation.end) == ("u", 0, 1)
    assert (told, image) == (Refusal("no"), Media("image/webp", "AA"))


def test_citations_count_from_the_beginning_of_all_text() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    events = said(
        item(0, type="message"),
        delta("output_text", "four"),
        item(1, type="message"),
        delta("output_text", "two", 1),
        frame("response.output_text.annotation.added", output_index=1, annotation=cited),
        frame("response.output_text.annotation.added", output_index=1, annotation={"x": 1}),
        frame("response.output_text.annotation.added", output_index=1, annotation=7),
        done(1, type="message", content=[{"text": "two", "annotations": [cited]}]),
    )
    _, _, first, second = events

    assert isinstance(first, Citation)
    assert (first.start, first.end, json.loads(first.raw), first.origin) == (4, 6, cited, NAME)
    assert isinstance(second, Citation)
    assert (second.url, second.start) == ("", None)


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Stop("length", "max_output_tokens"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Stop("filter", "content_filter"),
        ),
        ({"status": "incomplete"}, Stop("length", "incomplete")),
    ],
)
def test_an_incomplete_response(fields: dict[str, Any], stop: Stop) -> None:
    last = frame("response.incomplete", response=response(**fields, usage=COUNTS))

    assert said(last) == [stop, Used(Usage(3, 4)), End()]


ERROR = {"code": "rate_limit_exceeded", "message": "no"}


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (
            frame("response.failed", response=response(status="failed", error=ERROR)),
            ProviderRateLimited,
            "no",
        ),
        (
            frame("response.failed", response=response(status="failed")),
            ProviderBroke,
            "the provider's response failed",
        ),
        (
            frame("response.completed", response=response(status="cancelled")),
            ProviderBroke,
            "the provider's response failed",
        ),
        (frame("error", **ERROR), ProviderRateLimited, "no"),
        (frame("error", error=ERROR), ProviderRateLimited, "no"),
        (frame("error"), ProviderBroke, "an error event in the stream"),
        (b'data: {"error":{"message":"no"}}\n\n', ProviderBroke, "no"),
    ],
)
def test_errors_in_a_stream(data: bytes, kind: type[ProxyError], words: str) -> None:  # trap 13
    *events, failure = said(delta("output_text", "a"), data, completed())

    assert events == [Text("a")]
    assert isinstance(failure, Failure)
    assert (type(failure.error), str(failure.error)) == (kind, words)


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 1\n\n", b"data: \xff\n\n"])
def test_what_is_no_event_is_a_failure(data: bytes) -> None:
    [failure] = said(data, completed())

    assert isinstance(failure, Failure)
    assert type(failure.error) is BadResponse


def test_what_only_this_dialect_knows_is_kept() -> None:  # trap 17
    frames = [
        item(0, type="web_search_call", id="ws"),
        frame("response.web_search_call.searching", output_index=0, item_id="ws"),
        done(0, type="web_search_call", id="ws"),
        b"event: x\ndata: {}\n\n",
    ]

    assert said(*frames) == [Other(each, NAME) for each in frames]


def test_a_stream_of_which_only_the_last_event_tells() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]
    expected = [Text("a"), Stop("stop", "completed"), End()]

    assert decode(completed(output=output)) == [BEGIN, *expected]
    assert said(completed(output=output)) == expected


def test_a_stream_that_does_not_say_that_it_begins() -> None:
    assert decode(delta("output_text", "a")) == [Begin(), Text("a")]


def test_a_stream_that_was_cut_off_has_no_end() -> None:  # trap 8
    assert said(delta("output_text", "a"), completed()[:-3]) == [Text("a")]
    assert said(completed()[:-2])[-1] == End()


def test_framing_of_every_kind() -> None:
    bare = delta("output_text", "a").partition(b"\n")[2]

    assert said(bare) == [Text("a")]
    assert said(delta("output_text", "a").replace(b"\n", b"\r\n")) == [Text("a")]
    assert said(b"id: 1\n" + delta("output_text", "a")) == [Text("a")]
    assert said(bare[:-2] + b"\nid: 1\n\n") == [Text("a")]
    assert said(b": OPENROUTER PROCESSING\n\n", b"data: [DONE]\n\n", b"\n") == []
    assert said(b": data: {}\n\n") == []


def test_fields_of_an_odd_type_are_passed_over() -> None:
    assert said(delta("output_text", "a", logprobs={})) == [Text("a")]
    assert said(frame("response.output_item.done", output_index=0, item=7)) == []
    assert said(delta("output_text", "a", place="x")) == [Text("a")]  # type: ignore[arg-type]


# Whole responses.


def whole(*output: dict[str, Any], **fields: Any) -> list[Event]:
    body = response(status="completed", output=list(output), **fields)
    return ResponsesDecoder().whole(json.dumps(body).encode())


def test_a_whole_response() -> None:
    text = {"type": "output_text", "text": "a", "annotations": []}
    search = {"type": "web_search_call", "id": "ws"}
    events = whole(
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"},
        search,
        {"type": "message", "content": [text]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        usage=COUNTS,
    )

    other = events.pop(2)
    assert isinstance(other, Other)
    assert json.loads(other.frame) == search
    assert events == [
        *(BEGIN, Signature(pack("rs", "e"), NAME), Text("a"), Call(0, "c", "f")),
        *(Arguments(0, "{}"), Stop("tool_calls", "completed"), Used(Usage(3, 4)), End()),
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BadResponse),
        (b"[]", BadResponse),
        (b"{}", BadResponse),
        (b"[" * 100_000, BadResponse),
        (b'{"status":"queued","output":[]}', BadResponse),
        (b'{"error":{"message":"no","code":429}}', ProviderRateLimited),
        (b'{"status":"failed","error":{"code":"rate_limit_exceeded"}}', ProviderRateLimited),
        (b'{"status":"failed","output":[]}', ProviderBroke),
    ],
)
def test_what_is_no_response_is_an_error(body: bytes, kind: type[ProxyError]) -> None:
    with pytest.raises(ProxyError) as raised:
        ResponsesDecoder().whole(body)
    assert type(raised.value) is kind
