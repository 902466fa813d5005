"""Affinity: what of a request decides who serves it, where like is to go to like."""

from typing import Annotated

from msgspec import Meta

from proxy.exchange import Exchange
from proxy.headers import credential

HASH_BY = Annotated[
    str,
    Meta(
        description="What belongs together, for hash: client (its credential, else its address), "
        "header:NAME or field:NAME (of the body).",
        examples=["header:x-session-id"],
    ),
]
"""That, as a key of a configuration."""

_HINT = '"client", "header:NAME" or "field:NAME"'


def check_affinity(by: str) -> None:
    """Raise ValueError if `by` is none of the things that affinity can hang on."""
    kind, _, name = by.partition(":")
    if by != "client" and (kind not in ("header", "field") or not name):
        raise ValueError(f"expected {_HINT}, not {by!r}")


def affinity(exchange: Exchange, by: str) -> bytes:
    """What is the same for all requests that belong together, for a hash.

    A request without the header or the field belongs to its client: to the credential that it
    sends, else to the address that it comes from.
    """
    request = exchange.request
    kind, _, name = by.partition(":")
    if kind == "header":
        if text := request.headers.get(name.lower()):
            return text.encode("utf-8", "surrogateescape")
    elif kind == "field" and exchange.parsed is not None:
        value = exchange.parsed.fields.get(name)
        if value is not None:
            return bytes(value)
    if found := credential(request.headers, request.query):
        return found.encode("utf-8", "surrogateescape")
    return request.peer.rpartition(":")[0].encode()
