"""Answers of Completions as events."""

import json
from typing import Any

import pytest

from proxy.dialects.openai_completions.decoder import CompletionsDecoder
from proxy.errors import BadResponse, ProviderOverloaded, ProviderRateLimited
from proxy.event import (
    Begin,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Other,
    Stop,
    Text,
    Usage,
    Used,
)

HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m"}
BEGIN = Begin("cmpl-1", "m", 7)


def frame(*choices: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + json.dumps(HEAD | {"choices": choices} | more).encode() + b"\n\n"


def decoded(*frames: bytes) -> list[Event]:
    decoder = CompletionsDecoder()
    return [event for each in frames for event in decoder.feed(each)] + decoder.close()


def test_a_stream() -> None:
    assert decoded(
        frame({"text": "It", "index": 0, "logprobs": None, "finish_reason": None}),
        frame({"text": " is", "index": 0}),
        frame({"text": "", "index": 0, "finish_reason": "length"}),
        frame(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        b"data: [DONE]\n\n",
    ) == [
        *(BEGIN, Text("It"), Text(" is"), Stop("length", "length"), Used(Usage(3, 2)), End()),
    ]


def test_choices_interleave() -> None:
    assert decoded(
        frame({"text": "a", "index": 1}, {"text": "b", "index": 0}),
        frame({"text": "c", "index": 1, "finish_reason": "stop"}),
        frame({"text": "d", "index": 0, "finish_reason": "stop"}),
        b"data: [DONE]\n\n",
    ) == [
        *(BEGIN, Text("a", 1), Text("b"), Text("c", 1), Stop("stop", "stop", choice=1)),
        *(Text("d"), Stop("stop", "stop"), End()),
    ]


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({"finish_reason": "eos_token"}, Stop("stop", "eos_token")),
        ({"finish_reason": "who knows"}, Stop("stop", "who knows")),
        ({"finish_reason": "content_filter"}, Stop("filter", "content_filter")),
        ({"finish_reason": "stop", "stop_reason": "\n"}, Stop("stop_sequence", "stop", "\n")),
        ({"finish_reason": "stop", "stop_reason": 128001}, Stop("stop", "stop")),
    ],
)
def test_why_it_stopped(fields: dict[str, Any], stop: Stop) -> None:
    assert decoded(frame({"text": "", "index": 0} | fields))[1:] == [stop, End()]


def test_who_never_says_why_stopped_anyway() -> None:
    done = b"data: [DONE]\n\n"

    assert decoded(frame({"text": "a"}), done) == [BEGIN, Text("a"), Stop("stop"), End()]
    assert decoded(frame({"text": "a"})) == [BEGIN, Text("a")]


def test_usage_replaces_what_it_was() -> None:
    stream = [
        frame({"text": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        frame({"text": "b"}, usage={"prompt_tokens": 3, "completion_tokens": 2}),
    ]

    assert decoded(*stream) == [
        *(BEGIN, Text("a"), Used(Usage(3, 1)), Text("b"), Used(Usage(3, 2))),
    ]


def test_log_probabilities_stand_in_lists_side_by_side() -> None:
    logprobs = {
        "tokens": ["Pa", "ris"],
        "token_logprobs": [-0.5, -1],
        "top_logprobs": [{"Pa": -0.5, "O": -2}, None],
        "text_offset": [0, 2],
    }

    assert decoded(frame({"text": "Paris", "index": 0, "logprobs": logprobs}))[1:] == [
        Text("Paris"),
        Logprobs(
            [Logprob("Pa", -0.5, None, [Logprob("Pa", -0.5), Logprob("O", -2)]), Logprob("ris", -1)]
        ),
    ]


@pytest.mark.parametrize(
    ("logprobs", "tokens"),
    [
        ({"tokens": ["a", "b"], "token_logprobs": [None, -1]}, [Logprob("b", -1)]),
        ({"tokens": ["a"], "token_logprobs": [-1, -2]}, [Logprob("a", -1)]),
        ({"content": [{"token": "a", "logprob": -1, "bytes": [97]}]}, [Logprob("a", -1, [97])]),
        ({"tokens": [], "token_logprobs": []}, []),
        ({}, []),
    ],
)
def test_log_probabilities_of_other_shapes(logprobs: dict[str, Any], tokens: list[Logprob]) -> None:
    found = decoded(frame({"text": "", "logprobs": logprobs}))[1:]

    assert found == ([Logprobs(tokens)] if tokens else [])


def test_an_error_ends_a_stream() -> None:
    [_, _, failure] = decoded(
        frame({"text": "a"}),
        b'data: {"error":{"message":"too busy","type":"x","code":"overloaded"}}\n\n',
        frame({"text": "b"}),
    )

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, ProviderOverloaded)
    assert "too busy" in str(failure.error)


def test_what_is_no_chunk_ends_a_stream() -> None:
    [_, failure] = decoded(frame({"text": ""}), b"data: {\n\n")

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, BadResponse)


def test_what_only_this_dialect_knows_is_kept() -> None:
    odd = b'event: x-timing\ndata: {"ms":1}\n\n'

    assert decoded(odd) == [Other(odd, "openai_completions")]


def test_a_whole_answer() -> None:
    choices = [
        {"text": "a", "index": 0, "finish_reason": "stop", "logprobs": None},
        {"text": "b", "index": 1, "finish_reason": "length"},
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    body = json.dumps(HEAD | {"choices": choices, "usage": usage}).encode()

    assert CompletionsDecoder().whole(body) == [
        *(BEGIN, Text("a"), Stop("stop", "stop"), Text("b", 1), Stop("length", "length", choice=1)),
        *(Used(Usage(3, 2)), End()),
    ]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", BadResponse),
        (b'{"choices":[]}', BadResponse),
        (b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', ProviderRateLimited),
    ],
)
def test_what_is_no_answer(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        CompletionsDecoder().whole(body)
