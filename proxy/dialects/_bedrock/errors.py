"""Errors as Amazon Bedrock spells them: as answers, and as exceptions in the midst of a stream.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
"""

import msgspec

from proxy.dialects._refusals import WORDS, plain, refused
from proxy.errors import BadCredentials, BadResponse, ProviderBroke, ProxyError

_TOO_LONG = (
    *("input is too long", "too many input tokens", "exceeds the context window"),
    *("prompt is too long", "exceed context limit", "maximum context length"),
)
_CREDENTIALS = ("security token", "signature", "api key", "bearer token", "credential")
"""Words in which a 403 speaks of who asks, and not of what he may."""

_STATUSES = {
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 504,
    "validationException": 400,
}


class _Body(msgspec.Struct):
    message: str | None = None
    capital: str | None = msgspec.field(name="Message", default=None)


_read = msgspec.json.Decoder(_Body).decode


def read_refusal(status: int, body: bytes) -> tuple[ProxyError, bool]:
    """What an answer of 400 or more means, and whether its body is one of theirs."""
    try:
        found, fit = _read(body), True
        words = found.message or found.capital or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        words, fit = plain(body), False
    lower = words.lower()
    if status == 403 and any(word in lower for word in _CREDENTIALS):
        return BadCredentials("the provider refused the proxy's credentials"), fit
    if status == 424:
        # The model failed, which nobody asked it to.
        return ProviderBroke(words[:WORDS] or "the provider's model failed"), fit
    return refused(status, words, fit=fit, too_long=_says_too_long(lower)), fit


def exception(kind: str, words: str) -> ProxyError:
    """What an exception in the midst of a stream means."""
    status = _STATUSES.get(kind)
    if status is None:
        return ProviderBroke(words[:WORDS] or f"the provider failed: {kind}")
    return refused(status, words, fit=True, too_long=_says_too_long(words.lower()))


def malformed(word: str) -> ProxyError:
    """The error for a stop reason of an answer that came to nothing."""
    return BadResponse(f"the model's answer ended in {word}")


def _says_too_long(words: str) -> bool:
    return any(phrase in words for phrase in _TOO_LONG)
