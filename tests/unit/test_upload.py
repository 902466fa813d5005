"""How a request leaves: what stands on the wire, and the pace of a body that streams."""

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import cast

import pytest

from proxy.errors import ClientTimeout
from proxy.exchange import FinalRequest, Origin, Timeouts
from proxy.outbox import Outbox
from proxy.upload import send_stream, send_whole

NO_TIMEOUTS = Timeouts(connect=0, first_byte=0, idle=0, send=0, total=0)


class Transport:
    """Keeps what was written, buffer by buffer."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, buffers: tuple[bytes, ...]) -> None:
        self.written.extend(buffers)

    def is_closing(self) -> bool:
        return self.closing


class Connection:
    """A connection that has room until the test says otherwise."""

    def __init__(self) -> None:
        self.since = 0.0
        self.writable: asyncio.Future[None] | None = None


def asked(method: str, body: bytes | AsyncIterator[bytes], length: int | None) -> FinalRequest:
    return FinalRequest(
        method=method,
        origin=Origin("http", "provider", 80),
        head=b"%b / HTTP/1.1\r\n" % method.encode(),
        body=body,
        length=length,
        timeouts=NO_TIMEOUTS,
    )


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("POST", b"{}", [b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"]),
        ("POST", b"", [b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"]),
        ("GET", b"", [b"GET / HTTP/1.1\r\n\r\n"]),
        ("GET", b"x", [b"GET / HTTP/1.1\r\ncontent-length: 1\r\n\r\nx"]),
        ("PUT", b"x" * 20000, [b"PUT / HTTP/1.1\r\ncontent-length: 20000\r\n\r\n", b"x" * 20000]),
    ],
)
async def test_a_whole_request_leaves_when_the_turn_ends(
    method: str, body: bytes, expected: list[bytes]
) -> None:
    transport = Transport()

    send_whole(
        Outbox(inf), cast(asyncio.Transport, transport), asked(method, body, len(body)), body
    )
    await asyncio.sleep(0)

    assert transport.written == expected


async def body_of(*chunks: bytes | Exception) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


@pytest.mark.parametrize(
    ("length", "framing", "sent"),
    [
        (4, b"content-length: 4\r\n\r\n", [b"ab", b"cd"]),
        (
            None,
            b"transfer-encoding: chunked\r\n\r\n",
            [b"2\r\nab\r\n", b"2\r\ncd\r\n", b"0\r\n\r\n"],
        ),
    ],
)
async def test_a_body_leaves_as_it_comes(
    length: int | None, framing: bytes, sent: list[bytes]
) -> None:
    transport, connection = Transport(), Connection()
    body = body_of(b"ab", b"cd")

    await send_stream(
        connection, cast(asyncio.Transport, transport), asked("POST", body, length), body
    )

    assert transport.written == [b"POST / HTTP/1.1\r\n" + framing, *sent]
    assert connection.since > 0


async def test_a_body_waits_for_room() -> None:
    transport, connection = Transport(), Connection()
    connection.writable = room = asyncio.get_running_loop().create_future()
    body = body_of(b"ab", b"cd")
    sending = asyncio.ensure_future(
        send_stream(connection, cast(asyncio.Transport, transport), asked("POST", body, 4), body)
    )

    await asyncio.sleep(0)
    assert transport.written[1:] == [b"ab"]

    connection.writable = None
    room.set_result(None)
    await sending
    assert transport.written[1:] == [b"ab", b"cd"]


async def test_a_body_that_breaks_is_not_ended() -> None:
    transport = Transport()
    body = body_of(b"ab", ClientTimeout("late"))

    with pytest.raises(ClientTimeout):
        await send_stream(
            Connection(), cast(asyncio.Transport, transport), asked("POST", body, None), body
        )

    assert transport.written[1:] == [b"2\r\nab\r\n"]


async def test_nothing_is_sent_on_a_connection_that_closes() -> None:
    transport = Transport()
    transport.closing = True
    body = body_of(b"ab")

    await send_stream(
        Connection(), cast(asyncio.Transport, transport), asked("POST", body, None), body
    )

    assert len(transport.written) == 1
