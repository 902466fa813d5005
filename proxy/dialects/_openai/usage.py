"""Usage as OpenAI's endpoints spell it."""

from typing import Any

from proxy.event import Usage


def in_chat(usage: Usage) -> dict[str, Any]:
    """The usage object of Chat and Completions."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": _inputs(usage),
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def in_responses(usage: Usage) -> dict[str, Any]:
    """The usage object of Responses."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": _inputs(usage),
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _inputs(usage: Usage) -> dict[str, int]:
    return {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
