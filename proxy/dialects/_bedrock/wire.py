"""Words and shapes of Amazon Bedrock's Converse API, and what they mean.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from typing import Any

import msgspec

from proxy.event import StopReason, Usage

Raw = msgspec.Raw
Block = dict[str, Any]

ORIGIN = "bedrock_converse"
NOTHING = Raw(b"null")

STOPS: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_calls",
    "content_filtered": "filter",
    "guardrail_intervened": "filter",
}
STOP_WORDS: dict[StopReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "filter": "content_filtered",
    "refusal": "content_filtered",
    "pause": "end_turn",
}
MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
"""Stop reasons of a model that did not bring its answer to an end."""

IMAGE_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
FILE_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/opus": "opus",
    "audio/webm": "webm",
}


class WireUsage(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """`inputTokens` are those that no cache had a part in."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


def read_usage(wire: WireUsage) -> Usage:
    """Usage with its totals."""
    cached, written = wire.cache_read_input_tokens or 0, wire.cache_write_input_tokens or 0
    return Usage(
        wire.input_tokens + cached + written,
        wire.output_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
    )


def spell_usage(usage: Usage) -> Block:
    """The same, as Converse has it."""
    return {
        "inputTokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
