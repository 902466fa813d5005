"""Whole responses."""

import json
from typing import Any

import pytest

from proxy.chat import Chat
from proxy.dialects._gemini.whole import decode_whole, encode_whole
from proxy.errors import BadResponse
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

CHAT = Chat(model="asked", messages=[])


def encode(*events: Event) -> Any:
    return json.loads(encode_whole(CHAT, list(events)))


def parts(*events: Event) -> Any:
    (candidate,) = encode(*events, Stop("stop"), End())["candidates"]
    return candidate["content"]["parts"]


def test_a_response_that_says_everything() -> None:
    events = [
        Begin("r1", "m-1", 1757664949, "default"),
        Thinking("hm", summary=True),
        Text("Hel"),
        Text("lo"),
        Signature("QQ==", "gemini"),
        Call(0, "a", "f", signature="Qg==", origin="gemini"),
        Arguments(0, '{"x":'),
        Call(1, "b", "g"),
        Arguments(0, " 1.50}"),
        Media("image/png", "QUJD"),
        Logprobs([Logprob("Hello", -0.5, top=[Logprob("Hi", -1.0)])]),
        Used(Usage(5, 9, 4, 3)),
        Stop("tool_calls", "STOP"),
        End(),
    ]
    body = encode_whole(CHAT, events)

    assert b'"args":{"x": 1.50}' in body
    assert json.loads(body) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Hello", "thoughtSignature": "QQ=="},
                        {
                            "functionCall": {"name": "f", "args": {"x": 1.5}, "id": "a"},
                            "thoughtSignature": "Qg==",
                        },
                        {"functionCall": {"name": "g", "args": {}, "id": "b"}},
                        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
                    ],
                    "role": "model",
                },
                "index": 0,
                "logprobsResult": {
                    "chosenCandidates": [{"token": "Hello", "logProbability": -0.5}],
                    "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -1.0}]}],
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 6,
            "totalTokenCount": 14,
            "cachedContentTokenCount": 4,
            "thoughtsTokenCount": 3,
            "serviceTier": "standard",
        },
        "createTime": "2025-09-12T08:15:49Z",
        "modelVersion": "m-1",
        "responseId": "r1",
    }


def test_a_response_that_says_the_least() -> None:
    assert encode(Begin(), Stop("stop"), End()) == {
        "candidates": [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "asked",
    }


def test_candidates_have_their_index() -> None:
    said = encode(Text("b", 1), Text("a"), Stop("length", choice=1), Stop("stop"), End())

    assert [
        (found["index"], found["content"]["parts"][0]["text"], found["finishReason"])
        for found in said["candidates"]
    ] == [(0, "a", "STOP"), (1, "b", "MAX_TOKENS")]


def test_a_refusal_is_text() -> None:
    assert parts(Refusal("no")) == [{"text": "no"}]


def test_signatures_end_what_they_sign() -> None:
    assert parts(
        Thinking("a"), Signature("QQ==", "gemini"), Thinking("b"), Text("c"), Text("d")
    ) == [
        {"text": "a", "thought": True, "thoughtSignature": "QQ=="},
        {"text": "b", "thought": True},
        {"text": "cd"},
    ]
    assert parts(Text("a"), Signature("QQ==", "gemini"), Text("b")) == [
        {"text": "a", "thoughtSignature": "QQ=="},
        {"text": "b"},
    ]
    assert parts(Signature("QQ==", "gemini"), Signature("Qg==", "gemini")) == [
        {"text": "", "thoughtSignature": "QQ=="},
        {"text": "", "thoughtSignature": "Qg=="},
    ]


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "{}}"])
def test_arguments_that_are_no_object_make_a_malformed_call(arguments: str) -> None:
    events = [Call(0, "a", "f"), Arguments(0, arguments)]
    (candidate,) = encode(*events, Stop("tool_calls"), End())["candidates"]

    assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert candidate["finishMessage"] == "the arguments of f are not a JSON object"
    (cut,) = encode(Text("x"), *events, Stop("length"), End())["candidates"]
    assert (cut["finishReason"], cut["content"]["parts"]) == ("MAX_TOKENS", [{"text": "x"}])


def test_free_text_is_an_argument() -> None:
    assert parts(Call(0, "a", "f", custom=True), Arguments(0, 'x "y"')) == [
        {"functionCall": {"name": "f", "args": {"input": 'x "y"'}, "id": "a"}}
    ]


def test_citations_of_others_are_grounding() -> None:
    said = encode(
        Text("abc"),
        Citation(url="http://a", title="A", start=0, end=3, origin="openai_responses"),
        Citation(url="http://b", origin="gemini"),
        Stop("stop"),
        End(),
    )

    assert said["candidates"][0]["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 0, "endIndex": 3, "text": "abc"},
                "groundingChunkIndices": [0],
            }
        ],
    }


def test_an_answer_that_is_filtered_has_no_content() -> None:
    (candidate,) = encode(Stop("filter", "content_filter"), End())["candidates"]

    assert candidate == {"index": 0, "finishReason": "SAFETY"}


def test_what_another_dialect_alone_says_is_dropped() -> None:
    assert parts(Text("a"), Other(b"event: ping\n\n", "anthropic_messages")) == [{"text": "a"}]


@pytest.mark.parametrize(
    "response",
    [
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "run:"},
                            {"executableCode": {"code": "1", "language": "PYTHON"}},
                            {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
                            {"text": "1"},
                        ],
                        "role": "model",
                    },
                    "index": 0,
                    "finishReason": "STOP",
                    "finishMessage": "m",
                    "avgLogprobs": -0.5,
                    "safetyRatings": [{"category": "x"}],
                    "groundingMetadata": {"groundingChunks": [{"web": {"uri": "http://a"}}]},
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 1,
                "candidatesTokenCount": 2,
                "totalTokenCount": 3,
            },
            "modelVersion": "m",
            "responseId": "r",
        },
        {
            "promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [{"category": "x"}]},
            "modelVersion": "m",
            "responseId": "r",
        },
    ],
)
def test_a_response_of_its_own_is_spelled_again_as_it_was(response: Any) -> None:
    events = decode_whole(json.dumps(response).encode())

    assert json.loads(encode_whole(CHAT, events)) == response


def test_a_number_that_cannot_be_a_date_is_left_out() -> None:
    assert "createTime" not in encode(Begin(created=1 << 60), Stop("stop"), End())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is no response of Gemini's"),
        (b"{}", "has no candidates"),
        (b'{"candidates":[]}', "has no candidates"),
        (b"\xff", "is no response of Gemini's"),
        (b"[{}]", "is no response of Gemini's"),
        (b'{"a":' * 100_000, "is no response of Gemini's"),
    ],
)
def test_what_is_no_response_is_a_bad_one(body: bytes, words: str) -> None:
    with pytest.raises(BadResponse, match=words):
        decode_whole(body)


def test_a_failure_is_the_last_event() -> None:
    assert type(decode_whole(b'{"error":{"code":500}}')[-1]) is Failure
