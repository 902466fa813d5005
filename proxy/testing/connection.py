"""One connection that an `Upstream` accepted, as the steps of a script see it."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from proxy.framing.chunked import ChunkedDecoder


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came. Header names are lower-cased; `head` has every byte up to the body.

    `connection` is the number of the connection it came on, `at` the time (`time.monotonic`) when
    its last byte was there. A chunked `body` is without its framing.
    """

    method: str
    target: str
    head: bytes
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    at: float

    def header(self, name: str) -> str | None:
        """The value of the header of this name, several joined by ", "; None if there is none."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


class Connection(asyncio.Protocol):
    """What a script does things to. Connections are numbered from 1 in the order of acceptance.

    `sent` counts the bytes that the kernel took, `request` is the last request read here.
    """

    def __init__(
        self,
        accepted: "Callable[[Connection], int]",
        received: Callable[[ReceivedRequest], None],
        ended: "Callable[[Connection, float | None], None]",
    ) -> None:
        self._accepted = accepted
        self._received = received
        self._ended = ended
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._peer_left = asyncio.Event()
        self._cut = False
        self._secure = False
        self._lost = False
        self._unread: ReceivedRequest | None = None
        self.is_open = True
        self.number = 0
        self.sent = 0
        self.request: ReceivedRequest | None = None

    async def read(self) -> bytes:
        """The bytes that came and were not read yet, at least one; b"" when the peer is gone."""
        while not self._buffer and not self._peer_left.is_set():
            await self._more()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def read_request(self) -> ReceivedRequest | None:
        """Read one request, its body by Content-Length or chunked; None if the peer left instead.

        It is recorded in the upstream's `requests`. Raises ValueError for a malformed one.
        """
        if self._unread is not None:
            request, self._unread = self._unread, None
            return request
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._peer_left.is_set():
                return None
            await self._more()
        head = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        method, target, headers = _parse(head)
        fields = dict(headers)
        if "chunked" in fields.get("transfer-encoding", ""):
            body = await self._read_chunked()
        else:
            body = await self._read_exactly(int(fields.get("content-length", "0")))
        if body is None:
            return None
        self.request = ReceivedRequest(
            method, target, head, headers, body, self.number, time.monotonic()
        )
        self._received(self.request)
        return self.request

    def unread(self) -> None:
        """Let the last request be read once more."""
        self._unread = self.request

    def skip_unread(self) -> None:
        """A request that was to be read once more has had its turn."""
        self._unread = None

    async def send(self, data: bytes) -> None:
        """Send `data`; returns when the kernel has taken all of it, or the connection is gone."""
        if self._transport.is_closing():
            return
        self._transport.write(data)
        await self._writable.wait()
        if not self._transport.is_closing():
            self.sent += len(data)

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the peer closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._peer_left.wait(), seconds)

    async def peer_closes(self) -> None:
        """Wait until the peer closes or resets the connection."""
        await self._peer_left.wait()

    async def hold(self, seconds: float) -> None:
        """Read nothing for so long: what the peer sends backs up, its close is not seen."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            await asyncio.sleep(seconds)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The certificate that the peer has proved to be its own, if it was asked for one."""
        return self._transport.get_extra_info("peercert") or None

    @property
    def peer_closed(self) -> bool:
        """Whether the peer closed its side, or reset the connection."""
        return self._peer_left.is_set()

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more: cut, reset, or lost."""
        return self._transport.is_closing()

    def cut(self) -> None:
        """Close the connection (FIN), after what was sent."""
        self._cut = True
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection (RST)."""
        if not self._lost:
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.abort()

    def abort(self) -> None:
        """Close the connection without waiting for the peer to take what was sent."""
        self._cut = True
        self._transport.abort()

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _read_exactly(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            if self._peer_left.is_set():
                return None
            await self._more()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    async def _read_chunked(self) -> bytes | None:
        decoder = ChunkedDecoder()
        body = bytearray()
        while not decoder.done:
            data = await self.read()
            if not data:
                return None
            body += decoder.feed(data)
        self._buffer[:0] = decoder.rest
        return bytes(body)

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._ended(self, None if self._cut else time.monotonic())

    # What follows is asyncio.Protocol's.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No buffer in front of the kernel's: `sent` is to count what the peer's side took.
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        # (TLS takes 0 for a buffer that is always full.)
        self._secure = transport.get_extra_info("ssl_object") is not None
        self._transport.set_write_buffer_limits(high=int(self._secure))
        self.number = self._accepted(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self._end()
        self._peer_left.set()
        self._arrived.set()
        # The peer may have closed its side only, and still take an answer.
        return not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end()
        self._peer_left.set()
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


def _parse(head: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError(f"the upstream got {request_line!r} (expected METHOD TARGET HTTP/1.x)")
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"the upstream got a header line without a colon: {line!r}")
        headers.append((name.lower(), value.strip(" \t")))
    return words[0], words[1], headers
