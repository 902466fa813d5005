"""An exchange: one request and its response, with everything known of it.

The log line and the metrics come from a finished exchange and from nothing else. What stands
here is data; who fills it in is named in the section comments.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import msgspec

from proxy.errors import ProxyError
from proxy.event import Usage
from proxy.via import Via

Raw = msgspec.Raw

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode


class RawRequest(Protocol):
    """What a client sent: the head as it was read, the body as it arrives."""

    method: str
    path: str
    """The request target without its query, percent-encoding untouched."""
    query: str
    headers: Mapping[str, str]
    """By name in any case; of repeated fields, the first."""
    raw_headers: tuple[tuple[bytes, bytes], ...]
    forwarded: dict[object, bytes]
    """What of the fields each provider gets, as far as it was asked; it may outlive the request,
    since a connection's next one mostly has the same fields."""
    length: int | None
    """Bytes of the body; None when only its end will tell."""

    @property
    def peer(self) -> str:
        """The client's address, for the log."""

    async def body(self) -> bytes:
        """The whole body, decoded if it came compressed.

        Raises TooLarge, ClientTimeout, Unsupported or BadRequest (broken framing).
        """

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, undecoded. Raises ClientTimeout or BadRequest."""


class ParsedRequest(msgspec.Struct):
    """What a client asks for, as far as anybody needed to know.

    The body stays the client's own bytes until somebody edits it. An edit works on top-level
    fields as raw values, so key order, unknown fields, number spelling and all nested bytes
    stay: providers' prompt caches hang on them.
    """

    raw: bytes
    model: str | None
    stream: bool
    path: str = ""
    """The request target without its query."""
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The client's fields, once the request is to be read whole."""
    asked_usage: bool = False
    """Whether the client itself asked for usage in the stream."""
    changed: bool = False
    """Whether what goes upstream is no longer the client's own bytes."""
    _fields: dict[str, Raw] | None = None

    @property
    def fields(self) -> dict[str, Raw]:
        """The top-level fields, to read; to change them, say :meth:`set` or :meth:`drop`."""
        if self._fields is None:
            self._fields = _decode(self.raw)
        return self._fields

    def set(self, name: str, value: Any) -> None:
        """Give the top-level field `name` this value, in its old place if it had one."""
        self.fields[name] = value if type(value) is Raw else Raw(_encode(value))
        self.changed = True

    def drop(self, name: str) -> None:
        """Take the top-level field `name` out, if it is there."""
        if self.fields.pop(name, None) is not None:
            self.changed = True

    def body(self) -> bytes:
        """The bytes to send: the client's own, unless somebody changed them."""
        return _encode(self.fields) if self.changed else self.raw

    def forget(self) -> None:
        """Let go of the bytes: the request is sent, and a stream may live for an hour."""
        self.raw = b""
        self._fields = {}

    def branch(self) -> "ParsedRequest":
        """A copy that can be changed for one target without changing it for the next."""
        copy = msgspec.structs.replace(self)
        if self._fields is not None:
            copy._fields = dict(self._fields)
        return copy


class Security:
    """How connections to a provider are secured, where that is not the usual way.

    Two providers never share it, nor a connection that was made with it.
    """

    __slots__ = ("context", "server_name")

    def __init__(self, server_name: str | None) -> None:
        self.context: ssl.SSLContext | None = None
        """For the next connection: certificates change. None: there is none yet."""
        self.server_name = server_name
        """What the provider is asked for by, and must prove to be; None: its host."""


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where connections go: what two requests must share to share a connection."""

    scheme: str
    host: str
    port: int
    socket: str | None = None
    """The path of the unix socket that connections go to instead."""
    via: Via | None = None
    """The HTTP proxy that connections go through."""
    tls: Security | None = None

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket is not None else f"{self.host}:{self.port}"


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds; 0 is "none"."""

    connect: float
    first_byte: float
    idle: float
    send: float
    total: float
    connection_age: float = 0.0
    """How long a connection is kept for further requests."""


class FinalRequest(msgspec.Struct):
    """What a provider is sent."""

    method: str
    origin: Origin
    head: bytes
    """Request line and fields, without those that frame the body and the empty line."""
    body: bytes | AsyncIterator[bytes]
    length: int | None
    """Bytes of a body that is an iterator; None: it goes out chunked."""
    timeouts: Timeouts


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a request fared that a provider was sent, as far as its response's head tells."""

    status: int = 0
    """Of the response; 0: none came."""
    error: ProxyError | None = None
    """What kept a response from coming."""
    retry_after: float | None = None
    """Seconds for which the provider asked to be left alone."""
    seconds: float = 0.0
    """From the request to the response's head."""


class Exchange(msgspec.Struct, kw_only=True, eq=False):
    """One request and its response. Times are :func:`proxy.units.clock` seconds, 0 is "not yet"."""

    # server
    request: RawRequest
    id: str
    received_at: float

    # pipeline
    dialect: str = ""
    operation: str = ""
    parsed: ParsedRequest | None = None
    read_at: float = 0.0
    """The request's body is whole, or its stream may begin."""
    route: str = ""
    pattern: str = ""
    """The route's name or glob that the model matched: bounded, so fit for a metric's label."""
    status: int = 0
    error: ProxyError | None = None
    ended_at: float = 0.0
    overhead: float = 0.0
    """Seconds in this proxy until the response's head: waiting for either side excluded."""
    notes: dict[str, Any] = {}
    """Processors' own, each under its name."""
    hooks: tuple[Callable[["Exchange"], None], ...] = ()
    """What is to be called when it is over, by those who saw it begin."""
    phase: str = "reading"
    """How far it came: reading, routing, connecting, waiting, streaming, done."""

    # client
    provider: str = ""
    model: str = ""
    """The model that the provider was asked for."""
    target_model: str = ""
    """The target's configured model, if it has one: bounded, so fit for a metric's label."""
    attempts: int = 0
    connecting: float = 0.0
    """Seconds spent waiting for connections to be made."""
    sent_at: float = 0.0
    head_at: float = 0.0

    # relay
    started_at: float = 0.0
    """The response's head went to the client."""
    first_at: float = 0.0
    last_at: float = 0.0
    chunks: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    usage: Usage | None = None
    events: bool = False
    """The response is a stream of events, so it can end in one that says what went wrong."""
    told: bool = False
    """The provider itself said, in the stream's last event, what went wrong."""
    torn: bool = False
    """The last frame that the client has part of is not whole."""
    gaps: list[int] | None = None
    """Counts of the time between chunks, by power of two; see relay.GAP_BOUNDS."""

    @property
    def stream(self) -> bool:
        """Whether the client asked for a stream."""
        return self.parsed is not None and self.parsed.stream

    def end(self, now: float) -> None:
        """It is over."""
        self.ended_at = now
        if self.sent_at:
            before = self.sent_at - self.read_at - self.connecting
            after = self.started_at - self.head_at if self.head_at else 0.0
            self.overhead = before + after
