"""A downstream: one request as its client sent it, and where its response goes.

It is the :class:`proxy.exchange.RawRequest` and the :class:`proxy.relay.Downstream` of its
exchange, and to aiohttp's RequestHandler both the request and the response: one light object
where there would be five. A response goes straight to the transport, its head together with the
first of its body.
"""

import asyncio
import fcntl
import struct
import termios
import zlib
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web import RequestPayloadError

from proxy.errors import BadRequest, ClientLeft, ClientTimeout, TooLarge, Unsupported
from proxy.framing.chunked import LAST_CHUNK, encode_chunk

BODY_PACE = 16 * 1024
"""Bytes that each `body_timeout` of a request's body must bring, so that a drip does not count."""

_SLICE = 256 * 1024
"""Bytes that are decompressed at once, before others get a turn."""

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
    def peername(self) -> Any:
        """The client's address, as the socket has it."""


class Downstream:
    """One request and its response on a connection."""

    __slots__ = (
        "_bodiless",
        "_connection",
        "_head",
        "_message",
        "_payload",
        "_task",
        "_transport",
        "_writer",
        "chunked",
        "headers",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "raw_headers",
        "started",
    )

    headers: Mapping[str, str]

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: Connection,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> None:
        self._message = message
        self._payload = payload
        self._connection = connection
        self._writer = writer
        self._task: asyncio.Task[None] | None = task
        self._transport = connection.transport
        self._head = b""
        self._bodiless = False
        self.method = message.method
        target = message.path
        if target[:1] != "/":
            target = _origin_form(target)
        self.path, _, self.query = target.partition("?")
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.length: int | None = None
        if not message.chunked:
            self.length = int(message.headers.get("content-length", 0))
        self.keep_alive = not message.should_close and not message.upgrade
        self.chunked = False
        self.started = False

    # RawRequest

    @property
    def peer(self) -> str:
        """The client's address; of a unix socket, its path."""
        name: Any = self._connection.peername
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "unix")

    async def body(self) -> bytes:
        """The whole body, decompressed; see :class:`proxy.exchange.RawRequest`."""
        limits = self._connection.limits
        if self.length is not None and self.length > limits.max_body_size:
            raise TooLarge(f"the body has more than {limits.max_body_size} bytes")
        payload = self._payload
        if payload.is_eof() and payload.exception() is None:
            body = payload.read_nowait()
        else:
            parts = []
            size = 0
            async for chunk in self.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > limits.max_body_size:
                    raise TooLarge(f"the body has more than {limits.max_body_size} bytes")
            body = b"".join(parts)
        if len(body) > limits.max_body_size:
            raise TooLarge(f"the body has more than {limits.max_body_size} bytes")
        coding = self.headers.get("content-encoding")
        if coding is None or coding.lower() == "identity":
            return body
        if coding.lower() not in ("gzip", "x-gzip"):
            raise Unsupported(
                f"content-encoding {coding[:40]!r} is not one of: gzip, identity",
                status=415,
                headers={"accept-encoding": "gzip, identity"},
            )
        return await _gunzip(body, limits.max_body_size)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; see :class:`proxy.exchange.RawRequest`."""
        self._expect()
        payload = self._payload
        timeout = self._connection.limits.body_timeout
        loop = asyncio.get_running_loop()
        arrived = 0
        try:
            async with asyncio.timeout(timeout or None) as timer:
                while not payload.at_eof():
                    chunk = await payload.readany()
                    if not chunk:
                        continue
                    arrived += len(chunk)
                    if timeout and arrived >= BODY_PACE:
                        arrived = 0
                        timer.reschedule(loop.time() + timeout)
                    if timeout:
                        # Whoever takes the chunk may be slow: that time is not the client's.
                        left = (timer.when() or 0.0) - loop.time()
                        timer.reschedule(None)
                        yield chunk
                        timer.reschedule(loop.time() + left)
                    else:
                        yield chunk
        except TimeoutError as error:
            raise ClientTimeout(
                f"the body did not keep coming: {timeout:g} s brought less than {BODY_PACE} bytes"
            ) from error
        except (RequestPayloadError, HttpProcessingError) as error:
            raise BadRequest("the body's framing is broken") from error
        except ConnectionError as error:
            raise ClientLeft("the client closed the connection") from error

    def _expect(self) -> None:
        """Say that the body may come, to a client that waits for it (RFC 9110 10.1.1)."""
        expectation = self.headers.get("expect")
        if expectation is None or self._payload.is_eof():
            return
        if expectation.lower() != "100-continue":
            raise Unsupported(f"expectation {expectation[:40]!r} cannot be met", status=417)
        if self._transport is not None and self._message.version >= HttpVersion11:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # Response

    @property
    def writing_paused(self) -> bool:
        return self._connection.writing_paused

    def start(self, status: int, fields: bytes, length: int | None) -> None:
        self.started = True
        self._bodiless = self.method == "HEAD" or status in (204, 304)
        if self._bodiless or length is not None:
            framing = b"" if length is None else b"content-length: %d\r\n" % length
        elif self._message.version >= HttpVersion11:
            self.chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False
            framing = b""
        if not self._payload.is_eof() or self._connection.closing:
            # What is left of the request is not worth reading.
            self.keep_alive = False
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif self._message.version < HttpVersion11:
            framing += b"connection: keep-alive\r\n"
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        self._head = b"%b%b%b\r\n" % (line, fields, framing)

    def write(self, data: bytes) -> None:
        if self.chunked:
            data = encode_chunk(data)
        self.write_framed(data)

    def write_framed(self, data: bytes) -> None:
        if self._head:
            data = self._head if self._bodiless else self._head + data
            self._head = b""
        elif self._bodiless:
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            self.write_framed(b"")

    async def drain(self) -> None:
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ClientLeft("the client closed the connection") from error

    def unsent(self) -> int:
        if self._transport is None or self._transport.is_closing():
            return 0
        held = self._transport.get_write_buffer_size()
        sock = self._transport.get_extra_info("socket")
        if sock is None:
            return held
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return held + int(struct.unpack("i", queued)[0])

    def finish(self) -> None:
        if self.chunked and not self._bodiless:
            self.write_framed(LAST_CHUNK)
        else:
            self.flush()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        self.keep_alive = False
        transport = self._transport
        if transport is None:
            return
        if not self.writing_paused and (self.chunked or self._message.version >= HttpVersion11):
            # What was written still reaches the client; the missing end tells it the rest.
            transport.close()
        else:
            # Without framing only a reset tells a broken end from a good one.
            transport.abort()

    # What aiohttp's RequestHandler asks of a request and of a response.

    async def prepare(self, request: "Downstream") -> None:
        """Nothing to prepare: the response is already on its way."""

    async def write_eof(self) -> None:
        """Nothing to end: the pipeline ended the response."""

    def _finish(self) -> None:
        """Called when the handler is done."""

    def _cancel(self, exc: BaseException) -> None:
        """Called when the connection is lost: wakes up whoever reads the body."""
        if not self._payload.is_eof():
            self._payload.set_exception(exc)


def _origin_form(target: str) -> str:
    """The path of a target in absolute form (RFC 9112 3.2.2); any other stays as it is."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return target
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


async def _gunzip(body: bytes, limit: int) -> bytes:
    """Decompress, in slices, no more than `limit` bytes."""
    inflater = zlib.decompressobj(wbits=31)
    parts = []
    size = 0
    try:
        for at in range(0, len(body), _SLICE):
            piece = body[at : at + _SLICE]
            while piece and not inflater.eof:
                part = inflater.decompress(piece, _SLICE)
                piece = inflater.unconsumed_tail
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise TooLarge(f"the body has more than {limit} bytes once decompressed")
                if size > _SLICE:
                    await asyncio.sleep(0)
    except zlib.error as error:
        raise BadRequest("the body is not valid gzip") from error
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("the body is not one whole gzip stream")
    return b"".join(parts)
