"""Handshakes that go wrong on either side: an error for who asked, and nothing that stays."""

import asyncio
import ssl

import pytest

from proxy.config.load import Overrides
from proxy.testing import (
    Connection,
    Cut,
    OnAccept,
    RawClient,
    Reset,
    Send,
    Stall,
    Step,
    Upstream,
    answer,
    serve,
)
from tests.authority import Authority, Pair
from tests.e2e.conftest import chat, read_answer, until

PROVIDER = """
[provider.{name}]
type = "vllm"
url = "{url}/v1"
connect_timeout = "500ms"
tls = {{ {tls} }}
[[route]]
name = "{name}"
models = ["{name}"]
targets = ["{name}"]
"""


async def take_hello(connection: Connection) -> None:
    """Wait for the first bytes of a handshake."""
    await asyncio.sleep(0.05)


SERVER_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + b"\x07" * 20
"""The beginning of one, of which the rest does not come."""

BROKEN: dict[str, list[Step]] = {
    "leaves at once": [Cut()],
    "resets at once": [Reset()],
    "leaves in the midst": [take_hello, Send(SERVER_HELLO), Cut()],
    "resets in the midst": [take_hello, Send(SERVER_HELLO), Reset()],
    "says no": [take_hello, Send(b"\x15\x03\x03\x00\x02\x02\x28"), Cut()],
    "speaks HTTP": [take_hello, Send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")],
    "speaks SSH": [Send(b"SSH-2.0-OpenSSH_9.2\r\n")],
    "sends noise": [take_hello, Send(bytes(range(256)) * 64)],
    "falls silent": [Stall()],
    "falls silent in the midst": [take_hello, Send(SERVER_HELLO), Stall()],
}

NOT_TLS = ("speaks HTTP", "speaks SSH", "sends noise")


@pytest.mark.parametrize("how", BROKEN)
async def test_a_provider_whose_handshake_fails(authority: Authority, how: str) -> None:
    async with Upstream([OnAccept(), *BROKEN[how], Stall()]) as upstream:
        secured = upstream.url.replace("http:", "https:")
        config = PROVIDER.format(name="m", url=secured, tls=f'ca = "{authority.file}"')
        async with serve(config) as url:
            async with asyncio.timeout(10.0), RawClient(url) as client:
                for _ in range(2):
                    await client.send(chat())
                    got = await read_answer(client)
                    # Nothing was sent: nothing can have been heard.
                    assert (got.status, got.error["code"]) == (502, "provider.connect")
                    assert upstream.host in got.error["message"]
                    assert ("speaks no TLS" in got.error["message"]) == (how in NOT_TLS)
            await until(lambda: upstream.open_connections == 0)
            assert upstream.open_connections == 0
            assert [line["error"] for line in url.exchanges] == ["provider.connect"] * 2
        assert upstream.requests == []


async def test_a_provider_that_comes_to_its_senses_is_used_again(authority: Authority) -> None:
    upstream = Upstream(answer(), tls=authority.server())
    async with upstream:
        config = PROVIDER.format(name="m", url=upstream.url, tls=f'ca = "{authority.file}"')
    async with serve(config) as url, RawClient(url) as client:
        await client.send(chat())
        assert (await read_answer(client)).status == 502
        async with upstream:
            await client.send(chat())
            assert (await read_answer(client)).status == 200


async def test_a_connection_is_not_shared_with_who_expects_another_name(
    authority: Authority,
) -> None:
    """CVE-2026-54275: a kept connection was verified for one name, and asked for by another."""
    async with Upstream(answer(), tls=authority.server()) as upstream:
        ca = f'ca = "{authority.file}"'
        config = PROVIDER.format(name="right", url=upstream.url, tls=ca) + PROVIDER.format(
            name="wrong", url=upstream.url, tls=f'{ca}, server_name = "llm.example.com"'
        )
        async with serve(config) as url, RawClient(url) as client:
            for model, status in (("right", 200), ("wrong", 502)) * 2:
                await client.send(chat(model=model))
                got = await read_answer(client)
                assert got.status == status, (model, got.body)
        assert len(upstream.requests) == 2
        assert upstream.connections == 1  # whose handshake came to its end


def hello() -> bytes:
    """What a client's handshake begins with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("said", ["nothing", "a part", "all"])
@pytest.mark.parametrize("leave", ["closes", "resets"])
async def test_a_client_that_leaves_in_its_handshake_leaves_nothing(
    authority: Authority, pair: Pair, said: str, leave: str
) -> None:
    whole = hello()
    raw = {"nothing": b"", "a part": whole[: len(whole) // 2], "all": whole}[said]
    config = (
        f'[server]\nlisten = {{ address = "127.0.0.1:0", tls = {{ {pair.toml} }} }}\n'
        '[provider.mock]\ntype = "mock"\n'
    )
    async with serve(config, overrides=Overrides(admin="127.0.0.1:0")) as url:
        plain = url.replace("https:", "http:")
        for _ in range(20):
            async with RawClient(plain) as client:
                await client.send(raw)
                await asyncio.sleep(0.002)
                if leave == "resets":
                    client.reset()
        await until(lambda: url.app._listening.connections == 0)
        assert url.app._listening.connections == 0
        [server] = url.app._listening.servers
        assert server.connections == 0
        async with RawClient(url, tls=authority.client()) as client:
            await client.send(chat(model="mock", messages=[{"role": "user", "content": "Hi"}]))
            assert (await read_answer(client)).status == 200
        assert len(url.exchanges) == 1
