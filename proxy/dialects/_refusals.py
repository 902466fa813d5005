"""What a provider's answer of 400 or more means: what statuses say in every dialect."""

from proxy.errors import (
    BadCredentials,
    BadResponse,
    ProviderBroke,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProxyError,
    TooLong,
)

WORDS = 500
"""Characters of a provider's words that are repeated in an error of ours."""


def refused(status: int, words: str, *, fit: bool, too_long: bool = False) -> ProxyError:
    """The error for a status and the provider's words, if it had any.

    `fit`: the body is one of the dialect's; `too_long`: it says that the input is too long.
    """
    words = words[:WORDS]
    if status == 429:
        return ProviderRateLimited(words or "the provider's rate limit is reached")
    if status == 401:
        return BadCredentials("the provider refused the proxy's credentials")
    if status in (503, 529):
        return ProviderOverloaded(words or "the provider is overloaded")
    if status in (408, 504):
        return ProviderTimeout(words or "the provider timed out", status=status)
    if status >= 500:
        kind = ProviderBroke if fit else BadResponse
        return kind(words or f"the provider failed with {status}", status=status)
    if too_long:
        return TooLong(words or "the input is too long for the model", status=status)
    return ProviderRefused(words or f"the provider answered {status}", status=status)


def plain(body: bytes) -> str:
    """A short body of plain text is worth repeating; markup is not."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith(("<", "{", "[")) or "\ufffd" in text or not text.isprintable():
        return ""
    return text[:WORDS]
