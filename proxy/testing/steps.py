"""What a script for an `Upstream` is made of, and answers ready made of these steps."""

import http.client
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing.connection import Connection


class Step(Protocol):
    """A step is an async function of the connection; the classes below are the usual ones."""

    def __call__(self, connection: Connection, /) -> Awaitable[object]:
        """Take the step; done when what is returned has been awaited."""
        ...


Script = Step | Sequence[Step]
"""What happens on a connection: one step, or several in order."""

JSON = {"content-type": "application/json"}
EVENT_STREAM = {"content-type": "text/event-stream"}


@dataclass(frozen=True)
class OnAccept(Step):
    """As a script's first step: play it when a connection is accepted, before any request."""

    async def __call__(self, connection: Connection, /) -> None:
        """Nothing is left to do: the upstream looks for this step."""


@dataclass(frozen=True)
class ReadRequest(Step):
    """Read one whole request; if the peer leaves instead, the following steps find it gone."""

    async def __call__(self, connection: Connection, /) -> None:
        await connection.read_request()


@dataclass(frozen=True)
class Send(Step):
    """Send these bytes."""

    data: bytes

    async def __call__(self, connection: Connection, /) -> None:
        await connection.send(self.data)


@dataclass(frozen=True)
class Drip(Step):
    """Send these bytes `size` at a time, waiting `every` seconds between two pieces."""

    data: bytes
    every: float
    size: int = 1

    async def __call__(self, connection: Connection, /) -> None:
        for at in range(0, len(self.data), self.size):
            if at:
                await connection.sleep(self.every)
            await connection.send(self.data[at : at + self.size])


@dataclass(frozen=True)
class Flood(Step):
    """Send `chunk` again and again, `total_bytes` or a little more, until done or the peer closes.

    The `sent` counts of the connection and of the upstream grow by each chunk that the kernel
    took, so they show how much a proxy lets in that nobody takes at its other end.
    """

    total_bytes: int
    chunk: bytes = encode_chunk(b"x" * 65536)

    async def __call__(self, connection: Connection, /) -> None:
        for _ in range(0, self.total_bytes, len(self.chunk)):
            if connection.closing:
                break
            await connection.send(self.chunk)


@dataclass(frozen=True)
class Sleep(Step):
    """Be silent for so many seconds, or until the peer closes."""

    seconds: float

    async def __call__(self, connection: Connection, /) -> None:
        await connection.sleep(self.seconds)


@dataclass(frozen=True)
class Stall(Step):
    """Be silent until the peer closes."""

    async def __call__(self, connection: Connection, /) -> None:
        await connection.peer_closes()


@dataclass(frozen=True)
class Hold(Step):
    """Read nothing for so many seconds: what the peer sends backs up, its close is not seen."""

    seconds: float

    async def __call__(self, connection: Connection, /) -> None:
        await connection.hold(self.seconds)


@dataclass(frozen=True)
class Cut(Step):
    """Close the connection (FIN), after what was sent."""

    async def __call__(self, connection: Connection, /) -> None:
        connection.cut()


@dataclass(frozen=True)
class Reset(Step):
    """Reset the connection (RST)."""

    async def __call__(self, connection: Connection, /) -> None:
        connection.reset()


def answer(status: int = 200, body: bytes | str = b"{}", headers: Mapping[str, str] = JSON) -> Send:
    """A whole response; its content-length is added unless `headers` say how the body is framed."""
    raw = body.encode() if isinstance(body, str) else body
    if not {name.lower() for name in headers} & {"content-length", "transfer-encoding"}:
        headers = {**headers, "content-length": str(len(raw))}
    return Send(_head(status, headers) + raw)


def stream_head(status: int = 200, headers: Mapping[str, str] = EVENT_STREAM) -> Send:
    """The head of a response with a chunked body, to be followed by `sse`, `chunks`, `END`."""
    return Send(_head(status, {**headers, "transfer-encoding": "chunked"}))


def sse(*events: bytes | str | tuple[str, bytes | str]) -> Send:
    """Server-sent events, each a chunk of its own: its data, or its name and its data."""
    return chunks(*map(_frame, events))


def chunks(*pieces: bytes) -> Send:
    """Chunks of a chunked body, one for each piece."""
    return Send(b"".join(map(encode_chunk, pieces)))


END = Send(LAST_CHUNK)
"""The end of a chunked body."""


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    reason = http.client.responses.get(status, "Unknown")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def _frame(event: bytes | str | tuple[str, bytes | str]) -> bytes:
    name, data = event if isinstance(event, tuple) else ("", event)
    raw = data.encode() if isinstance(data, str) else data
    lines = [f"event: {name}".encode()] if name else []
    lines += [b"data: " + line for line in raw.split(b"\n")]
    return b"\n".join(lines) + b"\n\n"
