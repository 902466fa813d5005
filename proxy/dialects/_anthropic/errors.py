"""Errors as Anthropic spells them: https://docs.claude.com/en/api/errors."""

import msgspec
from msgspec import Struct

from proxy.dialects._refusals import plain, refused
from proxy.errors import ProxyError
from proxy.framing.sse import parse_frame

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TYPES = {status: kind for kind, status in _STATUSES.items()}

_CODES = {
    "client.timeout": "timeout_error",
    "policy.over_budget": "billing_error",
    "policy.overloaded": "overloaded_error",
    "provider.overloaded": "overloaded_error",
    "provider.timeout": "timeout_error",
    "proxy.draining": "overloaded_error",
}
"""What the status of an error of ours alone does not tell."""

_OVERLOADED = frozenset({"policy.overloaded", "provider.overloaded"})
_TOO_LONG = ("prompt is too long", "exceed context limit", "exceeds the context window")
"""No code tells it, so the words must."""


class _Error(Struct):
    type: str = ""
    message: str = ""


class _Body(Struct):
    error: _Error | None = None
    message: str | None = None


class _Kind(Struct):
    type: str = ""


_read = msgspec.json.Decoder(_Body).decode
_read_kind = msgspec.json.Decoder(_Kind).decode


def _says_too_long(words: str) -> bool:
    return any(phrase in words for phrase in _TOO_LONG)


def read_refusal(status: int, body: bytes) -> tuple[ProxyError, bool]:
    """What an answer of 400 or more means, and whether its body is one of this dialect."""
    try:
        found = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return refused(status, plain(body), fit=False), False
    fit = found.error is not None
    words = found.error.message if found.error is not None else found.message or ""
    return refused(status, words, fit=True, too_long=_says_too_long(words)), fit


def said(data: bytes) -> ProxyError:
    """The error of an error object that came where a response was due."""
    try:
        error = _read(data).error or _Error()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        error = _Error()
    status = _STATUSES.get(error.type, 500)
    words = error.message or error.type or "an error event in the stream"
    return refused(status, words, fit=True, too_long=_says_too_long(words))


def failure(chunk: bytes) -> ProxyError | None:
    """The error event that the last chunk of a stream ends in, if it does."""
    if b'"error"' not in chunk:
        return None
    frame = chunk.rstrip().replace(b"\r\n", b"\n").rpartition(b"\n\n")[2]
    data = parse_frame(frame).data
    try:
        whole = _read_kind(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return said(data) if whole.type == "error" else None


def spell_error(error: ProxyError) -> bytes:
    """An error of ours in their shape."""
    kind = _CODES.get(error.code) or _TYPES.get(error.status)
    if kind is None:
        kind = "api_error" if error.status >= 500 else "invalid_request_error"
    body: dict[str, object] = {"type": "error", "error": {"type": kind, "message": str(error)}}
    if error.request_id:
        body["request_id"] = error.request_id
    return msgspec.json.encode(body)


def status_of(error: ProxyError) -> int:
    """The status with which their SDKs raise the right exception: 529 where we have no room."""
    return 529 if error.code in _OVERLOADED else error.status
