"""Where the proxy listens, and how that changes while it runs."""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.testing import RawClient, request
from tests.e2e.conftest import read_answer, until
from tests.e2e.process import CHAT, Serving, chat, free_port, get, post, run, serving

MOCK = '[provider.m]\ntype = "mock"\n'

HAND_OVER = """
import os, sys
names, *fds = sys.argv[1].split(",")
for at, fd in enumerate(fds):
    os.dup2(int(fd), 100 + at)
for at in range(len(fds)):
    os.dup2(100 + at, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Hands sockets to a program as systemd does, and becomes it."""


def ordinary(*, stream: bool = False, slow: bool = False) -> bytes:
    """A request for a chat completion."""
    headers = {"x-mock-itl": "20ms"} if slow else {}
    return request("/v1/chat/completions", CHAT | {"stream": stream}, headers=headers)


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


async def test_a_unix_socket_has_the_mode_and_the_owner_that_it_is_given(tmp_path: Path) -> None:
    owner = f"{os.geteuid()}:{os.getegid()}"
    (tmp_path / "c.toml").write_text(
        f'[server]\nlisten = {{ address = "unix:{tmp_path}/d", mode = "0640" }}\n'
        f'admin_listen = {{ address = "unix:{tmp_path}/a", owner = "{owner}", mode = "600" }}'
    )
    async with serving(tmp_path, "-c", "c.toml") as (served, ready):
        assert (mode(tmp_path / "d"), mode(tmp_path / "a")) == (0o640, 0o600)
        assert (await chat(ready["data"][0])).endswith(b"[DONE]\n\n")
        assert await run(tmp_path, "healthcheck", "-c", "c.toml") == (0, "", "")
        assert await served.end() == 0
    assert sorted(os.listdir(tmp_path)) == ["c.toml"]


async def test_what_cannot_be_listened_on_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    async def check(at: int, listen: str, said: str) -> None:
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "file").write_text("precious")
        (folder / "c.toml").write_text(
            f"[server]\nlisten = {listen.replace('HERE', str(folder))}\n"
        )
        status, out, err = await run(folder, "serve", "-c", "c.toml", "--admin", "none")
        assert (status, out) == (2, "")
        assert err.startswith("llm-proxy: c.toml:2: [server.listen]: ")
        assert said in err
        assert err.count("\n") == 1
        assert (folder / "file").read_text() == "precious"
        assert sorted(os.listdir(folder)) == ["c.toml", "file"]

    wrong = (
        ('{ address = "unix:HERE/s", owner = "no-such-user" }', "there is no user"),
        ('"unix:HERE/no/s"', "No such file or directory"),
        ('"unix:HERE/file"', "there is something that is no socket"),
        ('"fd:99"', "descriptor 99 is no open socket"),
        (f'"unix:/{"x" * 120}"', "at most 107 bytes"),
    )
    await asyncio.gather(*(check(at, *each) for at, each in enumerate(wrong)))


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Sockets that are open before the proxy is there: two for clients, one for operators."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield opened
    for one in opened:
        one.close()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sockets_that_are_handed_over_are_served_and_survive_the_process(
    tmp_path: Path, sockets: list[socket.socket], workers: str
) -> None:
    names = "data:admin:data"
    fds = [one.fileno() for one in sockets]
    first, admin, second = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    # A client may come before the process is there.
    early = asyncio.ensure_future(chat(first))
    await asyncio.sleep(0)
    launcher = (sys.executable, "-c", HAND_OVER, ",".join([names, *map(str, fds)]))
    for _ in range(2):
        async with serving(tmp_path, "--workers", workers, launcher=launcher, keep=fds) as (
            served,
            ready,
        ):
            assert (ready["data"], ready["admin"]) == ([first, second], admin)
            assert (await early).endswith(b"[DONE]\n\n")
            assert (await chat(second)).endswith(b"[DONE]\n\n")
            assert await get(admin, "/readyz") == (200, b"ready\n")
            assert await post(admin, "/api/reload") == (200, {"changes": []})
            assert await served.end() == 0
        early = asyncio.ensure_future(chat(second))
        await asyncio.sleep(0.05)
        assert not early.done()
    early.cancel()


class Reloaded:
    """A proxy whose listeners change."""

    def __init__(self, served: Serving, file: Path, admin: str) -> None:
        self._served = served
        self._file = file
        self._admin = admin

    async def listen(self, *listed: str, more: str = "") -> tuple[int, Any]:
        """Have it listen there; what it answers."""
        self._file.write_text(configured(*listed, more=more))
        return await post(self._admin, "/api/reload")


def configured(*listed: str, more: str = "") -> str:
    return f"[server]\nlisten = [{', '.join(listed)}]\n{more}{MOCK}"


@asynccontextmanager
async def reloaded(folder: Path, *listed: str) -> AsyncIterator[tuple[Reloaded, list[str]]]:
    file = folder / "c.toml"
    file.write_text(configured(*listed))
    async with serving(folder, "-c", "c.toml", "--admin", f"unix:{folder}/admin") as (
        served,
        ready,
    ):
        yield Reloaded(served, file, ready["admin"]), ready["data"]
        assert await served.end() == 0


async def test_listeners_come_and_go_and_what_stays_keeps_its_connections(tmp_path: Path) -> None:
    new = f'"unix:{tmp_path}/new"'
    async with reloaded(tmp_path, '"127.0.0.1:0"', '"[::1]:0"') as (proxy, [first, second]):
        async with RawClient(first) as kept, RawClient(second) as idle, RawClient(second) as busy:
            for client in (kept, idle):
                await client.send(ordinary())
                assert (await read_answer(client)).status == 200
            await busy.send(ordinary(stream=True, slow=True))
            await busy.read_until(b"assistant")
            status, answer = await proxy.listen('"127.0.0.1:0"', new)
            assert status == 200
            [change] = answer["changes"]
            assert change["key"] == "server.listen"
            assert change["after"] == ["127.0.0.1:0", f"unix:{tmp_path}/new"]
            # What left takes nobody new, tells the idle ones, and lets the busy ones end.
            with pytest.raises(ConnectionRefusedError):
                await chat(second)
            assert await idle.read_rest() == b""
            assert (await busy.read_rest()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            await kept.send(ordinary())
            assert (await read_answer(kept)).status == 200
        assert (await chat(f"unix:{tmp_path}/new")).endswith(b"[DONE]\n\n")
        assert (await proxy.listen('"127.0.0.1:0"'))[0] == 200
        await until(lambda: not (tmp_path / "new").exists())
        assert not (tmp_path / "new").exists()
        assert (await chat(first)).endswith(b"[DONE]\n\n")


async def test_a_listener_may_grow_over_the_address_that_it_had(tmp_path: Path) -> None:
    port = free_port()
    wide = "[security]\nallow_unauthenticated = true\n"
    url = f"http://127.0.0.1:{port}"
    async with reloaded(tmp_path, f'"127.0.0.1:{port}"') as (proxy, [first]):
        assert first == url
        for listed in (f'"0.0.0.0:{port}"', f'"127.0.0.1:{port}"', f'"127.0.0.1:{port}"'):
            status, answer = await proxy.listen(listed, more=wide)
            assert status == 200, answer
            assert (await chat(url)).endswith(b"[DONE]\n\n")


async def test_a_listener_that_cannot_be_had_leaves_all_as_it_was(tmp_path: Path) -> None:
    here = f'"unix:{tmp_path}/here"'
    secret = f'{{ address = "unix:{tmp_path}/here", mode = "0600" }}'
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = f'"127.0.0.1:{taken.getsockname()[1]}"'
        async with reloaded(tmp_path, here) as (proxy, [url]):
            before = mode(tmp_path / "here")
            assert before != 0o600
            status, answer = await proxy.listen(secret, f'"unix:{tmp_path}/new"', other)
            assert status == 422
            [problem] = answer["problems"]
            assert problem.startswith("c.toml:2: [server.listen]: cannot listen on 127.0.0.1:")
            assert problem.endswith(": Address already in use")
            assert mode(tmp_path / "here") == before
            assert not (tmp_path / "new").exists()
            assert (await chat(url)).endswith(b"[DONE]\n\n")
            # Who may connect changes without the socket.
            status, answer = await proxy.listen(secret)
            assert (status, len(answer["changes"])) == (200, 1)
            assert mode(tmp_path / "here") == 0o600
            assert (await proxy.listen(here))[0] == 200
            assert mode(tmp_path / "here") == before
            assert (await chat(url)).endswith(b"[DONE]\n\n")


async def test_the_admin_listener_moves_while_it_answers(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    where = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "unix:{}"\n' + MOCK
    file.write_text(where.format(tmp_path / "old"))
    async with serving(tmp_path, "-c", "c.toml") as (served, ready):
        file.write_text(where.format(tmp_path / "new"))
        status, answer = await post(ready["admin"], "/api/reload")
        assert (status, answer["changes"][0]["key"]) == (200, "server.admin_listen")
        assert await get(f"unix:{tmp_path}/new", "/readyz") == (200, b"ready\n")
        await until(lambda: not (tmp_path / "old").exists())
        assert not (tmp_path / "old").exists()
        assert await served.end() == 0
