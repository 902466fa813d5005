"""Words and objects that Anthropic's requests, responses and streams share.

https://docs.claude.com/en/api/messages · /en/build-with-claude/streaming
"""

from typing import Annotated, Final

import msgspec

from proxy.event import StopReason, Usage

Raw = msgspec.Raw

ORIGIN: Final = "anthropic_messages"
"""Of everything that only this family can say. Signatures are good on each platform that serves
these models (Anthropic's own, Bedrock, Vertex), so its endpoints have one origin."""

CALL_MARK: Final = "+call"
"""Added to the origin of a signature that another provider wants back with a tool call: it stands
as a redacted block before the call, since a call itself has no place for it here."""

STOPS: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
}
STOP_WORDS: dict[StopReason, str] = {reason: word for word, reason in STOPS.items()} | {
    "filter": "refusal"
}

# What tiers are called in the neutral form is what OpenAI calls them.
TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
TIER_WORDS = {neutral: word for word, neutral in TIERS.items()}
ASKED_TIERS = {"auto": "auto", "standard_only": "default"}
ASKED_TIER_WORDS = {neutral: word for word, neutral in ASKED_TIERS.items()}

fields = msgspec.json.Decoder(dict[str, Raw]).decode
encode = msgspec.json.encode

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] | None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: _Count = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    output_tokens: _Count = None
    output_tokens_details: _OutputDetails | None = None


_usage = msgspec.json.Decoder(_Usage)


def add_usage(before: Usage | None, raw: bytes | Raw) -> Usage | None:
    """Usage with what an object says of it: what the object leaves out stays as it was.

    An object that is no usage (a tool's input may have a field of that name) changes nothing.
    """
    try:
        found = _usage.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return before
    if found.input_tokens is None and found.output_tokens is None:
        return before
    old = before or Usage()
    fresh = old.input_tokens - old.cached_tokens - old.cache_write_tokens
    fresh = fresh if found.input_tokens is None else found.input_tokens
    read = found.cache_read_input_tokens
    read = old.cached_tokens if read is None else read
    written = found.cache_creation_input_tokens
    written = old.cache_write_tokens if written is None else written
    details = found.output_tokens_details
    thought = None if details is None else details.thinking_tokens
    return Usage(
        fresh + read + written,
        old.output_tokens if found.output_tokens is None else found.output_tokens,
        read,
        old.reasoning_tokens if thought is None else thought,
        written,
    )


def spell_usage(usage: Usage, before: dict[str, Raw]) -> dict[str, object]:
    """A usage object: the counts, and of `before` what no count of ours says.

    Counts of nothing are left out, save the two that every client reads, unless `before` has them.
    """
    counts: dict[str, object] = {
        # A provider may count more cached tokens than tokens; no client takes less than none.
        "input_tokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    spelled: dict[str, object] = dict(before)
    for name, count in counts.items():
        if count or name in before or name in ("input_tokens", "output_tokens"):
            spelled[name] = count
    return spelled
