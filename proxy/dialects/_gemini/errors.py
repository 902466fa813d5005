"""Errors: as Google's servers tell them, and ours in the same shape.

https://google.aip.dev/193 · https://ai.google.dev/gemini-api/docs/troubleshooting
"""

import re
from typing import Any

import msgspec

from proxy.dialects._refusals import WORDS, plain, refused
from proxy.errors import (
    BadCredentials,
    ProviderBroke,
    ProviderRefused,
    ProxyError,
)

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_TYPES = "type.googleapis.com/google.rpc."
_DOMAIN = "llm-proxy"

_MAX_DELAY = 120.0
"""Seconds beyond which no client should sleep: SDKs would."""

_too_long = re.compile(r"exceeds the maximum number of tokens|input token count.*exceeds").search
_delay = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s").fullmatch


class _Detail(msgspec.Struct, rename={"kind": "@type", "retry_delay": "retryDelay"}):
    kind: str = ""
    reason: Any = None
    retry_delay: Any = None


class _Error(msgspec.Struct):
    code: Any = None
    message: Any = None
    status: Any = None
    details: Any = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: Any = None


_body = msgspec.json.Decoder(_Body | list[_Body])
_error = msgspec.json.Decoder(_Error | str)


def read_refusal(status: int, body: bytes) -> tuple[ProxyError, bool]:
    """What an answer of 400 or more means, and whether it is one of Gemini's shape.

    An array of one error is how a stream in that form is refused.
    """
    try:
        found = _body.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return refused(status, plain(body), fit=False), False
    if isinstance(found, list):
        found = found[0] if found else _Body()
    error = found.error
    if not isinstance(error, _Error):
        return refused(status, str(error or found.message or ""), fit=True), True
    return _meaning(status, error), True


def read_failure(raw: bytes | msgspec.Raw) -> ProxyError:
    """What an error in a stream means: its own code stands for the status."""
    try:
        error = _error.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ProviderBroke("an error in the provider's stream")
    if isinstance(error, str):
        return ProviderBroke(error[:WORDS] or "an error in the provider's stream")
    status = error.code
    if type(status) is not int or not 400 <= status <= 599:
        status = _CODES.get(str(error.status), 500)
    return _meaning(status, error)


def _meaning(status: int, error: _Error) -> ProxyError:
    words = str(error.message or "")
    found = refused(status, words, fit=True, too_long=_too_long(words) is not None)
    for detail in _details(error.details):
        if detail.reason == "API_KEY_INVALID" and isinstance(found, ProviderRefused):
            # An unknown key is a 400 with this reason, never a 401.
            return BadCredentials("the provider refused the proxy's credentials")
        if detail.kind.endswith("RetryInfo") and isinstance(detail.retry_delay, str):
            found.headers = _retry_headers(detail.retry_delay)
    return found


def _details(details: Any) -> list[_Detail]:
    found = []
    for detail in details if isinstance(details, list) else ():
        try:
            found.append(msgspec.convert(detail, _Detail))
        except msgspec.ValidationError:
            continue
    return found


def _retry_headers(delay: str) -> dict[str, str] | None:
    match = _delay(delay)
    if match is None:
        return None
    seconds = float(match[1])
    if seconds > _MAX_DELAY:
        return {"x-should-retry": "false"}
    whole = max(1, -int(-seconds // 1))
    return {"retry-after": str(whole), "retry-after-ms": str(round(seconds * 1000))}


def spell_error(error: ProxyError) -> dict[str, Any]:
    """An error object: who reads `details` finds our code, the field at fault, when to retry."""
    code = error.code
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_TYPES}ErrorInfo",
            "reason": code.replace(".", "_").upper(),
            "domain": _DOMAIN,
            "metadata": {"code": code},
        }
    ]
    if error.param:
        violation = {"field": error.param, "description": str(error)}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    delay = (error.headers or {}).get("retry-after")
    if delay is not None and delay.isdecimal():
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{delay}s"})
    status = _STATUSES.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    return {
        "error": {
            "code": error.status,
            "message": str(error),
            "status": status,
            "details": details,
        }
    }
