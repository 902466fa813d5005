"""Header fields: which pass, which stay, and what makes a request id sane.

Upstream goes an allow-list of the client's fields; downstream go the provider's fields without
those that belong to one connection (RFC 9110 7.6.1) or that would hand the client somebody
else's credentials or transport policy.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from itertools import compress
from math import isfinite
from random import getrandbits
from urllib.parse import unquote

Fields = Iterable[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

CREDENTIALS = frozenset(
    {b"x-llm-proxy-key", b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"}
)

FORWARDED = (
    "accept",
    "content-type",
    "user-agent",
    "openai-*",
    "anthropic-*",
    "x-goog-*",
    "x-stainless-*",
    "idempotency-key",
    "traceparent",
    "tracestate",
)
"""What a provider gets of its client's fields, whatever its configuration adds."""

TRANSLATED = ("user-agent", "idempotency-key", "traceparent", "tracestate")
"""What of them goes along with a body that is not the client's own."""

NEVER_FORWARDED = (
    HOP_BY_HOP
    | CREDENTIALS
    | {b"host", b"content-length", b"expect", b"accept-encoding", b"content-encoding"}
)
"""Fields that frame or authenticate a request: ours to write, whatever a pattern says."""

NOT_RETURNED = HOP_BY_HOP | {
    b"content-length",
    b"set-cookie",
    b"alt-svc",
    b"strict-transport-security",
}

STREAM_FIELDS = b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
"""Keeps caches from storing, and nginx from buffering, a stream on its way to the client."""

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_KNOWN_NAMES_LIMIT = 1024
_MASKS_LIMIT = 1024
_MASKED_LIMIT = 4096
"""Bytes of the lines of a response whose kind is remembered."""


def request_id(asked: str | None) -> str:
    """The client's own id if it is fit for a log line and a header, else 32 hex digits."""
    if asked is not None and _SANE_ID.fullmatch(asked):
        return asked
    return f"{getrandbits(128):032x}"


class _Decisions:
    """Whether a field passes, by its name as it is spelled; decided once per spelling.

    (It has a dict and is none: looking into a subclass of dict takes three times as long.)
    """

    __slots__ = ("_decide", "known")

    def __init__(self, decide: Callable[[bytes], bool]) -> None:
        self._decide = decide
        self.known: dict[bytes, bool] = {}

    def passes(self, name: bytes) -> bool:
        """Whether a field passes."""
        passes = self.known.get(name)
        if passes is None:
            passes = self._decide(name.lower())
            # Names come from strangers: the memory they can take is bounded.
            if len(self.known) < _KNOWN_NAMES_LIMIT:
                self.known[name] = passes
        return passes


class Forwarding:
    """Decides what of a client's fields a provider gets."""

    __slots__ = ("_decisions",)

    def __init__(self, extra: Iterable[str] = (), usual: tuple[str, ...] = FORWARDED) -> None:
        """`extra` are patterns that are forwarded beside the usual ones."""
        patterns = (*usual, *(pattern.lower() for pattern in extra))

        def passes(name: bytes) -> bool:
            text = name.decode("latin-1")
            return name not in NEVER_FORWARDED and any(fnmatchcase(text, p) for p in patterns)

        self._decisions = _Decisions(passes)

    def block(
        self, fields: Fields, connection: str | None = None, *, also: frozenset[bytes] = frozenset()
    ) -> bytes:
        """The lines to send upstream.

        `connection` is the Connection field, which may name fields that were meant for us alone
        (RFC 9110 7.6.1); `also` names fields to pass beyond the patterns. No value holds a
        control character: the parser refuses such a request.
        """
        if connection is not None and connection.lower() not in ("keep-alive", "close"):
            nominated = _tokens(connection.encode("latin-1", "replace"))
            fields = [field for field in fields if field[0].lower() not in nominated]
        passes = self._decisions.passes
        if also:
            fields = [f for f in fields if passes(f[0]) or f[0].lower() in also]
            return b"".join([b"%b: %b\r\n" % field for field in fields])
        return b"".join([b"%b: %b\r\n" % field for field in fields if passes(field[0])])


_returned = _Decisions(
    lambda name: name not in NOT_RETURNED and not name.startswith(b"x-llm-proxy-")
)
_masks: dict[tuple[object, ...], list[bool]] = {}
"""Which lines of a response are returned, by all that decides it: mostly that is the same."""


def returned(
    fields: Fields,
    lines: Sequence[bytes],
    named: Mapping[bytes, bytes],
    *,
    drop: frozenset[bytes] = frozenset(),
) -> list[bytes]:
    """Those of the provider's header lines that its client gets, as they came.

    `fields` is what the lines say, names in lower case, and `named` the last value of each name.
    Its Connection field may name fields that were meant for us alone.
    """
    connection = named.get(b"connection")
    kind = (*named, connection, drop)
    # Where each name stands once, the lines are in the names' order.
    distinct = len(named) == len(lines)
    mask = _masks.get(kind) if distinct else None
    if mask is None:
        if connection is not None:
            drop |= _tokens(connection)
        passes = _returned.passes
        mask = [passes(name) and name not in drop for name, _ in fields]
        if distinct and len(_masks) < _MASKS_LIMIT and sum(map(len, lines)) <= _MASKED_LIMIT:
            _masks[kind] = mask
    return list(compress(lines, mask))


def line(name: str, value: str) -> bytes:
    """One field of ours as a line; raises ValueError if it cannot be one."""
    encoded = value.encode("latin-1", "replace")
    if _CONTROL.search(encoded) or b"\r" in encoded or b"\n" in encoded:
        raise ValueError(f"{name} holds a control character")
    return b"%b: %b\r\n" % (name.encode("ascii"), encoded)


def credential(headers: Mapping[str, str], query: str, *, ours: bool = True) -> str | None:
    """The first credential of the places where clients put one; None if there is none.

    `ours`: one that is meant for this proxy alone counts, too.
    """
    if ours and (value := headers.get("x-llm-proxy-key")):
        return value
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and (value := value.strip()):
        return value
    for name in ("x-api-key", "api-key", "x-goog-api-key"):
        if value := headers.get(name, ""):
            return value
    if "key=" in query:
        for part in query.split("&"):
            if part.startswith("key=") and len(part) > 4:
                return unquote(part[4:])
    return None


def retry_after(fields: Fields) -> float | None:
    """Seconds for which a provider asks to be left alone; None if it does not say.

    ``retry-after-ms`` is what OpenAI's and Azure's SDKs read first; ``retry-after`` has seconds or
    a date (RFC 9110 10.2.3).
    """
    said = {name: value.decode("latin-1").strip() for name, value in fields}
    try:
        if (text := said.get(b"retry-after-ms")) is not None:
            seconds = float(text) / 1000
        elif (text := said.get(b"retry-after")) is None:
            return None
        elif text[:1].isdigit():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(seconds, 0.0) if isfinite(seconds) else None


def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip().lower() for token in value.split(b","))
