"""Words and objects of Gemini's responses.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from base64 import b64decode, b64encode
from typing import Annotated, Any, Final

import msgspec

from proxy.chat import seal, unseal
from proxy.event import StopReason, Usage

Raw = msgspec.Raw

ORIGIN: Final = "gemini"
"""Of everything that only this family can say: its endpoints have one origin."""

encode = msgspec.json.encode

ABSENT: Final = Raw(b"null")
"""What stands for a member that is not there, and is not read."""

STOPS: dict[str, StopReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "IMAGE_OTHER": "filter",
    "MODEL_ARMOR": "filter",
    "ESCALATION": "filter",
    "JAILBREAK": "filter",
    "CONTINUATION": "pause",
}
"""What a finish or block reason means; others that are no failure are a plain stop."""

STOP_WORDS: dict[StopReason, str] = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}
"""Finish reasons for ours; for any other it is STOP, since older SDKs know no CONTINUATION."""

FAILURES = frozenset(
    {
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
"""Finish reasons of an answer that came to nothing."""

_NUMBERS = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER"),
    *("LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL"),
    *("IMAGE_SAFETY", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
)


def finish_word(reason: str | int) -> str:
    """A finish reason's name, where it came as its number (``$alt=json;enum-encoding=int``)."""
    if isinstance(reason, str):
        return reason
    return _NUMBERS[reason] if 0 <= reason < len(_NUMBERS) else str(reason)


class Blob(msgspec.Struct, gc=False, rename="camel"):
    """Bytes in base64."""

    data: str = ""
    mime_type: str = ""


class FunctionCall(msgspec.Struct, gc=False, rename="camel"):
    """A call, whole unless the request asked for its arguments in pieces."""

    name: str = ""
    id: str | None = None
    args: Raw = Raw(b"{}")
    partial_args: Raw = ABSENT
    will_continue: bool | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    """The parts that other dialects know too; any other has none of these members."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(msgspec.Struct, gc=False):
    """What a candidate says."""

    parts: list[Part] | None = None


class Token(msgspec.Struct, gc=False, rename="camel", omit_defaults=True):
    """A token with its probability."""

    token: str = ""
    log_probability: float | None = None
    token_id: int | None = None


class TopCandidates(msgspec.Struct, gc=False):
    """The likeliest tokens of one step."""

    candidates: list[Token] | None = None


class LogprobsResult(msgspec.Struct, gc=False, rename="camel"):
    """Tokens as they were chosen, and what else could have been."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[TopCandidates] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """One answer, or some of it."""

    content: Content | None = None
    finish_reason: str | int | None = None
    index: int = 0
    logprobs_result: LogprobsResult | None = None
    grounding_metadata: Raw = ABSENT
    citation_metadata: Raw = ABSENT
    safety_ratings: Raw = ABSENT
    url_context_metadata: Raw = ABSENT
    avg_logprobs: Raw = ABSENT
    finish_message: Raw = ABSENT
    continuation_token: Raw = ABSENT


_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] | None


class UsageMetadata(msgspec.Struct, gc=False, rename="camel"):
    """Tokens; each chunk of a stream may have those of the stream so far."""

    prompt_token_count: _Count = None
    cached_content_token_count: _Count = None
    candidates_token_count: _Count = None
    thoughts_token_count: _Count = None
    tool_use_prompt_token_count: _Count = None
    total_token_count: _Count = None
    service_tier: str | None = None

    def usage(self) -> Usage | None:
        """In our words; None if nothing was counted."""
        prompt, answer = self.prompt_token_count, self.candidates_token_count
        if prompt is None and answer is None and self.total_token_count is None:
            return None
        thoughts = self.thoughts_token_count or 0
        return Usage(
            (prompt or 0) + (self.tool_use_prompt_token_count or 0),
            (answer or 0) + thoughts,
            self.cached_content_token_count or 0,
            thoughts,
        )


class Response(msgspec.Struct, gc=False, rename="camel"):
    """A response, or a chunk of one."""

    candidates: list[Candidate] | None = None
    usage_metadata: UsageMetadata | None = None
    prompt_feedback: Raw = ABSENT
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: Raw = ABSENT


class PromptFeedback(msgspec.Struct, gc=False, rename="camel"):
    """Why a prompt was not answered."""

    block_reason: str | int | None = None


decode_response = msgspec.json.Decoder(Response).decode
decode_feedback = msgspec.json.Decoder(PromptFeedback).decode
decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_usage = msgspec.json.Decoder(UsageMetadata)

TIERS = {"standard": "default"}
"""What tiers are called in the neutral form is what OpenAI calls them."""
TIER_WORDS = {neutral: word for word, neutral in TIERS.items()}


def decode_usage(raw: bytes) -> Usage | None:
    """The usage that an object's bytes spell; None if they spell none."""
    try:
        return _usage.decode(raw).usage()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def spell_usage(usage: Usage, tier: str = "") -> dict[str, Any]:
    """A usage object."""
    counts: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        # A provider may count more reasoning than output; no client takes less than none.
        "candidatesTokenCount": max(usage.output_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    if tier:
        counts["serviceTier"] = TIER_WORDS.get(tier, tier)
    return counts


def is_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return False
    try:
        decode_object(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def is_said(raw: Raw) -> bool:
    """Whether a member is there, and not null."""
    return raw is not ABSENT and bytes(raw) != b"null"


def one_line(raw: bytes) -> bytes:
    """JSON without the white space that Google's whole responses have between its tokens."""
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw


def standard_base64(data: str) -> str:
    """Base64 in the alphabet that everybody reads: Google's SDKs write the one for URLs."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


_REDACTED = "redacted"


def sealed(value: str, origin: str, *, redacted: bool = False) -> str:
    """A signature as a Gemini client keeps it: in base64, which is all that its SDKs take."""
    if not value or origin == ORIGIN:
        return value
    words = seal(value, origin, ORIGIN)
    if redacted:
        words = seal(words, _REDACTED, ORIGIN)
    return b64encode(words.encode()).decode()


def unsealed(text: str) -> tuple[str, str, bool]:
    """A signature that a client sent back, the dialect it is from, and whether it is redacted."""
    text = standard_base64(text)
    try:
        words = b64decode(text, validate=True).decode()
    except ValueError:
        return text, ORIGIN, False
    value, origin = unseal(words, ORIGIN)
    redacted = origin == _REDACTED
    if redacted:
        value, origin = unseal(value, ORIGIN)
    return (text, ORIGIN, False) if origin in (ORIGIN, "") else (value, origin, redacted)
