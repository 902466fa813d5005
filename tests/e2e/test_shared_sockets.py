"""Sockets that another process has, too: accepted on for it, and left to it."""

import asyncio
from pathlib import Path

from proxy.app import App
from proxy.config.address import ListenAddress, parse_listen
from proxy.config.load import TEXT, Overrides, load
from proxy.listener import Listener, bind
from proxy.observe.log import Log
from proxy.testing import RawClient, serve
from proxy.testing.serving import _Memory
from tests.e2e.conftest import chat, read_answer, until

MOCK = '[provider.mock]\ntype = "mock"\n'
ASK = chat(model="mock", messages=[{"role": "user", "content": "Hello"}])


async def status(client: RawClient) -> int:
    await client.send(ASK)
    return (await read_answer(client)).status


async def test_a_further_socket_is_accepted_on_until_that_is_ended() -> None:
    further = bind(parse_listen("127.0.0.1:0"), "key").sock
    waits = further.dup()  # as the process has it whose socket this is
    url = f"http://127.0.0.1:{further.getsockname()[1]}"
    async with serve(MOCK) as proxy, RawClient(url, timeout=2.0) as early:
        end = await proxy.app.accept(proxy.app.open[0].address, further)
        assert await status(early) == 200
        end()
        async with RawClient(url, timeout=2.0) as late:
            # The one goes on, the other waits for whoever accepts next.
            assert await status(early) == 200
            await asyncio.sleep(0.1)
            waits.setblocking(False)
            accepted, _ = waits.accept()
            accepted.close()
            assert await late.read_rest() == b""
    waits.close()


async def test_a_further_socket_of_an_address_that_nobody_serves_is_closed() -> None:
    further = bind(parse_listen("127.0.0.1:0"), "key").sock
    async with serve(MOCK) as proxy:
        end = await proxy.app.accept(parse_listen("127.0.0.1:1"), further)
        assert further.fileno() == -1
        end()


async def test_who_hands_over_lets_idle_clients_ask_once_more(tmp_path: Path) -> None:
    """What comes in meanwhile waits for the process that has the socket, too."""
    text = f'{MOCK}[server]\nlisten = "unix:{tmp_path}/s"\nadmin_listen = "unix:{tmp_path}/a"\n'
    loaded = load(None, environ={TEXT: text}, overrides=Overrides())
    app = App(loaded, environ={}, log=Log(_Memory()))
    await app.start()
    data, admin = app.open
    other = data.sock.dup()
    url = f"unix:{tmp_path}/s"
    async with RawClient(url) as asks, RawClient(url) as idles, RawClient(url) as never:
        assert await status(asks) == await status(idles) == 200
        await app.hand_over()
        stopping = asyncio.ensure_future(app.stop(linger=1.0))
        await until(lambda: not app.ready)
        await until(lambda: admin.sock.fileno() == -1)
        await asks.send(ASK)
        answer = await read_answer(asks)
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert await asks.read_rest() == b""
        assert not stopping.done()
        for client in (idles, never):
            assert await client.read_rest() == b""
    await stopping
    async with RawClient(url) as waiting:
        other.setblocking(False)
        accepted, _ = other.accept()
        accepted.close()
        assert await waiting.read_rest() == b""
    assert (tmp_path / "s").is_socket()
    assert (tmp_path / "a").is_socket()
    other.close()


async def test_a_supervised_proxy_leaves_files_and_story_to_its_supervisor(tmp_path: Path) -> None:
    text = f'{MOCK}[server]\nlisten = "unix:{tmp_path}/s"\nadmin_listen = "none"\n'
    loaded = load(None, environ={TEXT: text}, overrides=Overrides())
    writer = _Memory()

    def given(address: ListenAddress, key: str, *, share: bool = False) -> Listener:
        return Listener(address, bind(address, key, share=share).sock, owned=False)

    app = App(loaded, environ={}, log=Log(writer), bind=given, supervised=True, load=lambda: loaded)
    await app.start()
    assert await app.reload() == []
    await app.stop(0.0)

    assert (tmp_path / "s").is_socket()
    assert writer.lines == []
