"""What an error means that a provider tells inside a response that began well."""

from typing import Any

import msgspec

from proxy.dialects._refusals import refused
from proxy.errors import ProviderBroke, ProxyError
from proxy.exchange import Raw

_STATUSES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limited": 429,
    "insufficient_quota": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "overloaded": 503,
    "overloaded_error": 503,
    "server_overloaded": 503,
    "engine_overloaded": 503,
    "engine_overloaded_error": 503,
    "service_unavailable": 503,
    "unavailable": 503,
    "timeout": 504,
    "timeout_error": 504,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
}
"""What the words of OpenAI, and of those who speak like it, would have been as a status."""
_TOO_LONG = ("context_length_exceeded", "context_window_exceeded", "string_above_max_length")


class ErrorObject(msgspec.Struct):
    """An error as OpenAI spells it; `code` is a word, or with some providers a status."""

    message: Any = None
    type: Any = None
    code: Any = None


class Told(msgspec.Struct):
    """An answer or an event that may be an error."""

    error: ErrorObject | str | None = None
    object: Any = None
    type: Any = None
    message: Any = None
    code: Any = None


_told = msgspec.json.Decoder(Told)
_object = msgspec.json.Decoder(ErrorObject | str | None)


def of_object(raw: Raw) -> ProxyError | None:
    """The error in an `error` field; None if it is empty, or no error at all."""
    try:
        found = _object.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ProviderBroke("an error event in the stream")
    return None if not found else _meant(found, None)


def of_event(data: bytes) -> ProxyError | None:
    """The error that an event, or a body, tells; None if it tells none that can be read."""
    try:
        told = _told.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if told.error:
        return _meant(told.error, told.message)
    if told.type == "error" or told.object == "error":
        return _meant(ErrorObject(told.message, None, told.code), None)
    return None


def of_words(message: str, *words: Any) -> ProxyError:
    """The error that a provider's `message` tells; `words` are its codes and types, if any."""
    known = [word.lower() for word in words if isinstance(word, str)]
    status = next((word for word in words if type(word) is int and 400 <= word < 600), 0)
    status = status or next((_STATUSES[word] for word in known if word in _STATUSES), 500)
    too_long = any(word in _TOO_LONG for word in known)
    message = message or "an error event in the stream"
    return refused(400 if too_long else status, message, fit=True, too_long=too_long)


def _meant(error: ErrorObject | str, message: Any) -> ProxyError:
    if isinstance(error, str):
        return of_words(error)
    words = str(error.message or message or "")
    code = error.code
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    return of_words(words, code, error.type)
