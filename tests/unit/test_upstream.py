"""A connection to a provider, where its request still waits to leave; the rest is end to end."""

import asyncio
from math import inf
from typing import cast

import pytest

from proxy.errors import ProviderBroke
from proxy.exchange import FinalRequest, Origin, Timeouts
from proxy.outbox import Outbox
from proxy.timers import Sweep
from proxy.upstream import UpstreamConnection

ORIGIN = Origin("http", "provider", 80)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
ASKED = FinalRequest(
    method="POST",
    origin=ORIGIN,
    head=b"POST / HTTP/1.1\r\n",
    body=b"{}",
    length=2,
    timeouts=Timeouts(connect=0, first_byte=0, idle=0, send=0, total=0),
)


class Owner:
    """Keeps nothing."""

    def __init__(self) -> None:
        self.sweep = Sweep()
        self.outbox = Outbox(inf)

    def keep(self, connection: UpstreamConnection) -> None:
        pass

    def forget(self, connection: UpstreamConnection) -> None:
        pass


class Transport:
    """Keeps what was written; nothing of it is unsent."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None


class Asked:
    """A connection on which something was just asked."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.owner = Owner()
        transport = cast(asyncio.Transport, self.transport)
        self.connection = UpstreamConnection(self.owner, ORIGIN, transport, b"")
        self.head = self.connection.ask(ASKED)

    async def turn(self) -> None:
        await asyncio.sleep(0)


async def test_a_request_leaves_when_the_turn_ends() -> None:
    it = Asked()
    assert it.transport.written == []

    await it.turn()
    assert it.transport.written == [b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"]

    it.connection.data_received(ANSWER)
    await it.head
    assert it.connection.heard
    assert it.connection.whole() == b"{}"


async def test_what_comes_before_the_request_has_left_is_not_its_answer() -> None:
    it = Asked()

    it.connection.data_received(ANSWER)

    with pytest.raises(ProviderBroke):
        await it.head
    assert not it.connection.heard
    it.connection.drop()
    await it.turn()
    assert it.transport.written == []


async def test_a_provider_that_closes_before_the_request_has_left_has_not_heard_it() -> None:
    it = Asked()

    it.connection.eof_received()

    with pytest.raises(ProviderBroke):
        await it.head
    assert not it.connection.heard
    it.connection.drop()


async def test_a_provider_that_closes_once_it_has_the_request_may_have_heard_it() -> None:
    it = Asked()
    await it.turn()

    it.connection.eof_received()

    with pytest.raises(ProviderBroke):
        await it.head
    assert it.connection.heard
    it.connection.drop()
