"""How a proxy starts, reloads and ends in the hands of whoever started it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.testing import RawClient, request, serve
from tests.e2e.conftest import read_answer
from tests.e2e.process import (
    ANYWHERE,
    CHAT,
    IN_TIME,
    SLOW,
    Serving,
    chat,
    get,
    post,
    serving,
    start,
)

MOCK = '[provider.mock]\ntype = "mock"\n'


def ordinary(*, stream: bool = False, itl: str = "0s", tokens: int = 8) -> bytes:
    headers = {"x-mock-itl": itl, "x-mock-output-tokens": str(tokens)}
    return request("/v1/chat/completions", CHAT | {"stream": stream}, headers=headers)


class Manager:
    """A service manager that listens to what it is told."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": str(path)}

    async def told(self, *facts: str) -> dict[str, str]:
        """The next message that states all of these, of those that are no sign of life."""
        while True:
            async with asyncio.timeout(10.0):
                data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
            message = dict(line.split("=", 1) for line in data.decode().split("\n"))
            if "WATCHDOG" in message and "WATCHDOG" not in facts:
                continue
            assert set(message) == set(facts), message
            return message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


async def test_a_service_manager_is_told_of_each_change(tmp_path: Path, manager: Manager) -> None:
    file = tmp_path / "c.toml"
    file.write_text(MOCK)
    environ = {**manager.environ, "WATCHDOG_USEC": "200000"}
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE, environ=environ) as (served, ready):
        told = await manager.told("READY", "STATUS")
        assert ready["admin"] in told["STATUS"]
        began = time.monotonic()
        for _ in range(4):
            assert await manager.told("WATCHDOG") == {"WATCHDOG": "1"}
        assert time.monotonic() - began < 10.0
        for text, event in ((MOCK + "seed = 1\n", "reloaded"), ("[server\n", "reload_failed")):
            file.write_text(text)
            before = time.monotonic_ns() // 1000
            served.process.send_signal(signal.SIGHUP)
            told = await manager.told("RELOADING", "MONOTONIC_USEC")
            assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert (await manager.told("READY", "STATUS"))["READY"] == "1"
            await served.line(event)
        served.process.terminate()
        told = await manager.told("STOPPING", "EXTEND_TIMEOUT_USEC")
        assert told == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "32000000"}
        assert await served.end(None) == 0


async def test_sighup_reloads_and_says_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(MOCK)
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        file.write_text(f'{MOCK}output_tokens = 3\n[monitoring.log]\nlevel = "debug"\n')
        served.process.send_signal(signal.SIGHUP)
        line = await served.line("reloaded")
        assert line["changes"] == [
            {"key": "provider.mock.output_tokens", "what": "changed", "before": 16, "after": 3},
            {"key": "monitoring.log.level", "what": "changed", "before": "info", "after": "debug"},
        ]
        await chat(ready["data"][0])
        assert (await served.line("exchange"))["output_tokens"] == 3
        file.unlink()
        served.process.send_signal(signal.SIGHUP)
        assert (await served.line("reload_failed"))["problems"] == ["c.toml: no such file"]
        await chat(ready["data"][0])
        assert await served.end() == 0


async def test_load_balancers_have_time_to_see_that_it_goes(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[server]\ndrain_delay = "1s"\n{MOCK}')
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        async with RawClient(data) as kept, RawClient(data) as idle, RawClient(data) as stream:
            for client in (kept, idle):
                await client.send(ordinary())
                assert "connection" not in (await read_answer(client)).fields
            await stream.send(ordinary(stream=True, itl="40ms"))
            assert b"connection" not in dict((await stream.read_head()).headers)
            await stream.read_until(b"assistant")
            served.process.terminate()
            began = time.monotonic()
            await served.line("stopping")
            assert await get(admin, "/readyz") == (503, b"draining\n")
            # Requests are still taken, on old connections and on new ones, and told to be the last.
            async with RawClient(data) as new:
                for client in (kept, new):
                    await client.send(ordinary())
                    answer = await read_answer(client)
                    assert (answer.status, answer.fields["connection"]) == (200, "close")
                    assert await client.read_rest() == b""
            # What had said nothing goes on: its next response will.
            assert (await stream.read_body()).endswith(b"data: [DONE]\n\n")
            assert stream.clean_end
            assert await idle.read_rest() == b""
            assert await stream.read_rest() == b""
            assert time.monotonic() - began > 0.9
            with pytest.raises(ConnectionRefusedError):
                await chat(data)
        assert await served.end(None) == 0


async def test_a_drain_answers_when_nobody_is_left_or_its_time_is_over(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(MOCK)
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        async with RawClient(data) as stream:
            await stream.send(ordinary(stream=True, itl="50ms", tokens=20))
            await stream.read_head()
            await stream.read_until(b"assistant")
            assert (await post(admin, "/api/drain?timeout=soon"))[0] == 400
            assert await get(admin, "/readyz") == (200, b"ready\n")
            assert await post(admin, "/api/drain?timeout=50ms") == (200, {"running": 1})
            assert await get(admin, "/readyz") == (503, b"draining\n")
            with pytest.raises(ConnectionRefusedError):
                await chat(data)
            status, answer = await post(admin, "/api/reload")
            assert (status, answer["problems"]) == (422, ["the proxy is shutting down"])
            rest, drained = await asyncio.gather(stream.read_body(), post(admin, "/api/drain"))
            assert rest.endswith(b"data: [DONE]\n\n")
            assert drained == (200, {"running": 0})
        assert await served.end() == 0


HANGING = """
[provider.slow]
type = "vllm"
url = "http://127.0.0.1:9/v1"
token = { type = "exec", command = ["sh", "-c", "echo > started; exec sleep 60"], timeout = "60s" }
[[route]]
targets = ["mock", "slow"]
"""


async def started(folder: Path) -> None:
    """Wait until the program of HANGING runs."""
    async with asyncio.timeout(IN_TIME):
        while not (folder / "started").exists():  # noqa: ASYNC110 - by a program
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_start_that_takes_long_ends_when_it_is_told_to(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "c.toml").write_text(MOCK + HANGING)
    process = await start(tmp_path, "serve", "-c", "c.toml", "--workers", workers, *ANYWHERE)
    served = Serving(process)
    try:
        await started(tmp_path)
        assert await served.end() == 0
        assert [line["event"] for line in served.lines] == ["stopped"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_reload_that_takes_long_keeps_nobody_from_stopping(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "c.toml").write_text(MOCK)
    flags = ("-c", "c.toml", "--workers", workers, *ANYWHERE)
    async with serving(tmp_path, *flags) as (served, ready):
        (tmp_path / "c.toml").write_text(MOCK + HANGING)
        reloading = asyncio.ensure_future(post(ready["admin"], "/api/reload"))
        await started(tmp_path)
        served.process.terminate()
        status, body = await reloading
        assert (status, body) == (422, {"problems": ["the proxy is shutting down"]})
        assert await served.end(None) == 0
        assert all(line["event"] != "worker_exited" for line in served.lines)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
@pytest.mark.parametrize("how", ["stays", "closes", "resets"])
async def test_nobody_waits_for_a_client_who_asks_nothing(path: str, how: str) -> None:
    async with serve(MOCK) as proxy, RawClient(proxy) as client:
        for _ in range(2):
            await client.send(ordinary() if "chat" in path else request(path, method="GET"))
            assert (await read_answer(client)).status == 200
        draining = asyncio.ensure_future(proxy.app.drain())
        await asyncio.sleep(0)
        if how == "closes":
            client.close()
        elif how == "resets":
            client.reset()
        async with asyncio.timeout(IN_TIME):
            assert await draining == 0


async def test_a_request_on_its_way_at_the_end_is_answered(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(MOCK)
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data] = ready["data"]
        head, body = ordinary().split(b"\r\n\r\n")
        async with RawClient(data) as at_body, RawClient(data) as at_head, RawClient(data) as fresh:
            await at_body.send(head + b"\r\n\r\n" + body[:10])
            await at_head.send(head[:30])
            await asyncio.sleep(0.1)
            served.process.terminate()
            await served.line("stopping")
            await at_body.send(body[10:])
            await at_head.send(head[30:] + b"\r\n\r\n" + body)
            await fresh.send(ordinary())
            for client in (at_body, at_head, fresh):
                answer = await read_answer(client)
                assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert await served.end(None) == 0


async def test_those_who_wait_to_be_accepted_are_served_before_the_door_closes(
    tmp_path: Path,
) -> None:
    (tmp_path / "c.toml").write_text(MOCK)
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data] = ready["data"]
        served.process.send_signal(signal.SIGSTOP)
        clients = [RawClient(data) for _ in range(20)]
        for client in clients:
            await client.connect()
            await client.send(ordinary())
        served.process.terminate()
        served.process.send_signal(signal.SIGCONT)
        for client in clients:
            assert (await read_answer(client)).status == 200
            client.close()
        assert await served.end(None) == 0


async def test_what_cannot_end_in_time_is_told_so_each_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[server]\ndrain_timeout = "200ms"\n' + SLOW.replace("%s", "30s")
    )
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        [data] = ready["data"]
        async with RawClient(data) as stream, RawClient(data) as whole, RawClient(data) as events:
            await stream.send(ordinary(stream=True, itl="30s"))
            await stream.read_until(b"assistant")
            await whole.send(ordinary(itl="30s"))
            body = {"model": "mock", "input": "Hello", "stream": True}
            await events.send(request("/v1/responses", body, headers={"x-mock-itl": "30s"}))
            await events.read_until(b"response.created")
            served.process.terminate()
            rest = await stream.read_rest()
            assert b'"code":"proxy.draining"' in rest
            assert not rest.endswith(b"0\r\n\r\n")
            answer = await read_answer(whole)
            assert (answer.status, answer.fields["x-llm-proxy-error"]) == (503, "proxy.draining")
            rest = await events.read_rest()
            assert b"event: error\n" in rest
            assert not rest.endswith(b"0\r\n\r\n")
        assert await served.end(None) == 0


async def write_through_symlink(folder: Path, name: str, text: str) -> None:
    """Change a file as Kubernetes changes a mounted ConfigMap: by swapping a symlink."""
    version = folder / f"..{time.monotonic_ns()}"
    version.mkdir()
    (version / name).write_text(text)
    swapped = folder / "..data_tmp"
    swapped.symlink_to(version.name)
    os.rename(swapped, folder / "..data")
    if not (folder / name).is_symlink():
        (folder / name).symlink_to(f"..data/{name}")


async def test_files_are_watched_for_what_they_hold(tmp_path: Path) -> None:
    mounted, more = tmp_path / "mounted", tmp_path / "mounted" / "conf.d"
    more.mkdir(parents=True)
    text = 'include = ["conf.d/*.toml"]\n[server]\nwatch = "100ms"\n' + MOCK
    await write_through_symlink(mounted, "c.toml", text)
    async with serving(tmp_path, "-c", "mounted/c.toml", *ANYWHERE) as (served, _):

        async def reloaded() -> list[str]:
            line = await served.line("reloaded")
            return [change["key"] for change in line["changes"]]

        await write_through_symlink(mounted, "c.toml", text + "output_tokens = 3\n")
        assert await reloaded() == ["provider.mock.output_tokens"]
        os.utime(mounted / "c.toml")  # touched, and the same
        (more / "a.toml").write_text("[global]\nretrees = 1\n")
        problems: Any = (await served.line("reload_failed"))["problems"]
        assert len(problems) == 1
        assert "a.toml:2: [global.retrees]: unknown key" in problems[0]
        await asyncio.sleep(0.5)  # it is said once, however often it is tried
        (more / "a.toml").write_text('[global]\nidle_timeout = "9s"\n')
        assert await reloaded() == ["global.idle_timeout"]
        (more / "a.toml").unlink()
        assert await reloaded() == ["global.idle_timeout"]
        events = [line["event"] for line in served.lines]
        assert events.count("reload_failed") == 1
        assert events.count("reloaded") == 3
        assert await served.end() == 0


async def test_what_lacks_a_file_of_another_is_loaded_once_that_is_there(tmp_path: Path) -> None:
    file, key = tmp_path / "c.toml", tmp_path / "key"
    text = '[server]\nwatch = "50ms"\n[provider.a]\ntype = "vllm"\nurl = "http://127.0.0.1:9/v1"\n'
    file.write_text(text)
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, _):
        file.write_text(f'{text}token = "file:key"\n')
        [problem] = (await served.line("reload_failed"))["problems"]
        assert problem.endswith("key: no such file")
        key.write_text("sk-canary\n")
        assert [c["key"] for c in (await served.line("reloaded"))["changes"]] == [
            "provider.a.token"
        ]
        assert "canary" not in str(served.lines)
        assert await served.end() == 0
