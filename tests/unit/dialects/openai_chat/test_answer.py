"""Events as a whole answer of OpenAI's Chat."""

import json
from collections.abc import Callable
from typing import Any

from openai import OpenAI

from proxy.chat import Chat, Reasoning
from proxy.dialects.openai_chat.answer import answer
from proxy.dialects.openai_chat.wire import NAME
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
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


def whole(*events: Event, **fields: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "asked", "messages": []}
    body: dict[str, Any] = json.loads(answer(Chat(**asked | fields), [*events, End()]))
    return body


def message(*events: Event, **fields: Any) -> dict[str, Any]:
    [choice] = whole(*events, **fields)["choices"]
    found: dict[str, Any] = choice["message"]
    assert found.pop("role") == "assistant"
    return found


def test_an_answer_is_whole() -> None:
    events = [Begin("r", "m", 7), Text("a"), Text("b"), Stop("length"), Used(Usage(3, 4))]

    assert whole(*events) == {
        **{"id": "r", "object": "chat.completion", "created": 7, "model": "m"},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            **{"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_what_was_not_counted_is_not_said() -> None:
    assert "usage" not in whole(Begin("r", "m", 7), Stop("stop"))


def test_choices_are_in_their_order() -> None:
    choices = whole(Text("b", 1), Text("a"), Stop("stop", choice=1), Stop("stop"))["choices"]

    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [
        *((0, "a"), (1, "b")),
    ]


def test_calls_stand_in_the_place_of_content() -> None:
    found = message(Call(0, "c", "f"), Call(1, "", "g", custom=True), Arguments(0, "{}"))
    first, second = found["tool_calls"]

    assert found["content"] is None
    assert first == {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert second["custom"] == {"name": "g", "input": ""}
    assert second["id"].startswith("call_")
    assert message(Stop("stop")) == {"content": "", "refusal": None}


def test_a_client_of_old_gets_one_call_of_old() -> None:
    events = [Call(0, "c", "f"), Arguments(0, "{}"), Call(1, "d", "g"), Stop("tool_calls")]
    found = whole(*events, legacy_functions=True)["choices"][0]

    assert found["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in found["message"]
    assert found["finish_reason"] == "function_call"


def test_refusal_reasoning_and_signatures() -> None:
    events = [Thinking("h"), Thinking("m"), Signature("s", "gemini"), Refusal("no")]
    hidden = Signature("d", "gemini", redacted=True)
    signed = {"type": "reasoning.text", "text": "hm", "signature": "~gemini~s", "index": 0}

    assert message(*events, hidden) == {
        **{"content": None, "refusal": "no", "reasoning_content": "hm"},
        "reasoning_details": [
            signed,
            {"type": "reasoning.encrypted", "data": "~gemini~d", "index": 1},
        ],
    }
    silent = message(*events, reasoning=Reasoning(show=False))
    assert silent == {"content": None, "refusal": "no"}


def test_logprobs_are_put_together() -> None:
    one = [Logprob("a", -1.0)]
    found = whole(Text("aa"), Logprobs(one), Logprobs(one), Logprobs(one, refusal=True))
    tokens = found["choices"][0]["logprobs"]

    assert [len(tokens[name]) for name in ("content", "refusal")] == [2, 1]


def test_citations_and_media() -> None:
    found = message(
        *(Text("four"), Citation("u", "t"), Media("image/png", "AA"), Media("audio/wav", "BB"))
    )
    cited = {"url": "u", "title": "t", "start_index": 4, "end_index": 4}

    assert found["annotations"] == [{"type": "url_citation", "url_citation": cited}]
    assert found["images"][0]["image_url"] == {"url": "data:image/png;base64,AA"}
    assert (found["audio"]["data"], found["audio"]["transcript"]) == ("BB", "four")


def test_sound_goes_back_to_its_own_dialect_as_it_came() -> None:
    audio = {"id": "a", "data": "AA", "expires_at": 1, "transcript": "t"}
    body = json.dumps({"choices": [{"index": 0, "message": {"audio": audio}}]}).encode()

    assert message(Other(body, NAME), Stop("stop"))["audio"] == audio
    assert "audio" not in message(Other(body, "gemini"), Other(b"data: x", NAME), Stop("stop"))


def test_the_sdk_reads_it(openai_sdk: Callable[[bytes, bool], OpenAI]) -> None:
    events: list[Event] = [
        *(
            Begin("r", "m", 7),
            Thinking("hm"),
            Text("a"),
            Citation("u", "t"),
            Media("audio/wav", "B"),
        ),
        *(Call(0, "c", "f"), Arguments(0, "{}"), Stop("tool_calls", "tool_use"), Used(Usage(3, 4))),
    ]
    client = openai_sdk(answer(Chat(model="m", messages=[]), events), False)
    completion = client.chat.completions.create(model="m", messages=[])

    # Read again by the same types, strictly.
    strict = type(completion).model_validate(completion.model_dump())
    assert strict.choices[0].message.annotations is not None
    assert strict.choices[0].message.annotations[0].url_citation.url == "u"
