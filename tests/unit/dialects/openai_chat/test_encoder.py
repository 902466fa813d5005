"""Events as a stream of OpenAI's Chat."""

import json
from collections.abc import Callable
from typing import Any

from openai import OpenAI

from proxy.chat import Chat, Reasoning
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.encoder import ChatEncoder
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import ProviderOverloaded
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

CHAT = OpenAIChat()
BEGIN = Begin("r", "m", 7)


def encoder(**fields: Any) -> ChatEncoder:
    asked: dict[str, Any] = {"model": "asked", "messages": [], "include_usage": False}
    return ChatEncoder(Chat(**asked | fields), CHAT.error_event)


def encode(*events: Event, **fields: Any) -> list[Any]:
    """What the frames say; a frame that is none of JSON as its text."""
    made = encoder(**fields).feed(events)
    assert made.endswith(b"\n\n") or not made
    assert b"\r" not in made
    found: list[Any] = []
    for frame in made.split(b"\n\n")[:-1]:
        assert frame.startswith(b"data: ")
        text = frame.removeprefix(b"data: ").decode()
        found.append(json.loads(text) if text.startswith("{") else text)
    return found


def deltas(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    """The deltas of the one choice, after the one that has the role."""
    chunks = encode(BEGIN, *events, **fields)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant"}
    return [chunk["choices"][0]["delta"] for chunk in chunks[1:]]


def test_a_chunk_is_whole() -> None:
    [_, chunk] = encode(Begin("r", "m", 7, "flex", "fp"), Text('a"\n'))

    assert chunk == {
        **{"id": "r", "object": "chat.completion.chunk", "created": 7, "model": "m"},
        **{"service_tier": "flex", "system_fingerprint": "fp"},
        "choices": [
            {"index": 0, "delta": {"content": 'a"\n'}, "logprobs": None, "finish_reason": None}
        ],
    }


def test_what_the_provider_did_not_say_is_made() -> None:
    [role, text] = encode(Text("a"))

    assert role["id"] == text["id"] != ""
    assert role["model"] == "asked"
    assert role["created"] > 1_700_000_000
    assert encode(Begin())[0]["id"] != encode(Begin())[0]["id"]


def test_every_choice_begins_with_its_role() -> None:  # trap 9
    chunks = encode(BEGIN, Text("b", 1), Text("c", 2), n=2)
    said = [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"]) for chunk in chunks]

    role = {"role": "assistant"}
    assert said == [(0, role), (1, role), (1, {"content": "b"}), (2, role), (2, {"content": "c"})]


def test_usage_comes_last_and_only_for_who_asked() -> None:  # traps 1 and 3
    events = [BEGIN, Used(Usage(1, 2)), Text("a"), Stop("stop"), Used(Usage(9, 5, 4, 3, 2)), End()]
    *chunks, usage, done = encode(*events, include_usage=True)

    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"] == {
        **{"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    unasked = encode(*events, include_usage=False)
    assert [chunk for chunk in unasked[:-1] if "usage" in chunk] == []
    assert len(unasked) == len(chunks) + 1


def test_the_end_comes_once() -> None:
    encoding = encoder()

    assert encoding.feed([BEGIN, End()]).endswith(b"data: [DONE]\n\n")
    assert encoding.feed([Text("a")]) == encoding.close() == b""
    assert encoder().close().endswith(b"data: [DONE]\n\n")


def test_a_failure_is_the_last_frame() -> None:
    encoding = encoder()
    error = ProviderOverloaded("no")
    encoding.feed([BEGIN])

    assert encoding.feed([Failure(error), Text("a")]) == CHAT.error_event(error)
    assert encoding.close() == b""


def test_a_refusal() -> None:  # trap 10
    assert deltas(Refusal("no")) == [{"refusal": "no"}]


def test_calls() -> None:
    events = [
        *(Call(0, "c", "f"), Call(1, "d", "g", custom=True)),
        *(Arguments(0, "{"), Arguments(1, "x"), Arguments(0, "}"), Arguments(2, "never began")),
    ]

    function = {"name": "f", "arguments": ""}
    assert [delta["tool_calls"] for delta in deltas(*events)] == [
        [{"index": 0, "id": "c", "type": "function", "function": function}],
        [{"index": 1, "id": "d", "type": "custom", "custom": {"name": "g", "input": ""}}],
        [{"index": 0, "function": {"arguments": "{"}}],
        [{"index": 1, "custom": {"input": "x"}}],
        [{"index": 0, "function": {"arguments": "}"}}],
    ]


def test_a_call_without_id_gets_one() -> None:
    [delta] = deltas(Call(0, "", "f"))

    assert delta["tool_calls"][0]["id"].startswith("call_")


def test_a_client_of_old_gets_one_call_of_old() -> None:
    events = [Call(0, "c", "f"), Arguments(0, "{"), Call(1, "d", "g"), Arguments(1, "[")]

    assert deltas(*events, legacy_functions=True) == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
    ]
    [_, stop] = encode(BEGIN, Stop("tool_calls", "tool_use"), legacy_functions=True)
    assert stop["choices"][0]["finish_reason"] == "function_call"


def test_a_calls_signature_is_kept_for_the_way_back() -> None:
    [delta] = deltas(Call(0, "c", "f", signature="s", origin="gemini"))

    kept = {"google": {"thought_signature": "~gemini~s"}}
    assert delta["tool_calls"][0]["extra_content"] == kept


def test_reasoning() -> None:
    events = [
        *(Thinking("h"), Thinking("m"), Signature("s", "anthropic_messages")),
        *(Signature("d", "anthropic_messages", redacted=True), Thinking("so")),
        Signature("t", "anthropic_messages"),
    ]
    signed = {"type": "reasoning.text", "text": "hm", "signature": "~anthropic_messages~s"}
    hidden = {"type": "reasoning.encrypted", "data": "~anthropic_messages~d"}
    other = {"type": "reasoning.text", "text": "so", "signature": "~anthropic_messages~t"}

    assert deltas(*events) == [
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"reasoning_details": [signed | {"index": 0}]},
        {"reasoning_details": [hidden | {"index": 1}]},
        {"reasoning_content": "so"},
        {"reasoning_details": [other | {"index": 2}]},
    ]
    assert deltas(*events, reasoning=Reasoning(show=False)) == []


TOKENS = [Logprob("a", -1.0, [97], [Logprob("b", -2.0)])]
TOKEN = {
    **{"token": "a", "logprob": -1.0, "bytes": [97]},
    "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": None}],
}


def test_logprobs_stand_with_what_they_are_of() -> None:
    events = [Text("a"), Logprobs(TOKENS), Text("b"), Refusal("c"), Logprobs(TOKENS, refusal=True)]
    chunks = [chunk["choices"][0] for chunk in encode(BEGIN, *events, logprobs=True)[1:]]

    assert [(chunk["delta"], chunk["logprobs"]) for chunk in chunks] == [
        ({"content": "a"}, {"content": [TOKEN]}),
        ({"content": "b"}, None),
        ({"refusal": "c"}, {"content": None, "refusal": [TOKEN]}),
    ]
    [_, text, tokens] = encode(BEGIN, Text("a"), Logprobs(TOKENS))
    assert text["choices"][0]["logprobs"] is None
    assert (tokens["choices"][0]["delta"], tokens["choices"][0]["logprobs"]) == (
        {},
        {"content": [TOKEN]},
    )


def test_text_does_not_wait_for_logprobs_that_may_come() -> None:
    encoding = encoder(logprobs=True)

    assert b'"content":"a"' in encoding.feed([BEGIN, Text("a")])
    assert b'"logprobs":{' in encoding.feed([Logprobs(TOKENS)])


def test_order_stays_where_text_might_wait() -> None:
    events = [Text("a"), Call(0, "c", "f"), Text("b"), Arguments(0, "{"), Text("c"), Stop("stop")]
    kinds = [list(delta) for delta in deltas(*events, logprobs=True)]

    assert kinds == [["content"], ["tool_calls"]] * 2 + [["content"], []]


def test_stops() -> None:
    [_, stop] = encode(BEGIN, Stop("stop_sequence", "stop_sequence", "\n"))

    assert stop["choices"] == [
        {
            **{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"},
            **{"native_finish_reason": "stop_sequence", "stop_reason": "\n"},
        }
    ]


def test_citations() -> None:
    raw = b'{"type":"url_citation","url_citation":{"url":"v"},"x":1}'
    events = [Text("four"), Citation("u", "t"), Citation(raw=raw, origin=NAME)]
    [_, first, second] = deltas(*events)

    cited = {"url": "u", "title": "t", "start_index": 4, "end_index": 4}
    assert first["annotations"] == [{"type": "url_citation", "url_citation": cited, "index": 0}]
    assert second["annotations"] == [json.loads(raw) | {"index": 1}]


def test_media() -> None:
    image, sound = deltas(Media("image/png", "AA"), Media("audio/wav", "BB"))
    url = {"url": "data:image/png;base64,AA"}

    assert image["images"] == [{"type": "image_url", "image_url": url, "index": 0}]
    assert sound == {"audio": {"data": "BB"}}


def test_other_frames_go_back_to_their_own_dialect_but_named_ones() -> None:  # traps 5 and 6
    own = Other(b'data: {"choices":[],\r\ndata: "x":1}\r\n\r\n', NAME)
    named = Other(b'event: ping\ndata: {"x":1}\n\n', NAME)
    foreign = Other(b"data: {}\n\n", "anthropic_messages")

    assert encode(own, named, foreign) == [{"choices": [], "x": 1}]


def test_the_sdk_puts_it_together(openai_sdk: Callable[[bytes, bool], OpenAI]) -> None:
    events: list[Event] = [
        *(BEGIN, Thinking("hm"), Signature("s", "gemini"), Text("a", 1), Text("b"), Text("c")),
        *(
            Logprobs(TOKENS),
            Refusal("no", 1),
            Citation("u"),
            Citation("v"),
            Media("image/png", "AA"),
        ),
        *(Call(0, "c", "f"), Call(1, "d", "f"), Arguments(1, "{}"), Arguments(0, "{}")),
        *(Stop("tool_calls", "tool_use"), Stop("stop", choice=1), Used(Usage(3, 4)), End()),
    ]
    made = encoder(n=2, logprobs=True, include_usage=True).feed(events)
    with openai_sdk(made, True).chat.completions.stream(model="m", messages=[]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert {"content.done", "refusal.done", "logprobs.content.done"} <= kinds
    first, second = final.choices
    assert first.message.content == "bc"
    assert second.message.refusal == "no"
    calls = first.message.tool_calls or []
    assert [(call.id, call.function.arguments) for call in calls] == [("c", "{}"), ("d", "{}")]
    assert final.usage is not None
    assert final.usage.total_tokens == 7
    assert (first.message.model_extra or {})["reasoning_content"] == "hm"
    annotations = first.message.annotations or []
    assert [cited.url_citation.url for cited in annotations] == ["u", "v"]
