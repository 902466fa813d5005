"""How a request leaves for a provider: whole, or as its body comes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from proxy.exchange import FinalRequest
from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.outbox import Outbox
from proxy.units import clock

_SEPARATE = 16 * 1024
"""Bytes of a body from which on a copy of it costs more than a second buffer."""

_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Connection(Protocol):
    """What a body that streams up has to know of its connection."""

    since: float

    @property
    def writable(self) -> asyncio.Future[None] | None:
        """Done when the transport has room again; None while it has."""


def send_whole(
    outbox: Outbox, transport: asyncio.Transport, final: FinalRequest, body: bytes
) -> None:
    """Send a request whose body is here."""
    if len(body) > _SEPARATE:
        head = b"%bcontent-length: %d\r\n\r\n" % (final.head, len(body))
        transport.writelines((head, body))
    elif body or final.method not in _BODILESS:
        outbox.write(transport, b"%bcontent-length: %d\r\n\r\n%b" % (final.head, len(body), body))
    else:
        outbox.write(transport, final.head + b"\r\n")


async def send_stream(
    connection: Connection,
    transport: asyncio.Transport,
    final: FinalRequest,
    body: AsyncIterator[bytes],
) -> None:
    """Send a request and then its body, at the pace that the provider takes it.

    Raises the ProxyError that ended the body before it was whole.
    """
    if final.length is None:
        transport.write(final.head + b"transfer-encoding: chunked\r\n\r\n")
    else:
        transport.write(b"%bcontent-length: %d\r\n\r\n" % (final.head, final.length))
    async for chunk in body:
        if transport.is_closing():
            return
        connection.since = clock()
        transport.write(encode_chunk(chunk) if final.length is None else chunk)
        if connection.writable is not None:
            await connection.writable
    if final.length is None:
        transport.write(LAST_CHUNK)
