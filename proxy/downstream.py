"""A downstream: where the response to one request goes.

It is the :class:`proxy.relay.Downstream` of an exchange and half of its
:class:`proxy.exchange.RawRequest`: the other half, the body, is what the two kinds of request
differ in (``request.py`` and ``front.py``). A response goes straight to the transport, its head
together with the first of its body.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.outbox import Outbox
from proxy.sockets import certificate, reset, unsent

BODY_PACE = 16 * 1024
"""Bytes that each `body_timeout` of a request's body must bring, so that a drip does not count."""

CLOSE_SECONDS = 30.0
"""How long a client may take to take the rest of what it was sent, once we have closed."""

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Limits(msgspec.Struct, frozen=True):
    """What a client may ask of a connection: bytes and seconds."""

    max_body_size: int
    head_timeout: float
    body_timeout: float
    keepalive_timeout: float


class Connection(Protocol):
    """What a request has to know of its connection."""

    transport: asyncio.Transport | None

    @property
    def limits(self) -> Limits:
        """What this connection may ask for."""

    @property
    def closing(self) -> bool:
        """Whether it takes no further requests."""

    @property
    def writing_paused(self) -> bool:
        """Whether the transport has more than it wants to hold."""

    @property
    def peer(self) -> str:
        """The client's address."""

    async def drain(self) -> None:
        """Return when the transport has room again. Raises ClientLeft."""

    def cancel(self) -> None:
        """Cancel whoever answers the request at work."""


class Downstream:
    """One request's head, and its response on a connection."""

    __slots__ = (
        "_bodiless",
        "_connection",
        "_head",
        "_outbox",
        "_stream",
        "_transport",
        "chunked",
        "forwarded",
        "headers",
        "http11",
        "keep_alive",
        "length",
        "method",
        "path",
        "peer",
        "query",
        "raw_headers",
        "started",
    )

    forwarded: dict[object, bytes]
    headers: Mapping[str, str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    length: int | None

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: str,
        *,
        http11: bool,
        keep_alive: bool,
        outbox: Outbox | None = None,
    ) -> None:
        """`outbox`: where whole answers may wait for the end of the loop's turn; None: nowhere."""
        self._connection = connection
        self._transport = connection.transport
        self._outbox = outbox
        self._head = b""
        self._stream: asyncio.Transport | None = None
        """Where the body goes, once its head has gone before it."""
        self._bodiless = False
        self.peer = connection.peer
        """The client's address, for the log."""
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.http11 = http11
        self.keep_alive = keep_alive
        self.chunked = False
        self.started = False

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The certificate that the client has proved to be its own, its `subject` among others."""
        return None if self._transport is None else certificate(self._transport)

    @property
    def unread(self) -> bool:
        """Whether some of the request's body has not come."""
        return False

    @property
    def writing_paused(self) -> bool:
        return self._connection.writing_paused

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        self.start(status, fields, len(body))
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        data = self._head if self._bodiless else self._head + body
        self._head = b""
        if self._outbox is None:
            transport.write(data)
        else:
            self._outbox.write(transport, data)

    def start(self, status: int, fields: bytes, length: int | None) -> None:
        self.started = True
        self._bodiless = self.method == "HEAD" or status in (204, 304)
        if self._bodiless or length is not None:
            framing = b"" if length is None else b"content-length: %d\r\n" % length
        elif self.http11:
            self.chunked = True
            self._release()
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False
            framing = b""
        if self.unread or self._connection.closing:
            # What is left of the request is not worth reading.
            self.keep_alive = False
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif not self.http11:
            framing += b"connection: keep-alive\r\n"
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        self._head = b"%b%b%b\r\n" % (line, fields, framing)

    def write(self, data: bytes) -> bool:
        if self.chunked:
            return self.write_framed(encode_chunk(data))
        self._write_first(data)
        return self._connection.writing_paused

    def write_framed(self, data: bytes) -> bool:
        if self._stream is not None:
            # A stream's next event waits for nothing: writing it later costs no less.
            if not self._stream.is_closing():
                self._stream.write(data)
        else:
            self._write_first(data)
        return self._connection.writing_paused

    def _write_first(self, data: bytes) -> None:
        """Send what may still lack its head, or be whole."""
        if self._head:
            data = self._head if self._bodiless else self._head + data
            self._head = b""
        elif self._bodiless:
            return
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.chunked or self._outbox is None:
            self._stream = None if self._bodiless else transport
            transport.write(data)
        else:
            self._outbox.write(transport, data)

    def flush(self) -> None:
        if self._head:
            self.write_framed(b"")

    async def drain(self) -> None:
        await self._connection.drain()

    def unsent(self) -> int:
        return 0 if self._transport is None else unsent(self._transport)

    def finish(self) -> None:
        if self.chunked and not self._bodiless:
            self.write_framed(LAST_CHUNK)
        else:
            self.flush()

    def cancel(self) -> None:
        self._connection.cancel()

    def abort(self) -> None:
        self.keep_alive = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self.writing_paused and (self.chunked or self.http11):
            # What was written still reaches the client; the missing end tells it the rest.
            self._release()
            transport.close()
        else:
            # Without framing only a reset tells a broken end from a good one, and whoever takes
            # nothing shall not have the kernel keep it.
            reset(transport)

    def _release(self) -> None:
        if self._outbox is not None and self._transport is not None:
            self._outbox.release(self._transport)
