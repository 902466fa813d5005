"""What of uvloop's TLS the gate relies on beyond what is documented, each held to its contract.

The table at the top of proxy/handshake.py names it. A test that fails names its row: the uvloop
that is installed moved it, and either the gate changes with it or pyproject.toml keeps that
version away.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop._version
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # has no type there

import proxy.handshake
from proxy.testing import RawClient
from tests.authority import Authority
from tests.e2e.test_hooks import rows

Test = TypeVar("Test", bound=Callable[..., Any])

TESTED: set[str] = set()


def holds(row: str) -> Callable[[Test], Test]:
    """A test of this row of the table."""

    def decorate(test: Test) -> Test:
        TESTED.add(row)
        return test

    return decorate


def test_each_row_of_the_table_is_tested() -> None:
    assert set(rows(proxy.handshake)) == TESTED, f"uvloop {uvloop._version.__version__}"


class Inner(asyncio.Protocol):
    """What is inside the TLS: answers each time, and can close."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.made = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Extended(SSLProtocol):  # type: ignore[misc]  # has no type there
    """uvloop's, extended as the gate does."""

    below: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.below = transport
        super().connection_made(transport)


class Calls(ssl.SSLContext):
    """Notes what is called of it, and of what it makes."""

    below: Any = None
    made: list[ssl.SSLObject]
    seen: list[str]

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        context = self
        assert [type(arg) for arg in args] == [ssl.MemoryBIO] * 2
        assert options["server_side"] is True

        class Noting(ssl.SSLObject):
            def do_handshake(self) -> None:
                context.seen.append("do_handshake")
                assert not context.extended.below.is_closing()
                assert context.extended.below.get_extra_info("socket").fileno() > 0
                super().do_handshake()

            def unwrap(self) -> None:
                context.seen.append("unwrap")
                try:
                    super().unwrap()
                except ssl.SSLWantReadError:
                    context.seen.append("unanswered")

        self.sslobject_class = Noting
        self.made.append(super().wrap_bio(*args, **options))
        return self.made[-1]

    extended: Extended


@asynccontextmanager
async def accepting(authority: Authority) -> AsyncIterator[tuple[str, Calls, Inner]]:
    """A listener whose one connection is made of these."""
    loop = asyncio.get_running_loop()
    context, inner = Calls(ssl.PROTOCOL_TLS_SERVER), Inner()
    context.made, context.seen = [], []
    pair = authority.issue()
    context.load_cert_chain(pair.certificate, pair.key)
    waiter = loop.create_future()
    context.extended = Extended(
        loop,
        inner,
        context,
        waiter,
        server_side=True,
        ssl_handshake_timeout=5.0,
        ssl_shutdown_timeout=5.0,
    )
    server = await loop.create_server(lambda: context.extended, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", context, inner
        assert waiter.done()
        waiter.exception()
    finally:
        server.close()


@holds("``loop.SSLProtocol(loop, protocol, context, waiter, server_side, …)``")
@holds("``SSLProtocol.connection_made(transport)``")
@holds('``get_extra_info("uvloop.sslproto")`` of the TLS transport')
async def test_the_protocol_can_be_extended_and_is_found_again(authority: Authority) -> None:
    async with (
        accepting(authority) as (url, context, inner),
        RawClient(url, tls=authority.client()) as client,
    ):
        await client.send(b"hello")
        assert await client.read_some() == b"HELLO"
        assert len(context.made) == 1
        assert inner.transport.get_extra_info("uvloop.sslproto") is context.extended
        assert inner.transport.get_extra_info("ssl_object") is context.made[0]
        inner.transport.close()
        await inner.lost.wait()


@holds("``do_handshake()`` of what that returns")
async def test_a_handshake_fails_while_the_connection_is_open(authority: Authority) -> None:
    async with accepting(authority) as (url, context, inner):
        async with RawClient(url.replace("https", "http")) as client:
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await client.read_some() == b""
        assert context.seen[-1] == "do_handshake"
        assert not inner.made.is_set()


@holds("``unwrap()`` of what that returns")
async def test_a_close_is_over_as_soon_as_unwrap_says_so(authority: Authority) -> None:
    async with (
        accepting(authority) as (url, context, inner),
        RawClient(url, tls=authority.client(), receive_buffer=4096) as client,
    ):
        await inner.made.wait()
        inner.transport.write(b"x" * 1_000_000)
        inner.transport.close()
        received = await client.read_rest()
        async with asyncio.timeout(5):
            await inner.lost.wait()
        assert len(received) == 1_000_000
        assert client.close_notify
        assert context.seen[-2:] == ["unwrap", "unanswered"]
