"""What Converse's words mean."""

from proxy.dialects._bedrock.wire import (
    STOP_WORDS,
    STOPS,
    WireUsage,
    read_usage,
    spell_usage,
)
from proxy.event import Usage


def test_usage_has_its_totals_and_comes_back() -> None:
    wire = WireUsage(10, 5, 3, 2)
    usage = read_usage(wire)

    assert usage == Usage(15, 5, cached_tokens=3, cache_write_tokens=2)
    assert spell_usage(usage) == {
        "inputTokens": 10,
        "outputTokens": 5,
        "totalTokens": 20,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 2,
    }
    assert read_usage(WireUsage(1, 2)) == Usage(1, 2)


def test_a_word_of_ours_means_what_it_is_said_for() -> None:
    for reason in ("stop", "stop_sequence", "length", "context", "tool_calls", "filter"):
        assert STOPS[STOP_WORDS[reason]] == reason


def test_more_cached_tokens_than_tokens_make_no_negative_count() -> None:
    assert spell_usage(Usage(5, cached_tokens=9))["inputTokens"] == 0
