"""Events as whole answers of Completions."""

import json
from typing import Any

from openai.types import Completion

from proxy.chat import Chat
from proxy.dialects.openai_completions.answer import answer
from proxy.event import (
    Begin,
    End,
    Event,
    Logprob,
    Logprobs,
    Refusal,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

ASK = Chat(model="m", messages=[])


def answered(*events: Event) -> Any:
    body = answer(ASK, [*events, End()])
    Completion.model_validate_json(body)
    return json.loads(body)


def test_an_answer() -> None:
    made = answered(
        *(Begin("id", "up", 7), Thinking("h"), Text("a"), Text("b"), Stop("length", "max_tokens")),
        Used(Usage(3, 2, cached_tokens=1)),
    )

    assert made.pop("usage")["prompt_tokens_details"]["cached_tokens"] == 1
    assert made == {
        **{"id": "id", "object": "text_completion", "created": 7, "model": "up"},
        "choices": [
            {
                **{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "length"},
                "native_finish_reason": "max_tokens",
            }
        ],
    }


def test_choices_stand_in_their_order() -> None:
    made = answered(Text("b", 1), Text("a"), Stop("stop", choice=1), Stop("stop"))

    assert [(each["index"], each["text"]) for each in made["choices"]] == [(0, "a"), (1, "b")]
    assert "usage" not in made


def test_words_that_refuse_are_text() -> None:
    [made] = answered(Refusal("No."), Stop("refusal"))["choices"]

    assert (made["text"], made["finish_reason"]) == ("No.", "content_filter")


def test_log_probabilities_are_put_together() -> None:
    [made] = answered(
        *(Text("ab"), Logprobs([Logprob("a", -1)]), Text("c"), Logprobs([Logprob("bc", -2)])),
        Stop("stop"),
    )["choices"]

    assert made["logprobs"] == {
        "tokens": ["a", "bc"],
        "token_logprobs": [-1, -2],
        "top_logprobs": [{}, {}],
        "text_offset": [0, 1],
    }
