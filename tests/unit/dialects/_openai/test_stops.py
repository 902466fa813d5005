"""Why a model stopped."""

import pytest

from proxy.dialects._openai.stops import finish, reason_of, word_of
from proxy.event import Stop, StopReason


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "filter"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("model_length", "context"),
        ("sensitive", "filter"),
        ("whatever", "stop"),
    ],
)
def test_what_a_word_means(word: str, reason: StopReason) -> None:
    assert reason_of(word, "", None) == reason


@pytest.mark.parametrize(
    ("word", "native", "reason"),
    [
        ("stop", "pause_turn", "pause"),
        ("stop", "stop_sequence", "stop_sequence"),
        ("length", "model_context_window_exceeded", "context"),
        ("content_filter", "refusal", "refusal"),
        ("tool_calls", "STOP", "tool_calls"),
        ("stop", "tool_use", "stop"),
        ("stop", "completed", "stop"),
    ],
)
def test_a_models_own_word_says_more_but_nothing_else(
    word: str, native: str, reason: StopReason
) -> None:
    assert reason_of(word, native, None) == reason


def test_a_stop_sequence_that_was_met() -> None:
    assert reason_of("stop", "", "\n") == "stop_sequence"
    assert reason_of("length", "", "\n") == "length"


@pytest.mark.parametrize(
    ("stop", "word", "native"),
    [
        (Stop("stop", "stop"), "stop", ""),
        (Stop("stop"), "stop", ""),
        (Stop("stop", "end_turn"), "stop", "end_turn"),
        (Stop("stop_sequence", "stop_sequence"), "stop", "stop_sequence"),
        (Stop("length", "max_tokens"), "length", "max_tokens"),
        (
            Stop("context", "model_context_window_exceeded"),
            "length",
            "model_context_window_exceeded",
        ),
        (Stop("tool_calls", "tool_use"), "tool_calls", "tool_use"),
        (Stop("tool_calls", "stop"), "stop", ""),
        (Stop("filter", "SAFETY"), "content_filter", "SAFETY"),
        (Stop("refusal", "refusal"), "content_filter", "refusal"),
        (Stop("pause", "pause_turn"), "stop", "pause_turn"),
    ],
)
def test_what_a_stop_is_called(stop: Stop, word: str, native: str) -> None:
    assert word_of(stop) == (word, native)


def test_a_finish_says_more_where_more_was_said() -> None:
    assert finish(Stop("context")) == {"finish_reason": "length"}
    assert finish(Stop("stop_sequence", "end", "\n")) == {
        "finish_reason": "stop",
        "native_finish_reason": "end",
        "stop_reason": "\n",
    }
