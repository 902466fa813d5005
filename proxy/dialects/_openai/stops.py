"""Why a model stopped, as OpenAI's Chat, Completions and those who speak like them say it."""

from typing import Any

from proxy.event import Stop, StopReason

FAILED = "error"
"""No reason to stop, but a failure (OpenRouter)."""

_REASONS: dict[str, StopReason] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "completed"), "stop"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "length"),
    **dict.fromkeys(("content_filter", "safety", "sensitive", "recitation"), "filter"),
    **dict.fromkeys(("model_length", "model_context_window_exceeded"), "context"),
    "stop_sequence": "stop_sequence",
    "pause_turn": "pause",
    "refusal": "refusal",
}
"""What a provider's word means; "stop" is what every other one does."""

_WORDS: dict[StopReason, str] = {
    **dict.fromkeys(("stop", "stop_sequence", "pause"), "stop"),
    **dict.fromkeys(("length", "context"), "length"),
    **dict.fromkeys(("filter", "refusal"), "content_filter"),
    "tool_calls": "tool_calls",
}
OPENAI = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
"""The words that OpenAI's own SDKs know."""


def reason_of(word: str, native: str, sequence: str | None) -> StopReason:
    """The reason for a `finish_reason`, and what else was said of it."""
    reason = _REASONS.get(word.lower(), "stop")
    if sequence is not None and reason == "stop":
        return "stop_sequence"
    finer = _REASONS.get(native.lower(), reason)
    # A word that means the same here says more where it is the model's own.
    return finer if finer != reason and _WORDS[finer] == _WORDS[reason] else reason


def word_of(stop: Stop) -> tuple[str, str]:
    """The `finish_reason` for a stop, and the provider's own word where it says more, or ""."""
    if stop.native in OPENAI:
        return stop.native, ""
    return _WORDS[stop.reason], stop.native


def finish(stop: Stop) -> dict[str, Any]:
    """The fields of a choice that say why it stopped."""
    word, native = word_of(stop)
    said: dict[str, Any] = {"finish_reason": word}
    if native:
        said["native_finish_reason"] = native
    if stop.sequence is not None:
        said["stop_reason"] = stop.sequence  # as vLLM says it
    return said
