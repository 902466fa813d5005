"""What Converse's words mean."""

import pytest

from proxy.dialects.bedrock_converse.wire import (
    STOP_WORDS,
    STOPS,
    WireUsage,
    exception,
    malformed,
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


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttlingException", "provider.rate_limited", 429),
        ("serviceUnavailableException", "provider.overloaded", 503),
        ("validationException", "provider.refused", 400),
        ("internalServerException", "provider.broke", 502),
        ("modelStreamErrorException", "provider.broke", 502),
        ("somethingNew", "provider.broke", 502),
    ],
)
def test_an_exception_is_what_it_is_called(kind: str, code: str, status: int) -> None:
    error = exception(kind, "words")

    assert (error.code, error.status, str(error)) == (code, status, "words")
    assert str(exception(kind, ""))


def test_a_malformed_end_is_a_bad_response() -> None:
    assert malformed("malformed_tool_use").code == "provider.bad_response"
