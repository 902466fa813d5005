"""A process takes the place of another: nobody is refused, and nothing that runs is cut.

LLM_PROXY_LONG=1 runs the form whose figures docs/performance.md quotes.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from pathlib import Path

import pytest

from proxy import takeover
from proxy.config.address import ListenAddress, parse_listen
from proxy.errors import ConfigError
from proxy.listener import bind
from proxy.takeover import Handover, Takeover
from proxy.testing import RawClient, request
from tests.authority import Authority, Pair
from tests.e2e.conftest import read_answer, until
from tests.e2e.load import Load, provider
from tests.e2e.process import CHAT, Serving, free_port, get, post, run, serving, start

pytestmark = pytest.mark.skipif(not takeover.available(), reason="Linux alone has such sockets")

LONG = os.environ.get("LLM_PROXY_LONG") == "1"
STREAMS, RATE = (200, 200) if LONG else (20, 50)
ITL = "100ms" if LONG else "20ms"
ASK = request("/v1/chat/completions", CHAT)

CONFIG = """
[server]
listen = [{{ address = "127.0.0.1:{port}"{tls} }}, "unix:{folder}/s"]
admin_listen = "127.0.0.1:{admin}"
[provider.fake]
"""
ELSEWHERE = """
type = "openai_compatible"
url = "{url}"
forward_headers = ["x-mock-*"]
"""
INSIDE = 'type = "mock"\n'


class Scene:
    """Where a proxy listens, whoever is it just now."""

    def __init__(self, folder: Path, pair: Pair | None = None) -> None:
        """With a certificate the TCP address is one for HTTPS."""
        self._port, self._admin = free_port(), free_port()
        self._folder = folder
        self._tls = "" if pair is None else f", tls = {{ {pair.toml} }}"
        self.tcp = f"{'http' if pair is None else 'https'}://127.0.0.1:{self._port}"
        self.unix = f"unix:{folder}/s"
        self.admin = f"http://127.0.0.1:{self._admin}"
        self.flags = ("-c", "c.toml")

    def configure(self, url: str | None = None) -> "Scene":
        """Write it all down; without a URL the provider is inside."""
        text = CONFIG.format(port=self._port, folder=self._folder, admin=self._admin, tls=self._tls)
        text += INSIDE if url is None else ELSEWHERE.format(url=url)
        (self._folder / "c.toml").write_text(text)
        return self


async def reachable(scene: Scene, tls: ssl.SSLContext | None = None) -> None:
    """Check that clients and operators are answered."""
    async with RawClient(scene.tcp, tls=tls) as client:
        await client.send(request("/v1/models", method="GET"))
        assert (await client.read_head("GET")).status == 200
    assert (await get(scene.unix, "/v1/models"))[0] == 200
    assert await get(scene.admin, "/readyz") == (200, b"ready\n")


@pytest.mark.parametrize("by", ["HTTP", "HTTPS"])
@pytest.mark.timeout(180)
async def test_under_load_nothing_is_lost(
    tmp_path: Path, by: str, authority: Authority, pair: Pair
) -> None:
    workers = (1, 1, 2, 3, 1) if LONG else (1, 2, 1)
    tls = authority.client() if by == "HTTPS" else None
    async with provider(tmp_path) as url, contextlib.AsyncExitStack() as stack:
        scene = Scene(tmp_path, pair if tls else None).configure(url)
        loads = [
            Load(scene.tcp, streams=STREAMS, rate=RATE, itl=ITL, tls=tls),
            Load(scene.unix, streams=STREAMS // 4, rate=RATE // 4, itl=ITL),
        ]
        before = None
        for number in workers:
            flags = (*scene.flags, "--workers", str(number), *(["--takeover"] if before else []))
            served, _ = await stack.enter_async_context(serving(tmp_path, *flags))
            if before is None:
                for load in loads:
                    load.begin()
                await until(lambda: all(load.open for load in loads))
            else:
                line = await served.line("took_over")
                assert line["process"] == before.process.pid
                line = await before.line("handed_over")
                assert line["process"] == served.process.pid
                assert await before.end(None) == 0
            await reachable(scene, tls)
            await asyncio.sleep(1.0 if LONG else 0.2)
            before = served
        for load in loads:
            await load.end()
            assert load.failures == []
            assert load.streams > STREAMS // 4
            if LONG:
                done = f"{load.requests} requests, {load.streams} streams"
                print(f"\n{by}, {workers}: {done}, no failure")
        assert before is not None
        assert (tmp_path / "s").is_socket()
        assert await before.end() == 0
        assert not (tmp_path / "s").exists()


async def test_the_old_one_lives_as_long_as_its_last_stream(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with provider(tmp_path) as url:
        scene.configure(url)
        async with (
            serving(tmp_path, *scene.flags) as (old, _),
            RawClient(scene.tcp) as stream,
            RawClient(scene.unix) as idle,
        ):
            await idle.send(ASK)
            assert (await read_answer(idle)).status == 200
            headers = {"x-mock-itl": "100ms", "x-mock-output-tokens": "30"}
            raw = request("/v1/chat/completions", CHAT | {"stream": True}, headers=headers)
            await stream.send(raw)
            await stream.read_head()
            await stream.read_until(b"assistant")
            async with serving(tmp_path, *scene.flags, "--takeover") as (new, _):
                await old.line("handed_over")
                await reachable(scene)
                # Whoever was about to ask is answered, and told to come again elsewhere.
                await idle.send(ASK)
                answer = await read_answer(idle)
                assert (answer.status, answer.fields["connection"]) == (200, "close")
                body = await stream.read_body()
                assert body.count(b'"content":"') >= 30
                assert stream.clean_end
                assert await old.end(None) == 0
                assert await new.end() == 0


async def test_a_new_one_that_fails_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path).configure()
    async with serving(tmp_path, *scene.flags) as (old, _):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            listen = ("--listen", scene.unix, "--listen", address)
            for more in ((), ("--workers", "2")):
                status, _, err = await run(
                    tmp_path, "serve", *scene.flags, *listen, *more, "--takeover"
                )
                assert status == 2
                assert f"cannot listen on {address}" in err
        await reachable(scene)
        assert old.process.returncode is None
        async with serving(tmp_path, *scene.flags, "--takeover") as (new, _):
            assert await old.end(None) == 0
            await reachable(scene)
            assert await new.end() == 0


SLOW = """
[provider.slow]
type = "vllm"
url = "http://127.0.0.1:9/v1"
token = { type = "exec", command = ["sh", "-c", "echo > started; exec sleep 60"], timeout = "60s" }
[[route]]
targets = ["fake", "slow"]
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_new_one_that_takes_long_lets_nobody_wait(tmp_path: Path, workers: str) -> None:
    scene = Scene(tmp_path).configure()
    async with serving(tmp_path, *scene.flags) as (old, _):
        with (tmp_path / "c.toml").open("a") as file:
            file.write(SLOW)
        flags = ("serve", *scene.flags, "--workers", workers, "--takeover")
        new = Serving(await start(tmp_path, *flags))
        try:
            await until((tmp_path / "started").exists)
            for _ in range(20):
                await reachable(scene)
            assert await new.end() == 0
        finally:
            if new.process.returncode is None:
                new.process.kill()
                await new.process.communicate()
        for _ in range(20):
            await reachable(scene)
        assert await old.end() == 0


async def test_where_nobody_is_a_proxy_starts_as_ever(tmp_path: Path) -> None:
    scene = Scene(tmp_path).configure()
    async with serving(tmp_path, *scene.flags, "--takeover") as (served, _):
        await reachable(scene)
        assert await served.end() == 0
        assert "took_over" not in {line["event"] for line in served.lines}


async def test_listeners_may_differ(tmp_path: Path) -> None:
    """What both have is handed over; the rest is opened, and closed with the old one."""
    one, two = Scene(tmp_path).configure(), Scene(tmp_path)
    async with serving(tmp_path, *one.flags) as (old, _):
        two.configure()
        async with serving(tmp_path, *two.flags, "--takeover") as (new, _):
            assert await old.end(None) == 0
            await reachable(two)
            with pytest.raises(ConnectionRefusedError):
                await get(one.tcp, "/v1/models")
            assert await new.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_listener_of_a_reload_can_be_taken(tmp_path: Path, workers: str) -> None:
    one, two = Scene(tmp_path).configure(), Scene(tmp_path)
    async with serving(tmp_path, *one.flags, "--workers", workers) as (old, _):
        two.configure()
        assert (await post(one.admin, "/api/reload"))[0] == 200
        flags = ("--listen", two.tcp.removeprefix("http://"), "--admin", "none")
        async with serving(tmp_path, *two.flags, *flags, "--takeover") as (new, _):
            assert await old.end(None) == 0
            assert (await get(two.tcp, "/v1/models"))[0] == 200
            assert await new.end() == 0


async def test_the_service_manager_is_told_who_is_the_main_process(tmp_path: Path) -> None:
    scene = Scene(tmp_path).configure()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with (
            serving(tmp_path, *scene.flags, environ=environ) as (old, _),
            serving(tmp_path, *scene.flags, "--takeover", environ=environ) as (new, _),
        ):
            assert await old.end(None) == 0
            told = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    told.append(manager.recv(4096).decode())
            assert f"MAINPID={new.process.pid}" in told
            # The service goes on: nobody says that it stops.
            assert not any(message.startswith("STOPPING") for message in told)
            assert await new.end() == 0


# In one process, what two cannot show.


class Side:
    """An old process that has one socket."""

    def __init__(self) -> None:
        self.listener = bind(parse_listen("127.0.0.1:0"), "key")
        self.taken: list[int] = []
        self.handover = Handover(lambda: [(self.listener, [self.listener.sock])], self.taken.append)
        self.handover.wait()

    def close(self) -> None:
        self.handover.close()
        self.listener.close()


async def take(*addresses: ListenAddress) -> Takeover | None:
    """As a new process does it, which waits."""
    return await asyncio.to_thread(Takeover.take, addresses)


async def test_what_was_asked_for_and_not_used_is_closed() -> None:
    side = Side()
    address = side.listener.bound
    before = await take(ListenAddress("127.0.0.1", 1), address)
    assert before is not None
    assert before.process == os.getpid()
    before.close()
    assert side.taken == []
    before = await take(address)
    assert before is not None
    mine = before.bind(address, "key").sock
    assert mine.getsockname() == side.listener.sock.getsockname()
    assert await before.done()
    assert side.taken == [os.getpid()]
    # Nobody waits there any more, until somebody does again.
    assert await take(address) is None
    side.handover.wait()
    again = await take(address)
    assert again is not None
    again.close()
    mine.close()
    side.close()


async def test_another_user_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Side()
    monkeypatch.setattr(takeover, "peer_of", lambda sock: (1, os.geteuid() + 1))
    with pytest.raises(ConfigError, match="belongs to another user"):
        await take(side.listener.bound)
    # And the other way round: who asks is not one of ours, and hears nothing.
    name = takeover._name(side.listener.bound)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stranger, name)
        async with asyncio.timeout(5.0):
            assert await loop.sock_recv(stranger, 100) == b""
    side.close()


async def test_an_old_one_that_says_nothing_is_not_waited_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(takeover, "WAIT_SECONDS", 0.1)
    address = ListenAddress("127.0.0.1", 1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(takeover._name(address))
        silent.listen()
        with pytest.raises(ConfigError, match="no answer in time"):
            await take(address)
