"""A client that sends exactly the bytes it is given, as slowly, partly or rudely as it is told."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from proxy.framing import excerpt
from proxy.framing.chunked import ChunkedDecoder
from proxy.framing.head import (
    CHUNKED,
    UNTIL_CLOSE,
    ResponseHead,
    body_length,
    find_head_end,
    parse_response_head,
)
from proxy.tasks import spawn
from proxy.testing.secured import Secured

_READ = 65536


async def exchange(
    url: str,
    raw: bytes | Iterable[bytes],
    *,
    pause: float = 0.0,
    half_close: bool = False,
    timeout: float = 10.0,  # noqa: ASYNC109 - the caller's bound on the whole exchange
) -> bytes:
    """Connect, send, and return every byte that comes until the server closes or resets.

    The pieces of an iterable are sent one by one, `pause` seconds apart; `half_close` closes the
    sending side behind them. Raises TimeoutError, with what came so far, when the server has not
    closed after `timeout` seconds: a request that ought to end the connection says so itself
    (`connection: close`).
    """
    received = bytearray()
    async with RawClient(url, timeout=timeout) as client:
        sending = spawn(_send(client, raw, pause, half_close), "exchange: send")
        try:
            async with asyncio.timeout(timeout):
                while data := await client.read_some():
                    received += data
        except TimeoutError:
            raise TimeoutError(
                f"the server did not close within {timeout} s; "
                f"{len(received)} bytes came: {excerpt(received)}"
            ) from None
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        if not sending.cancelled():
            sending.result()
    return bytes(received)


def request(
    target: str = "/",
    body: bytes | str | Mapping[str, object] = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a whole request; a mapping goes as JSON.

    `host`, `content-type: application/json` and `content-length` are added where `headers` do not
    have them (no length beside a transfer-encoding).
    """
    text = json.dumps(body) if isinstance(body, Mapping) else body
    raw = text.encode() if isinstance(text, str) else text
    fields = {"host": "proxy.test", "content-type": "application/json"}
    fields |= {name.lower(): value for name, value in (headers or {}).items()}
    if "transfer-encoding" not in fields:
        fields.setdefault("content-length", str(len(raw)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join([*lines, "", ""]).encode() + raw


class RawClient:
    """One connection to `http://HOST:PORT` or `unix:/path`, read no faster than a test reads.

    `timeout` bounds each operation, in seconds. A small `receive_buffer` (bytes, the kernel's)
    makes a slow reader felt sooner. `was_reset` says whether the connection ended in a RST,
    `at_end` whether it ended at all. With `tls`, whose certificate `server_name` must have, the
    URL is `https://…`; `close_notify` says whether the server said that it has said all.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._receive_buffer = receive_buffer
        self._tls = tls
        self._server_name = server_name
        self._secured: Secured | None = None
        self._socket: socket.socket
        self._ahead = b""  # received, not read yet
        self._body: _Body | None = None
        self.at_end = False
        self.was_reset = False

    async def connect(self) -> None:
        """Connect; `async with` does it by itself."""
        family, address = _address(self._url)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        if self._receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        if family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().sock_connect(self._socket, address)
                if self._tls is not None:
                    self._secured = Secured(self._socket, self._tls, self._server_name)
                    await self._secured.open()
        except BaseException:
            self._socket.close()
            raise

    async def send(self, data: bytes | Iterable[bytes], *, pause: float = 0.0) -> None:
        """Send the bytes, or each of the pieces, `pause` seconds apart."""
        pieces = [data] if isinstance(data, bytes) else data
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(pause)
            async with asyncio.timeout(self._timeout):
                if self._secured is not None:
                    await self._secured.send(piece)
                else:
                    await asyncio.get_running_loop().sock_sendall(self._socket, piece)

    async def read_head(self, method: str = "POST") -> ResponseHead:
        """Read the head of a response to a request with this method.

        Raises ConnectionError if the connection ends before, FramingError for a malformed head.
        """
        while (end := find_head_end(self._ahead)) < 0:
            await self._receive_more("the end of a response's head")
        raw, self._ahead = self._ahead[:end], self._ahead[end:]
        head = parse_response_head(raw)
        self._body = _Body(body_length(head, method))
        return head

    async def read_body(self) -> bytes:
        """Read the payload of the body, up to its end or the connection's; see `clean_end`."""
        body = self._started_body()
        payload = bytearray()
        while not body.done and (data := await self._receive(_READ)):
            payload += body.feed(data)
        self._ahead = body.rest + self._ahead
        body.rest = b""
        return bytes(payload)

    async def read_until(self, marker: bytes) -> bytes:
        """Read the bytes as they came, through the first `marker`.

        Raises ConnectionError if the connection ends before.
        """
        searched = 0
        while (at := self._ahead.find(marker, searched)) < 0:
            searched = max(0, len(self._ahead) - len(marker) + 1)
            await self._receive_more(repr(marker))
        return self._took(await self._receive(at + len(marker)))

    async def read_some(self, size: int = _READ, *, rate: float | None = None) -> bytes:
        """Read what has come, at most `size` bytes; b"" when the connection has ended.

        With a `rate` (bytes per second), read `size` bytes, or to the connection's end, no faster
        than that.
        """
        if rate is None:
            return self._took(await self._receive(size))
        received = bytearray()
        step = max(1, round(rate / 20))
        began = time.monotonic()
        while len(received) < size:
            data = await self._receive(min(step, size - len(received)))
            if not data:
                break
            received += data
            await asyncio.sleep(began + len(received) / rate - time.monotonic())
        return self._took(bytes(received))

    async def read_rest(self) -> bytes:
        """Read the bytes as they come, until the connection ends."""
        received = bytearray()
        while data := await self._receive(_READ):
            received += data
        return self._took(bytes(received))

    @property
    def clean_end(self) -> bool:
        """Whether the body that was read (by whichever method, after `read_head`) came to its end.

        That is the last chunk of a chunked body and all bytes of one with a length; of one that
        ends with the connection, that the connection was not reset (and by TLS, that it was not
        simply cut).
        """
        body = self._started_body()
        whole = self.at_end and not self.was_reset and (self._tls is None or self.close_notify)
        return body.done or (body.until_close and whole)

    @property
    def close_notify(self) -> bool:
        """Whether the server ended its TLS, and not only the connection."""
        return self._secured is not None and self._secured.close_notify

    def half_close(self) -> None:
        """Close the sending side (FIN); reading goes on."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Close the connection (FIN; a RST if the server sent bytes that were never read)."""
        self._socket.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    async def _receive(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        if self.at_end:
            return b""
        try:
            async with asyncio.timeout(self._timeout):
                if self._secured is not None:
                    data = await self._secured.receive(size)
                else:
                    data = await asyncio.get_running_loop().sock_recv(self._socket, size)
        except TimeoutError:
            raise TimeoutError(f"nothing came within {self._timeout} s") from None
        except ConnectionError:
            self.was_reset = True
            data = b""
        self.at_end = not data
        return data

    async def _receive_more(self, awaited: str) -> None:
        ahead, self._ahead = self._ahead, b""
        data = await self._receive(_READ)
        self._ahead = ahead + data
        if not data:
            how = "was reset" if self.was_reset else "was closed"
            raise ConnectionError(
                f"the connection {how} before {awaited}; {len(ahead)} bytes came: {excerpt(ahead)}"
            )

    def _started_body(self) -> "_Body":
        if self._body is None:
            raise RuntimeError("no head was read: call read_head first")
        return self._body

    def _took(self, data: bytes) -> bytes:
        if self._body is not None:
            self._body.feed(data)
        return data


class _Body:
    """Where a response's body ends."""

    def __init__(self, length: int) -> None:
        self._chunked = ChunkedDecoder() if length == CHUNKED else None
        self._left = length
        self.until_close = length == UNTIL_CLOSE
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`."""
        if self.until_close:
            return data
        if self._chunked is not None:
            payload = self._chunked.feed(data)
            self.done, self.rest = self._chunked.done, self._chunked.rest
            return payload
        payload, self.rest = data[: self._left], self.rest + data[self._left :]
        self._left -= len(payload)
        self.done = not self._left
        return payload


async def _send(
    client: RawClient, raw: bytes | Iterable[bytes], pause: float, half_close: bool
) -> None:
    # A server may close while it is still being sent to; what it answered is what counts.
    with contextlib.suppress(OSError):
        await client.send(raw, pause=pause)
        if half_close:
            client.half_close()


def _address(url: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return socket.AF_UNIX, parts.path
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
        raise ValueError(f"{url!r} is not http://HOST:PORT or unix:/path")
    family = socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET
    return family, (parts.hostname, parts.port)
