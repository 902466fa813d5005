"""What a chunk of a response means."""

import json
from typing import Any

import msgspec
import pytest

from proxy.dialects._gemini.answer import UNREADABLE, Reader
from proxy.dialects._gemini.wire import sealed
from proxy.errors import BadResponse, ProviderRateLimited, ProviderRefused
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
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
    call_id,
)


def read(*chunks: dict[str, Any], whole: bool = False) -> list[Event]:
    reader = Reader()
    events = [event for chunk in chunks for event in reader.read(json.dumps(chunk).encode())]
    return events + reader.finish(whole=whole)


def saying(*parts: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "index": index, **more}]}


def events(*parts: dict[str, Any], **more: Any) -> list[Event]:
    """What parts mean, without the beginning and the end."""
    found = read(saying(*parts, **{"finishReason": "STOP", **more}))
    assert type(found[0]) is Begin
    assert type(found[-1]) is End
    return found[1:-2]


def chunk(frame: bytes) -> Any:
    return json.loads(frame)


def test_the_first_chunk_begins_the_response() -> None:
    first = saying({"text": "a"}) | {
        "modelVersion": "gemini-x",
        "responseId": "r1",
        "createTime": "2025-09-12T08:15:49.123456789Z",
        "usageMetadata": {"serviceTier": "standard"},
    }

    assert read(first, first)[:2] == [
        Begin("r1", "gemini-x", 1757664949, "default"),
        Text("a"),
    ]
    assert sum(type(event) is Begin for event in read(first, first)) == 1
    assert read({"createTime": "yesterday"}) == [Begin()]


def test_texts_and_thoughts() -> None:
    assert events(
        {"text": "hm", "thought": True},
        {"text": "", "thought": True},
        {"text": "Hi"},
        {"text": ""},
        {},
    ) == [
        Thinking("hm", summary=True),
        Text("Hi"),
    ]


def test_signatures() -> None:
    """Trap 20: this dialect's, and another's that a proxy before us sealed."""
    assert events(
        {"text": "hm", "thought": True, "thoughtSignature": "QQ=="},
        {"text": "Hi", "thoughtSignature": "Qg=="},
        {"text": "", "thoughtSignature": sealed("s", "anthropic_messages", redacted=True)},
        {"thoughtSignature": "Qw=="},
    ) == [
        Thinking("hm", summary=True),
        Signature("QQ==", "gemini"),
        Text("Hi"),
        Signature("Qg==", "gemini"),
        Signature("s", "anthropic_messages", redacted=True),
        Signature("Qw==", "gemini"),
    ]


def test_calls() -> None:
    found = read(
        saying(
            {
                "functionCall": {"id": "a", "name": "f", "args": {"x": 1.50}},
                "thoughtSignature": "QQ==",
            },
            {"functionCall": {"name": "g"}},
        )
        | {"responseId": "r1"},
        saying({"functionCall": {"name": "h", "args": {}}}, finishReason="STOP"),
    )

    assert found[1:] == [
        Call(0, "a", "f", signature="QQ==", origin="gemini"),
        Arguments(0, '{"x": 1.5}'),
        Call(1, call_id("r1", 0, 1), "g"),
        Arguments(1, "{}"),
        Call(2, call_id("r1", 0, 2), "h"),
        Arguments(2, "{}"),
        Stop("tool_calls", "STOP"),
        End(),
    ]


@pytest.mark.parametrize("identity", [None, "", "r1"])
def test_calls_have_ids_though_the_response_has_none(identity: str | None) -> None:
    asked = saying({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}})
    asked["candidates"] += saying({"functionCall": {"name": "f"}}, index=1)["candidates"]
    found = read(asked | {"responseId": identity}, whole=True)

    assert len({event.id for event in found if isinstance(event, Call)}) == 3
    assert read(asked | {"responseId": identity}, whole=True) == found


def test_arguments_are_not_spelled_anew() -> None:
    raw = (
        b'{"candidates":[{"content":{"parts":'
        b'[{"functionCall":{"name":"f","args":{"x":  1.50e+2}}}]}}]}'
    )

    assert Arguments(0, '{"x":  1.50e+2}') in Reader().read(raw)


def test_calls_in_pieces_are_native() -> None:
    """They come only where the request asked for them, and no other dialect does."""
    part = {"functionCall": {"name": "f", "willContinue": True}}
    found = read(saying(part, finishReason="STOP"))

    assert [type(event) for event in found] == [Begin, Other, Stop, End]
    assert found[2] == Stop("tool_calls", "STOP")


def test_media() -> None:
    assert events(
        {"inlineData": {"mimeType": "image/png", "data": "_-8="}, "thoughtSignature": "QQ=="}
    ) == [Media("image/png", "/+8="), Signature("QQ==", "gemini")]


def test_parts_that_only_it_knows_are_other_and_stay_as_they_are() -> None:
    part = {"executableCode": {"code": "print(1.50)", "language": "PYTHON"}}
    found = read(
        {
            "candidates": [
                saying({"text": "a"})["candidates"][0],
                saying({"text": "b"}, part, index=1)["candidates"][0],
            ]
        }
    )
    (other,) = [event for event in found if isinstance(event, Other)]

    assert other.origin == "gemini"
    assert chunk(other.frame) == saying(part, index=1)


def test_what_else_is_said_of_a_candidate_is_other() -> None:
    more: dict[str, Any] = {
        "safetyRatings": [{"category": "x"}],
        "avgLogprobs": -0.50,
        "finishMessage": "m",
    }
    found = events({"text": "a"}, **more, groundingMetadata={}, citationMetadata=None)

    assert [type(event) for event in found] == [Text, Other]
    assert chunk(found[1].frame) == saying({"text": ""}, **more)  # type: ignore[attr-defined]


def test_grounding_is_cited_and_kept() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 3, "endIndex": 6, "text": "abc"},
                "groundingChunkIndices": [0],
            }
        ],
    }
    cited = {"citationSources": [{"uri": "http://b", "startIndex": 0, "endIndex": 2}]}
    found = read(
        saying({"text": "é "}),
        saying(
            {"text": "hm", "thought": True},
            {"text": "abc"},
            finishReason="STOP",
            groundingMetadata=grounding,
            citationMetadata=cited,
        ),
    )

    assert found[4:6] == [
        Citation(url="http://a", title="A", start=2, end=5, origin="gemini"),
        Citation(url="http://b", start=0, end=1, origin="gemini"),
    ]
    assert isinstance(found[6], Other)
    assert chunk(found[6].frame)["candidates"][0]["groundingMetadata"] == grounding


def test_logprobs() -> None:
    """Trap 10: tokens without content are told of, too."""
    result = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}, {"token": "b"}],
        "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "c"}]}],
    }

    assert events({"text": "ab"}, logprobsResult=result)[1] == Logprobs(
        [
            Logprob("a", -0.5, top=[Logprob("a", -0.5), Logprob("c", 0.0)]),
            Logprob("b", 0.0),
        ]
    )
    assert events({"text": "ab"}, logprobsResult={}) == [Text("ab")]


def test_candidates_interleave() -> None:
    """Trap 9."""
    found = read(
        saying({"text": "a"}) | {"usageMetadata": {"promptTokenCount": 1}},
        saying({"text": "b"}, index=1),
        saying({"functionCall": {"id": "x", "name": "f"}}, index=1, finishReason="STOP"),
        saying(finishReason="MAX_TOKENS"),
    )

    assert found[1:] == [
        Text("a"),
        Used(Usage(1)),
        Text("b", 1),
        Call(0, "x", "f", 1),
        Arguments(0, "{}", 1),
        Stop("length", "MAX_TOKENS", choice=0),
        Stop("tool_calls", "STOP", choice=1),
        End(),
    ]


def test_usage_is_that_of_the_stream_so_far() -> None:
    found = read(
        {"usageMetadata": {"promptTokenCount": 78}},
        {"usageMetadata": {"trafficType": "ON_DEMAND"}},
        {"usageMetadata": {"promptTokenCount": 33, "candidatesTokenCount": 12}},
    )

    assert found[1:] == [Used(Usage(78)), Used(Usage(33, 12))]


@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("STOP", Stop("stop", "STOP")),
        (1, Stop("stop", "STOP")),
        ("MAX_TOKENS", Stop("length", "MAX_TOKENS")),
        ("SAFETY", Stop("filter", "SAFETY")),
        ("RECITATION", Stop("filter", "RECITATION")),
        ("IMAGE_SAFETY", Stop("filter", "IMAGE_SAFETY")),
        ("MODEL_ARMOR", Stop("filter", "MODEL_ARMOR")),
        ("CONTINUATION", Stop("pause", "CONTINUATION")),
        ("FINISH_REASON_UNSPECIFIED", Stop("stop", "FINISH_REASON_UNSPECIFIED")),
        ("BRAND_NEW", Stop("stop", "BRAND_NEW")),
    ],
)
def test_finish_reasons(word: str | int, stop: Stop) -> None:
    assert read(saying({"text": "a"}, finishReason=word))[-2:] == [stop, End()]


def test_the_last_finish_reason_counts() -> None:
    """Gemini says STOP after each turn of code that it runs itself, and goes on."""
    found = read(
        saying({"text": "a"}, finishReason="STOP"),
        saying({"text": "b"}),
        saying({"text": "c"}, finishReason="MAX_TOKENS"),
    )

    assert [type(event) for event in found] == [Begin, Text, Text, Text, Stop, End]
    assert found[-2] == Stop("length", "MAX_TOKENS")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", BadResponse),
        (10, BadResponse),
        ("UNEXPECTED_TOOL_CALL", BadResponse),
        ("OTHER", BadResponse),
        ("MISSING_THOUGHT_SIGNATURE", ProviderRefused),
    ],
)
def test_an_answer_that_came_to_nothing_is_a_failure(word: str | int, kind: type) -> None:
    found = read(
        saying(finishReason=word, finishMessage="bad call")
        | {"usageMetadata": {"promptTokenCount": 1}}
    )
    failure = next(event for event in found if isinstance(event, Failure))

    assert [type(event) for event in found[:4]] == [Begin, Other, Used, Failure]
    assert type(failure.error) is kind
    assert str(failure.error).startswith("the model's answer came to nothing (")
    assert str(failure.error).endswith("): bad call")


def test_a_prompt_that_is_blocked_is_filtered() -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []}

    assert read({"promptFeedback": feedback}) == [
        Begin(),
        Other(
            msgspec.json.encode({"promptFeedback": msgspec.Raw(json.dumps(feedback).encode())}),
            "gemini",
        ),
        Stop("filter", "PROHIBITED_CONTENT"),
        End(),
    ]
    assert read({"promptFeedback": {"safetyRatings": []}})[-1:] != [End()]
    assert read({"promptFeedback": None}) == [Begin()]


def test_an_error_is_a_failure() -> None:
    error = {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}
    (_, failure) = read({"error": error})

    assert isinstance(failure, Failure)
    assert type(failure.error) is ProviderRateLimited
    assert str(failure.error) == "slow down"
    assert read({"error": None}) == [Begin()]


def test_without_a_finish_reason_there_is_no_end_but_of_what_is_whole() -> None:
    assert read(saying({"text": "a"})) == [Begin(), Text("a")]
    assert read(saying({"text": "a"}), whole=True) == [Begin(), Text("a"), Stop("stop"), End()]
    assert read({}, whole=True) == [Begin()]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"candidates":{}}',
        b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"a":"\xff"}}}]}}]}',
        b'{"promptFeedback":7}',
        b'{"candidates":[{"finishReason":"OTHER","finishMessage":"\xff"}]}',
    ],
)
def test_what_is_no_response_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(UNREADABLE):
        Reader().read(raw)
