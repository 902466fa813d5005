"""A client's connection to the proxy, and as much of HTTP/1.1 as both ends need."""

import asyncio
import re
from collections.abc import AsyncIterator

from bench.fallback.stream import Run, Stream
from bench.generator import WorkloadFailed

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Connection:
    """A client's connection to the proxy."""

    def __init__(self, run: Run, request: bytes, answer: bytes) -> None:
        self._run = run
        self._request = request
        self._answer = answer
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Connect."""
        limit = 16 * 1024 if self._run.kind == "slow" else 256 * 1024
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._run.port, limit=limit
        )

    async def ask(self, request: bytes) -> bytes:
        """Send a request; returns the head of its response, which is a good one."""
        assert self._writer is not None
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise WorkloadFailed(f"status {head[9:12].decode('latin-1')} instead of 200")
        return head

    async def unary(self) -> None:
        """One request and its whole answer."""
        body = await read_body(self._reader, await self.ask(self._request))
        if body != self._answer if self._run.exact else not body:
            raise WorkloadFailed("an answer is not what the provider sent")

    async def stream(self, stream: Stream) -> AsyncIterator[bytes]:
        """Ask for a stream; every frame of it, as it arrives."""
        number = b"%07d" % stream.number
        at = self._run.stream_at
        head = await self.ask(self._request[:at] + number + self._request[at + len(number) :])
        if _CHUNKED.search(head) is None:
            raise WorkloadFailed("a stream without chunked framing")
        rest = b""
        done = False
        async for chunk in _chunks(self._reader):
            *whole, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
            for text in whole:
                frame = text.lstrip(b"\n") + b"\n\n"
                while frame.startswith(b":"):  # a heartbeat
                    frame = frame[frame.index(b"\n") + 1 :]
                if self._run.exact and frame != stream.expected():
                    raise WorkloadFailed(
                        f"event {stream.seen} of a stream is not what the provider sent"
                    )
                stream.seen += 1
                done = frame == b"data: [DONE]\n\n"
                yield frame
        if not done or (self._run.exact and (stream.seen != stream.sent or rest)):
            raise WorkloadFailed("a stream ended before it was whole")

    def close(self) -> None:
        """Leave, if it ever was open."""
        if self._writer is not None:
            self._writer.close()


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """The body that follows `head`."""
    if _CHUNKED.search(head):
        return b"".join([chunk async for chunk in _chunks(reader)])
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
