"""Events as streams of Completions."""

import json
from typing import Any

import pytest

from proxy.chat import Chat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.errors import ProviderBroke
from proxy.event import (
    Begin,
    Call,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

COMPLETIONS = OpenAICompletions()
BEGIN = Begin("msg_1", "claude", 7)
HEAD = {"id": "msg_1", "object": "text_completion", "created": 7, "model": "claude"}


def encoded(events: list[Event], **fields: Any) -> bytes:
    fields = {"include_usage": False} | fields
    encoder = COMPLETIONS.encoder(Chat(model="m", messages=[], stream=True, **fields))
    return encoder.feed(events) + encoder.close()


def chunks(stream: bytes) -> list[Any]:
    frames = stream.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    found = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    return found


def choice(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish} | more


def test_a_stream() -> None:
    made = chunks(encoded([BEGIN, Text("Hi"), Stop("stop", "end_turn"), Used(Usage(3, 1)), End()]))

    assert made == [
        HEAD | {"choices": [choice("Hi")]},
        HEAD | {"choices": [choice("", "stop", native_finish_reason="end_turn")]},
    ]


def test_usage_comes_last_where_it_was_asked_for() -> None:
    made = chunks(encoded([BEGIN, Text("Hi"), Used(Usage(3, 1)), Stop("stop")], include_usage=True))

    assert [chunk["usage"] for chunk in made[:-1]] == [None, None]
    assert (made[-1]["choices"], made[-1]["usage"]["total_tokens"]) == ([], 4)


def test_what_nobody_counted_is_not_said() -> None:
    assert all(chunk["usage"] is None for chunk in chunks(encoded([BEGIN], include_usage=True)))


def test_a_response_that_never_began_has_a_head_all_the_same() -> None:
    [made] = chunks(encoded([Text("a")]))

    assert made["id"].startswith("cmpl-")
    assert (made["object"], made["model"]) == ("text_completion", "m")


def test_words_that_refuse_are_text() -> None:
    made = chunks(encoded([BEGIN, Refusal("No."), Stop("refusal")]))

    assert [each["choices"][0] for each in made] == [choice("No."), choice("", "content_filter")]


def test_what_has_no_place_is_left_out() -> None:
    events = [BEGIN, Thinking("h"), Signature("s", "gemini"), Call(0, "c", "f"), Text("a")]

    assert chunks(encoded([*events, Other(b"data: {}\n\n", "gemini")])) == [
        HEAD | {"choices": [choice("a")]}
    ]


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        (Stop("length", "max_tokens"), "length"),
        (Stop("context"), "length"),
        (Stop("filter", "SAFETY"), "content_filter"),
        (Stop("tool_calls", "tool_use"), "stop"),
        (Stop("tool_calls", "function_call"), "stop"),
        (Stop("stop_sequence", "stop_sequence", "x"), "stop"),
    ],
)
def test_it_stops_by_openais_words(stop: Stop, word: str) -> None:
    [made] = chunks(encoded([BEGIN, stop]))

    assert made["choices"][0]["finish_reason"] == word


def test_log_probabilities_go_with_their_text() -> None:
    top = [Logprob("é", -0.5), Logprob("e", -2.0)]
    made = chunks(
        encoded(
            [
                *(BEGIN, Text("é!"), Logprobs([Logprob("é", -0.5, [195, 169], top)])),
                *(Text("x"), Logprobs([Logprob("!", -1), Logprob("x", -1)])),
                *(Text("y"), Text("z", 1), Logprobs([Logprob("y", -1)])),
            ],
            logprobs=True,
        )
    )

    first, second, third, fourth, last = (each["choices"][0] for each in made)
    assert first == choice(
        "é!",
        logprobs={
            "tokens": ["é"],
            "token_logprobs": [-0.5],
            "top_logprobs": [{"é": -0.5, "e": -2.0}],
            "text_offset": [0],
        },
    )
    assert (second["text"], second["logprobs"]["text_offset"]) == ("x", [1, 2])
    assert second["logprobs"]["top_logprobs"] == [{}, {}]
    assert (third, fourth) == (choice("y"), choice("z", index=1))
    assert (last["text"], last["logprobs"]["text_offset"]) == ("", [3])


def test_a_failure_ends_a_stream() -> None:
    stream = encoded([BEGIN, Text("a"), Failure(ProviderBroke("oh")), Text("b")])

    assert stream.count(b"data: ") == 2
    assert b'"message":"oh"' in stream
    assert b"[DONE]" not in stream


def test_its_own_frames_are_said_again() -> None:
    own = Other(b'data: {"prompt_filter_results":[],"choices":[]}\n\n', "openai_completions")

    assert encoded([BEGIN, own]).startswith(own.frame)
