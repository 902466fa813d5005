"""An upstream: one connection to a provider, and the responses that come on it.

A response is read in the transport's data callback and handed to whoever takes the body: no
task, reader object or timer per chunk. Response framing is checked here, because aiohttp's C
parser waits for ever when a chunk is malformed in a later segment than the head.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Protocol

from proxy.errors import BadResponse, ProviderBroke, ProviderTimeout, ProxyError
from proxy.exchange import FinalRequest, Origin, Timeouts
from proxy.framing import FramingError
from proxy.framing.chunked import ChunkedDecoder
from proxy.framing.head import (
    CHUNKED,
    UNTIL_CLOSE,
    ResponseHead,
    body_length,
    find_head_end,
    keeps_alive,
    parse_response_head,
)
from proxy.outbox import Outbox
from proxy.relay import Sink
from proxy.sockets import unsent
from proxy.tasks import spawn
from proxy.timers import Sweep
from proxy.units import clock
from proxy.upload import send_stream, send_whole

MAX_HEAD = 64 * 1024
"""Bytes of a response's head, the interim responses (1xx) before it included."""
MAX_READ = 32 * 1024
"""Bytes that are worked on at once: of a larger read there are several copies for a moment."""
MAX_HELD = 64 * 1024
"""Bytes held, in several reads, for a sink that is not attached yet, before reading is paused."""


class State(IntEnum):
    """Where a connection to a provider stands: between requests, or in a response."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    WHOLE = 3
    BROKEN = 4


# By names of their own: in Python 3.11 an enumeration looks up each of its members by a call.
_IDLE, _HEAD, _BODY, _WHOLE, _BROKEN = State


class Owner(Protocol):
    """Who keeps a connection between two requests."""

    sweep: Sweep
    outbox: Outbox

    def keep(self, connection: "UpstreamConnection") -> None:
        """The connection is idle, and good for another request."""

    def forget(self, connection: "UpstreamConnection") -> None:
        """The idle connection is no longer good."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a provider; the :class:`proxy.relay.Upstream` of what it reads."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_dropped",
        "_error",
        "_head",
        "_heads",
        "_held",
        "_loop",
        "_method",
        "_one",
        "_owner",
        "_paused",
        "_remaining",
        "_reusable",
        "_sink",
        "_state",
        "_timeouts",
        "_transport",
        "_upload",
        "fields",
        "heard",
        "idle_since",
        "length",
        "lines",
        "named",
        "origin",
        "since",
        "status",
        "worn_at",
        "writable",
    )

    _timeouts: Timeouts
    fields: list[tuple[bytes, bytes]]
    lines: list[bytes]
    named: dict[bytes, bytes]

    def __init__(
        self, owner: Owner, origin: Origin, transport: asyncio.Transport, early: bytes
    ) -> None:
        """`early` came before anything was asked."""
        self.origin = origin
        self.idle_since = 0.0
        self.worn_at = float("inf")  # it is kept for no request that comes later
        self.since = 0.0
        """When it last was heard of; while it waits for a head, when it was asked."""
        self.heard = False
        """Whether it answered a byte, or closed after it had taken all, since it was asked."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._dropped = False
        self._buffer, self._method = early, ""
        self._head: asyncio.Future[None] | None = None
        self.writable: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._state = _IDLE
        self._held: list[tuple[bytes, bytes | None]] = []
        self._error: ProxyError | None = None
        self._paused = self._reusable = False
        self._sink: Sink | None = None
        # Reads what is one chunk, while somebody takes a body in chunks.
        self._one: Callable[[bytes], bytes | None] | None = None
        self._transport.set_protocol(self)
        owner.sweep.add(self)

    def __repr__(self) -> str:
        return f"<UpstreamConnection {self.origin.host}:{self.origin.port} {self._state.name}>"

    @property
    def usable(self) -> bool:
        """Whether a request may be sent on it."""
        return self._state is _IDLE and not self._dropped and not self._transport.is_closing()

    # Asking.

    def ask(self, final: FinalRequest) -> asyncio.Future[None]:
        """Send the request; the future is done when the response's head is here."""
        self.heard = False
        self._held = []
        self._heads = 0
        self._method = final.method
        self._timeouts = final.timeouts
        self._state = _HEAD
        self.since = clock()
        head = self._head = self._loop.create_future()
        if self._buffer:
            self._fail(BadResponse("the provider spoke before it was asked anything"))
        elif isinstance(final.body, bytes):
            send_whole(self._owner.outbox, self._transport, final, final.body)
        else:
            self._upload = spawn(self._send_body(final, final.body), "upload")
        return head

    async def _send_body(self, final: FinalRequest, body: AsyncIterator[bytes]) -> None:
        try:
            await send_stream(self, self._transport, final, body)
        except ProxyError as error:
            # The provider must not take half a body for a whole one.
            self._fail(error)
            self.drop()

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        one = self._one
        if one is not None and (payload := one(data)) is not None:
            self.since = clock()
            self._sink.data(payload, data)  # type: ignore[union-attr]  # somebody takes it
        elif len(data) > MAX_READ:
            for at in range(0, len(data), MAX_READ):
                self.data_received(data[at : at + MAX_READ])
        elif self._state is _BODY:
            self.since = clock()
            self._read_body(data)
        elif self._state is _HEAD:
            if self._owner.outbox.holds(self._transport):
                # It cannot be the answer to what has not left yet.
                self._fail(ProviderBroke("the provider spoke before it was asked anything"))
                return
            self.heard = True
            self._read_head(data)
        elif self._state is _IDLE:
            # Nobody asked: whatever this is, the connection cannot be trusted any more.
            self._owner.forget(self)
            self.drop()
        else:
            self._reusable = False

    def eof_received(self) -> None:
        if self._state is _BODY and self._remaining == UNTIL_CLOSE:
            self._end()
        else:
            waits = self._owner.outbox.holds(self._transport)
            self.heard = self.heard or not (waits or unsent(self._transport))
            self._closed(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(exc)
        self.drop()

    def pause_writing(self) -> None:
        self.writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self.writable = self.writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _closed(self, cause: Exception | None) -> None:
        self._reusable = False
        if self._state is _IDLE:
            self._owner.forget(self)
        elif self._state is _HEAD:
            self._fail(ProviderBroke("the provider closed before it answered").because(cause))
        elif self._state is _BODY:
            self._fail(ProviderBroke("the provider's response was cut off").because(cause))

    # Reading.

    def _read_head(self, data: bytes) -> None:
        at = searched = 0
        buffer = data
        if self._buffer:
            searched = max(0, len(self._buffer) - 3)
            buffer = self._buffer + data
            self._buffer = b""
        try:
            while (end := find_head_end(buffer, searched)) >= 0:
                self._heads += end - at
                if self._heads > MAX_HEAD:
                    break
                head = parse_response_head(buffer[at:end])
                at = searched = end
                if head.status >= 200:
                    self._begin(head, buffer[at:])
                    return
                if head.status == 101:
                    raise FramingError("it switches protocols, which nobody asked for")
            if self._heads + len(buffer) - at > MAX_HEAD:
                raise FramingError(f"its head has more than {MAX_HEAD} bytes")
        except FramingError as error:
            self._fail(BadResponse(f"the provider's answer is not HTTP: {error}").because(error))
        else:
            self._buffer = buffer[at:]

    def _begin(self, head: ResponseHead, rest: bytes) -> None:
        length = body_length(head, self._method)
        self.status = head.status
        self.length: int | None = length if length >= 0 else None
        self.fields = head.headers
        self.lines = head.lines
        self.named = head.named
        self.since = clock()
        self._reusable = length != UNTIL_CLOSE and keeps_alive(head)
        self._remaining = length
        self._chunks = ChunkedDecoder() if length == CHUNKED else None
        self._state = _BODY
        if len(rest) == length:  # and nobody takes it yet
            self._state = _WHOLE
            self._held = [(rest, None)] if rest else []
        elif rest:
            self._read_body(rest)
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def _read_body(self, data: bytes) -> None:
        chunks = self._chunks
        if chunks is not None:
            try:
                payload = chunks.feed(data)
            except FramingError as error:
                if error.decoded:
                    self._deliver(error.decoded, None)
                self._fail(ProviderBroke(f"the provider's response broke: {error}").because(error))
                return
            if payload:
                self._deliver(payload, data if chunks.whole else None)
            if chunks.done:
                self._reusable = self._reusable and not chunks.rest
                self._end()
        elif self._remaining == UNTIL_CLOSE:
            self._deliver(data, None)
        else:
            if len(data) > self._remaining:
                data = data[: self._remaining]
                self._reusable = False
            self._remaining -= len(data)
            if data:
                self._deliver(data, None)
            if self._remaining == 0:
                self._end()

    def _deliver(self, payload: bytes, framed: bytes | None) -> None:
        if self._sink is not None:
            self._sink.data(payload, framed)
            return
        self._held.append((payload, framed))
        many = len(self._held) > 1 and not self._paused
        if many and sum(len(held) for held, _ in self._held) > MAX_HELD:
            self.pause()

    def _end(self) -> None:
        if self._state is _BODY:
            self._state = _WHOLE
            self._one = None
            if self._sink is not None:
                self._sink.end()

    def _fail(self, error: ProxyError) -> None:
        """The exchange on this connection ends with `error`, and so does the connection."""
        if self._state is _HEAD:
            self._state = _BROKEN
            if self._head is not None and not self._head.done():
                self._head.set_exception(error)
        elif self._state is _BODY:
            self._state = _BROKEN
            self._one = None
            self._error = error
            if self._sink is not None:
                self._sink.broke(error)

    # Called by who takes the response.

    def whole(self) -> bytes | None:
        if self._state is not _WHOLE:
            return None
        held, self._held = self._held, []
        return held[0][0] if len(held) == 1 else b"".join([payload for payload, _ in held])

    def attach(self, sink: Sink) -> None:
        held, self._held = self._held, []
        self._sink = sink
        paused, self._paused = self._paused, False
        for payload, framed in held:
            sink.data(payload, framed)
        if paused and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()
        if self._state is _WHOLE:
            sink.end()
        elif self._error is not None:
            sink.broke(self._error)
        elif self._chunks is not None:
            self._one = self._chunks.one

    def pause(self) -> None:
        self._paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.since = clock()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self) -> None:
        """Done with the response: keep the connection if that was whole, else cut it off."""
        uploaded = self._upload is None or self._upload.done()
        self._sink = self._one = None
        if self._state is _WHOLE and self._reusable and uploaded and not self._dropped:
            self._upload = None
            self.resume()
            self._state = _IDLE
            self._owner.keep(self)
        else:
            self.drop()

    def drop(self) -> None:
        """Cut the connection off at once. What was read of a response stays there to take."""
        self._owner.sweep.discard(self)
        self._owner.outbox.drop(self._transport)
        self.resume_writing()
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None
        if not self._dropped:
            self._dropped = True
            self._transport.abort()

    def check(self, now: float) -> None:
        silent = now - self.since
        first, idle = self._timeouts.first_byte, self._timeouts.idle
        if self._state is _HEAD and 0 < first <= silent:
            self._fail(ProviderTimeout(f"the provider did not answer within {first:g} s"))
        elif self._state is _BODY and not self._paused and 0 < idle <= silent:
            self._fail(ProviderTimeout(f"the provider sent nothing for {idle:g} s"))
