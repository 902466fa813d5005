"""A request as aiohttp's server read it: any that HTTP/1 allows, its body as it comes.

To aiohttp's RequestHandler it is both the request and the response: one light object where there
would be five.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web import RequestPayloadError
from multidict import CIMultiDict

from proxy.downstream import BODY_PACE, Connection, Downstream
from proxy.errors import BadRequest, ClientLeft, ClientTimeout, ProxyError, TooLarge, Unsupported
from proxy.units import clock

_authority_end = re.compile("[/?#]").search

MAX_FIELD = 32 * 1024
MAX_HEAD = 64 * 1024
MAX_FIELDS = 128

_SLICE = 256 * 1024
"""Bytes that are decompressed at once, before others get a turn."""


class Request(Downstream):
    """One request and its response on a connection of aiohttp's server."""

    __slots__ = ("_payload", "_task")

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: Connection,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> None:
        target = message.path
        super().__init__(
            connection,
            message.method,
            target if target[:1] == "/" else _origin_form(target),
            http11=message.version >= HttpVersion11,
            keep_alive=not message.should_close and not message.upgrade,
        )
        self._payload = payload
        self._task: asyncio.Task[None] | None = task
        self.headers = message.headers
        options = [value for name, value in message.raw_headers if name.lower() == b"connection"]
        if len(options) > 1:
            # Several lines of a list are one list (RFC 9110 5.3).
            self.headers = merged = CIMultiDict(message.headers)
            merged["connection"] = b", ".join(options).decode("latin-1")
        self.raw_headers = message.raw_headers
        self.forwarded = {}
        self.length = None
        if not message.chunked:
            self.length = int(message.headers.get("content-length", 0))

    @property
    def unread(self) -> bool:
        return not self._payload.is_eof()

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
        arrived, left = 0, timeout
        try:
            while not payload.at_eof():
                # Whoever takes the chunks may be slow: only the time we wait is the client's.
                began = clock()
                async with asyncio.timeout(left if timeout else None):
                    chunk = await payload.readany()
                left -= clock() - began
                arrived += len(chunk)
                if arrived >= BODY_PACE:
                    arrived, left = 0, timeout
                if chunk:
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
        if self._transport is not None and self.http11:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # What aiohttp's RequestHandler asks of a request and of a response.

    async def prepare(self, request: "Request") -> None:
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
    end = _authority_end(rest)
    path = rest[end.start() :] if end is not None else ""
    return path if path.startswith("/") else "/" + path


def head_too_large() -> TooLarge:
    """The error of a head over one of the limits."""
    return TooLarge(
        f"the head is too large: {MAX_FIELDS} fields, {MAX_FIELD} bytes each, {MAX_HEAD} in all",
        status=431,
    )


def fault(message: RawRequestMessage) -> ProxyError | None:
    """What is wrong with a head that aiohttp's parser lets pass."""
    if not HttpVersion10 <= message.version <= HttpVersion11:
        return BadRequest("the protocol is not HTTP/1.1 or HTTP/1.0")
    coding = message.headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or message.version < HttpVersion11):
        # Whoever stands before us may have read another end of the body (RFC 9112 6.1).
        return BadRequest("the only transfer coding is chunked, in HTTP/1.1")
    size = sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    return head_too_large() if size + len(message.path) > MAX_HEAD else None


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
