"""Where requests go: several addresses, unix sockets, names."""

import asyncio
import json
import socket
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.selection import Rest
from proxy.testing import (
    END,
    Cut,
    ProxyURL,
    RawClient,
    Stall,
    Upstream,
    answer,
    exchange,
    request,
    serve,
    sse,
    stream_head,
)
from proxy.testing.steps import Script
from tests.e2e.conftest import CHAT, chat, read_answer, until

CONFIG = """
[provider.x]
type = "openai_compatible"
url = {url}
{more}
[[route]]
name = "all"
path = ["/v1/*"]
targets = ["x"]
"""


def config(*upstreams: Upstream, more: str = "") -> str:
    return CONFIG.format(url=json.dumps([f"{one.url}/v1" for one in upstreams]), more=more)


async def ask(url: ProxyURL, raw: bytes = chat()) -> int:
    async with RawClient(url) as client:
        await client.send(raw)
        return (await read_answer(client)).status


async def upstreams(stack: AsyncExitStack, *scripts: Script) -> list[Upstream]:
    return [await stack.enter_async_context(Upstream(script)) for script in scripts]


async def test_the_addresses_of_a_list_have_their_turns() -> None:
    async with AsyncExitStack() as stack:
        three = await upstreams(stack, *[answer()] * 3)
        url = await stack.enter_async_context(serve(config(*three)))
        assert [await ask(url) for _ in range(9)] == [200] * 9
        assert [len(one.requests) for one in three] == [3, 3, 3]


async def test_the_least_busy_serves_while_others_stream() -> None:
    held = [stream_head(), sse("one"), Stall()]
    async with AsyncExitStack() as stack:
        busy = await stack.enter_async_context(Upstream(held, answer()))
        free = await stack.enter_async_context(Upstream(answer()))
        more = 'select = "least_busy"'
        url = await stack.enter_async_context(serve(config(busy, free, more=more)))
        async with RawClient(url) as client:
            await client.send(chat(stream=True))
            await client.read_head()
            for _ in range(5):
                assert await ask(url) == 200
            assert (len(busy.requests), len(free.requests)) == (1, 5)
            client.reset()
        await until(lambda: len(url.exchanges) == 6)
        # A client that left made it idle again, and its turn is the one longest ago.
        assert await ask(url) == 200
        assert (len(busy.requests), len(free.requests)) == (2, 5)


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
async def test_where_an_address_is_down_the_next_one_serves_at_once(path: str) -> None:
    async with AsyncExitStack() as stack:
        down, up = await upstreams(stack, answer(), answer())
        url = await stack.enter_async_context(serve(config(down, up, more='select = "ordered"')))
        await down.__aexit__(None, None, None)
        raw = request(path, {"model": "m", "messages": []})
        assert [await ask(url, raw) for _ in range(4)] == [200] * 4
        first, *rest = url.exchanges
        assert first["attempts"] == 2
        assert [line["attempts"] for line in rest] == [1] * 3, "it rests"
        assert len(up.requests) == 4
        assert {one.body for one in up.requests} == {b'{"model": "m", "messages": []}'}


async def test_an_address_that_is_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.urls.pool.UNREACHED", Rest(0.05, 0.05))
    async with AsyncExitStack() as stack:
        one, two = await upstreams(stack, answer(), answer())
        url = await stack.enter_async_context(serve(config(one, two, more='select = "ordered"')))
        await one.__aexit__(None, None, None)
        assert await ask(url) == 200
        await stack.enter_async_context(one)
        for _ in range(200):
            assert await ask(url) == 200
            if one.requests:
                break
            await asyncio.sleep(0.01)
        assert one.requests
        assert [await ask(url) for _ in range(3)] == [200] * 3
        assert len(one.requests) == 4


async def test_where_all_are_down_that_is_told() -> None:
    async with AsyncExitStack() as stack:
        three = await upstreams(stack, *[answer()] * 3)
        url = await stack.enter_async_context(serve(config(*three)))
        for one in three:
            await one.__aexit__(None, None, None)
        assert [await ask(url) for _ in range(2)] == [502] * 2
        assert {line["error"] for line in url.exchanges} == {"provider.connect"}
        assert [line["attempts"] for line in url.exchanges] == [3, 3]


async def test_one_that_breaks_is_not_asked_twice_and_rests() -> None:
    async with AsyncExitStack() as stack:
        broken, well = await upstreams(stack, [Cut()], answer())
        url = await stack.enter_async_context(
            serve(config(broken, well, more='select = "ordered"'))
        )
        assert [await ask(url) for _ in range(3)] == [502, 200, 200]
        assert (len(broken.requests), len(well.requests)) == (1, 2)


async def test_like_goes_to_like() -> None:
    async with AsyncExitStack() as stack:
        three = await upstreams(stack, *[answer()] * 3)
        more = f"[provider.x.url]\ntype = 'pool'\nurls = {[f'{one.url}/v1' for one in three]}\n"
        more += "select = 'hash'\nhash_by = 'field:user'"
        text = CONFIG.replace("url = {url}\n", "").format(more=more)
        url = await stack.enter_async_context(serve(text))
        users = [f"u-{number}" for number in range(12)]
        for user in users * 2:
            assert await ask(url, chat(user=user)) == 200
        found: dict[str, Counter[int]] = {user: Counter() for user in users}
        for position, one in enumerate(three):
            for received in one.requests:
                found[json.loads(received.body)["user"]][position] += 1
        assert all(len(positions) == 1 for positions in found.values())


# Unix sockets.


async def test_a_provider_may_be_behind_a_unix_socket(tmp_path: Path) -> None:
    stream = [stream_head(), sse("one"), END]
    async with Upstream(answer(), stream, answer(), socket=str(tmp_path / "x")) as upstream:
        async with serve(config(upstream)) as url:
            assert await ask(url) == 200
            received = await exchange(
                url, request(CHAT, {"model": "m", "stream": True}, headers={"connection": "close"})
            )
            assert b"data: one\n\n" in received
            assert await ask(url) == 200
        assert upstream.connections == 1, "it is kept for the next request"
        [first, *_] = upstream.requests
        assert (first.method, first.target) == ("POST", "/v1/chat/completions")
        assert first.header("host") == "localhost"


async def test_a_unix_socket_that_nobody_listens_on_cannot_be_reached(tmp_path: Path) -> None:
    upstream = Upstream(socket=str(tmp_path / "x"))
    async with serve(config(upstream)) as url:
        async with RawClient(url) as client:
            await client.send(chat())
            told = await read_answer(client)
        assert told.status == 502
        assert told.error["message"] == (
            f"cannot connect to unix:{tmp_path}/x: No such file or directory"
        )
        async with upstream:
            assert await ask(url) == 200


async def test_a_client_that_leaves_closes_a_unix_socket_too(tmp_path: Path) -> None:
    upstream = Upstream([Stall()], socket=str(tmp_path / "x"))
    async with upstream, serve(config(upstream)) as url:
        async with RawClient(url) as client:
            await client.send(chat())
            await upstream.received()
            client.reset()
        await upstream.closed()


# Names.


class Names(AbstractResolver):
    """Tells what a test says of every name."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=self.host,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What names stand for."""
    made = Names()
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", lambda **_: made)
    return made


async def two_on_one_port(stack: AsyncExitStack) -> tuple[Upstream, Upstream, str]:
    """Providers at 127.0.0.1 and 127.0.0.2, and the URL that a name stands for one of them in."""
    old, new = Upstream(answer()), Upstream(answer())
    await stack.enter_async_context(old)
    new.host, new.port = "127.0.0.2", old.port
    await stack.enter_async_context(new)
    text = f'[provider.x]\ntype = "openai_compatible"\nurl = "http://name.test:{old.port}/v1"\n'
    return old, new, text


async def test_a_connection_is_not_kept_for_ever_and_its_name_is_asked_for_again(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.transport.DNS_SECONDS", 0.01)
    async with AsyncExitStack() as stack:
        old, new, text = await two_on_one_port(stack)
        text += '[global]\nmax_connection_age = "100ms"\n'
        url = await stack.enter_async_context(serve(text))
        assert await ask(url) == 200
        assert await ask(url) == 200
        assert old.connections == 1, "it is kept for a while"
        names.host = new.host
        for _ in range(300):
            assert await ask(url) == 200
            if new.requests:
                break
            await asyncio.sleep(0.01)
        assert new.requests
        assert old.connections <= 2
        await until(lambda: not old.open_connections)
        assert not old.open_connections


async def test_a_kept_connection_stays_where_it_is_until_it_is_old(names: Names) -> None:
    async with AsyncExitStack() as stack:
        old, new, text = await two_on_one_port(stack)
        url = await stack.enter_async_context(serve(text))
        assert await ask(url) == 200
        names.host = new.host
        assert [await ask(url) for _ in range(3)] == [200] * 3
        assert (old.connections, new.connections, names.asked) == (1, 0, 1)


async def test_a_name_whose_address_is_down_is_asked_for_again_at_once(names: Names) -> None:
    async with AsyncExitStack() as stack:
        old, new, text = await two_on_one_port(stack)
        await old.__aexit__(None, None, None)
        url = await stack.enter_async_context(serve(text))
        assert await ask(url) == 502
        names.host = new.host
        assert await ask(url) == 200
