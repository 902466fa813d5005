"""Several processes that are one proxy: to clients, to operators, and when one of them fails."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin import METRICS_SECONDS
from proxy.supervisor.roster import BEAT_SECONDS
from proxy.testing import END, RawClient, Script, Stall, Upstream, answer, request, sse, stream_head
from tests.authority import Authority, Pair
from tests.e2e.conftest import read_answer
from tests.e2e.process import (
    ANYWHERE,
    CHAT,
    IN_TIME,
    ROOT,
    Serving,
    free_port,
    get,
    post,
    run,
    serving,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc")

TWO = ("--workers", "2", *ANYWHERE)
ASK = request("/v1/chat/completions", CHAT)

TRAPS = '''
"""Processors that fail in the ways of a process."""

import os
import time

from proxy.errors import ConfigError
from proxy.processor import Processor


class Trap(Processor):
    """Does what its name says."""

    does: str

    def __post_init__(self):
        if self.does == "blunder":
            raise KeyError("nobody thought of that")

    async def open(self):
        if self.does == "refuse":
            raise ConfigError(["c.toml: [processor.trap]: cannot be opened"])
        if self.does == "exit":
            os._exit(7)

    async def on_request(self, exchange, request, dialect):
        if exchange.request.headers.get("x-trap"):
            time.sleep(3600)  # stall_here
'''


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, which has to come."""
    async with asyncio.timeout(IN_TIME):
        while not condition():  # noqa: ASYNC110 - of any kind
            await asyncio.sleep(0.02)


def children(pid: int) -> list[int]:
    """The workers of a supervisor, in the order of their starts."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sorted(map(int, listed.split()))


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    count = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(entry.path).startswith("socket:")
    return count


def counted(metrics: bytes) -> dict[str, float]:
    """The sums over labels of what a scrape said, by the samples' names."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.decode()):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def scrape(admin: str, *, fresh: bool = False) -> dict[str, float]:
    """What is counted now; a rendering is good for a second, unless it is the first."""
    if not fresh:
        await asyncio.sleep(METRICS_SECONDS)
    status, text = await get(admin, "/metrics")
    assert status == 200
    return counted(text)


async def ask(url: str, raw: bytes = ASK) -> dict[str, str]:
    """The header of a good answer, on a connection of its own."""
    async with RawClient(url) as client:
        await client.send(raw)
        got = await read_answer(client)
        assert (got.status, got.whole) == (200, True)
        return got.fields


@contextlib.asynccontextmanager
async def connected_soon(url: str, number: int) -> Any:
    """Clients that have asked; what is yielded waits for all their answers."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(url)) for _ in range(number)]
        for client in clients:
            await client.send(ASK)

        async def answered() -> None:
            for client in clients:
                assert (await read_answer(client)).status == 200

        yield answered


@contextlib.asynccontextmanager
async def connected(url: str, number: int) -> Any:
    """So many clients that are connected, and were answered."""
    async with connected_soon(url, number) as answered:
        await answered()
        yield


async def on_each_worker(served: Serving, url: str, stack: contextlib.AsyncExitStack) -> list[Any]:
    """A client of each of two workers: some connections, of which two are kept."""
    first, second = children(served.process.pid)
    before = sockets(first), sockets(second)
    found: dict[int, RawClient] = {}
    while len(found) < 2:
        client = await stack.enter_async_context(RawClient(url))
        await client.send(ASK)
        assert (await read_answer(client)).status == 200
        now = sockets(first), sockets(second)
        [worker] = [n for n in (0, 1) if now[n] > before[n]]
        before = now
        found.setdefault(worker, client)
    return [found[0], found[1]]


async def test_connections_are_shared_out_and_operators_see_one_proxy(tmp_path: Path) -> None:
    async with serving(tmp_path, *TWO) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        assert ready["workers"] == 2
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", data)
        workers = children(served.process.pid)
        assert len(workers) == 2
        before = [sockets(pid) for pid in workers]
        alone = await scrape(admin, fresh=True)
        async with connected(data, 200):
            # Each has its connections, and one to the mock provider for each that it asked.
            share = [sockets(pid) - had for pid, had in zip(workers, before, strict=True)]
            assert all(0.35 * sum(share) <= part <= 0.65 * sum(share) for part in share), share
            now = await scrape(admin)
        assert now["llm_proxy_requests_total"] - alone.get("llm_proxy_requests_total", 0) == 200
        assert now["gen_ai_server_request_duration_seconds_count"] == 200
        assert now["process_open_fds"] >= alone["process_open_fds"] + 200
        assert now["process_cpu_seconds_total"] > alone["process_cpu_seconds_total"]
        assert now["llm_proxy_build_info"] == 1
        assert now["llm_proxy_workers"] == 2
        for path in ("/livez", "/readyz", "/healthz"):
            assert (await get(admin, path))[0] == 200
        status, explained = await explain(admin)
        assert (status, explained["path"]) == (200, "/v1/chat/completions")
        assert await served.end() == 0
        exchanges = [line for line in served.lines if line["event"] == "exchange"]
        assert len(exchanges) == 200
        tokens = sum(line["input_tokens"] + line["output_tokens"] for line in exchanges)
        assert now["llm_proxy_tokens_total"] == tokens
        events = {line["event"] for line in served.lines} - {"exchange"}
        assert events == {"ready", "stopping", "stopped"}


async def explain(admin: str) -> tuple[int, Any]:
    async with RawClient(admin) as client:
        await client.send(request("/api/explain", CHAT))
        got = await read_answer(client)
        return got.status, json.loads(got.body)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_worker_that_dies_is_followed_and_nobody_else_notices(
    tmp_path: Path, how: signal.Signals
) -> None:
    async with serving(tmp_path, *TWO) as (served, ready), contextlib.AsyncExitStack() as stack:
        [data], admin = ready["data"], ready["admin"]
        first, second = children(served.process.pid)
        mine, other = await on_each_worker(served, data, stack)
        before = await scrape(admin, fresh=True)
        os.kill(first, how)
        assert await mine.read_rest() == b""
        # What comes in for the dead is answered, too, and by whoever follows later.
        for _ in range(20):
            await ask(data)
        line = await served.line("worker_exited")
        assert (line["worker"], line["pid"], line["status"]) == (1, first, -how)
        assert how.name in line["message"]
        assert ("traceback" in line) is (how is signal.SIGSEGV)
        await until(lambda: len(children(served.process.pid)) == 2)
        assert second in children(served.process.pid)
        assert first not in children(served.process.pid)
        await other.send(ASK)
        assert (await read_answer(other)).status == 200
        assert (await get(admin, "/readyz"))[0] == 200
        after = await scrape(admin)
        grown = {name for name in before if name.endswith(("_total", "_count", "_bucket"))}
        assert {name: after[name] for name in grown if after[name] < before[name]} == {}
        requests = "llm_proxy_requests_total"
        assert after[requests] == before[requests] + 21
        assert after["llm_proxy_worker_exits_total"] == 1
        await until(lambda: len(children(served.process.pid)) == 2)
        for _ in range(20):
            await ask(data)
        assert await served.end() == 0


def trap(tmp_path: Path, does: str, more: str = "") -> dict[str, str]:
    """The environment in which a processor of this kind can be used; c.toml uses it."""
    (tmp_path / "traps.py").write_text(TRAPS)
    (tmp_path / "traps-1.dist-info").mkdir()
    (tmp_path / "traps-1.dist-info" / "METADATA").write_text("Name: traps\nVersion: 1\n")
    (tmp_path / "traps-1.dist-info" / "entry_points.txt").write_text(
        "[llm_proxy.processors]\ntrap = traps:Trap\n"
    )
    (tmp_path / "c.toml").write_text(
        f"{more}\n"
        '[provider.mock]\ntype = "mock"\n'
        f'[processor.trap]\ntype = "trap"\ndoes = "{does}"\n'
        '[[route]]\nprocessors = ["trap"]\ntargets = ["mock"]\n'
    )
    return {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}


async def test_a_worker_that_stalls_says_where_and_is_replaced(tmp_path: Path) -> None:
    environ = trap(tmp_path, "stall", '[server]\nstall_timeout = "1s"\n')
    async with serving(tmp_path, "-c", "c.toml", *TWO, environ=environ) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        async with RawClient(data) as client:
            await client.send(request("/v1/chat/completions", CHAT, headers={"x-trap": "1"}))
            line = await served.line("worker_stalled")
            stalled = line["pid"]
            for _ in range(10):
                await ask(data)
            line = await served.line("worker_exited")
            assert (line["pid"], line["status"]) == (stalled, -signal.SIGABRT)
            assert "traps.py" in line["traceback"]
            assert "on_request" in line["traceback"]
            assert await client.read_rest() == b""
        await until(lambda: len(children(served.process.pid)) == 2)
        assert (await scrape(admin, fresh=True))["llm_proxy_worker_exits_total"] == 1
        assert await served.end() == 0


async def test_a_worker_that_cannot_even_die_is_killed(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[server]\nstall_timeout = "1s"\n')
    async with serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready):
        [data] = ready["data"]
        first, _ = children(served.process.pid)
        os.kill(first, signal.SIGSTOP)
        assert (await served.line("worker_stalled"))["pid"] == first
        assert (await get(ready["admin"], "/metrics"))[0] == 200
        line = await served.line("worker_exited")
        assert (line["pid"], line["status"]) == (first, -signal.SIGKILL)
        await until(lambda: len(children(served.process.pid)) == 2)
        for _ in range(20):
            await ask(data)
        assert await served.end() == 0


async def test_a_worker_that_stops_for_a_moment_keeps_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path, *TWO) as (served, ready):
        [data] = ready["data"]
        first, second = children(served.process.pid)
        os.kill(first, signal.SIGSTOP)
        async with connected_soon(data, 20) as answered:
            await asyncio.sleep(0.5)
            os.kill(first, signal.SIGCONT)
            await answered()
        assert children(served.process.pid) == [first, second]
        assert await served.end() == 0


async def test_what_cannot_start_is_told_once(tmp_path: Path) -> None:
    environ = trap(tmp_path, "refuse")
    status, out, err = await run(tmp_path, "serve", "-c", "c.toml", *TWO, environ=environ)
    assert (status, out, err) == (2, "", "llm-proxy: c.toml: [processor.trap]: cannot be opened\n")


async def test_workers_that_die_at_the_start_end_the_whole(tmp_path: Path) -> None:
    environ = trap(tmp_path, "exit")
    status, out, err = await run(tmp_path, "serve", "-c", "c.toml", *TWO, environ=environ)
    assert (status, out) == (7, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines
    assert {(line["event"], line["status"]) for line in lines} <= {
        ("worker_exited", 7),
        ("worker_exited", -signal.SIGKILL),
    }


async def test_who_dies_again_and_again_is_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, *TWO) as (served, ready):
        [data] = ready["data"]
        _, second = children(served.process.pid)
        waits = []
        for _ in range(4):
            await until(lambda: len(children(served.process.pid)) == 2)
            [victim] = set(children(served.process.pid)) - {second}
            os.kill(victim, signal.SIGKILL)
            line = await served.line("worker_exited")
            waits.append(float(re.findall(r"another starts in ([\d.]+) s", line["message"])[0]))
            await ask(data)
        assert waits == [0.1, 0.2, 0.4, 0.8]
        assert await served.end() == 0


ROUTE = """
[server]
{server}
[provider.mock]
type = "mock"
[[route]]
name = "{name}"
targets = ["mock"]
"""


async def names(clients: list[RawClient]) -> set[str]:
    """The routes that each of these clients is answered by."""
    found = set()
    for client in clients:
        await client.send(ASK)
        found.add((await read_answer(client)).fields["x-llm-proxy-route"])
    return found


@pytest.mark.parametrize("asked", ["signal", "request"])
async def test_a_reload_reaches_all(tmp_path: Path, asked: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(ROUTE.format(server="", name="before"))
    async with (
        serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready),
        contextlib.AsyncExitStack() as stack,
    ):
        [data], admin = ready["data"], ready["admin"]
        clients = await on_each_worker(served, data, stack)
        assert await names(clients) == {"before"}
        path.write_text(ROUTE.format(server="", name="after"))
        if asked == "signal":
            served.process.send_signal(signal.SIGHUP)
        else:
            status, body = await post(admin, "/api/reload")
            assert (status, [change["key"] for change in body["changes"]]) == (
                200,
                ["route.before", "route.after"],
            )
        await served.line("reloaded")
        assert await names(clients) == {"after"}
        os.kill(children(served.process.pid)[0], signal.SIGKILL)
        await served.line("worker_exited")
        for _ in range(20):
            assert (await ask(data))["x-llm-proxy-route"] == "after"
        path.write_text(ROUTE.format(server="head_timeout = 5", name="never"))
        status, body = await post(admin, "/api/reload")
        assert status == 422
        assert "c.toml:3: [server.head_timeout]" in body["problems"][0]
        await served.line("reload_failed")
        assert await names(clients[1:]) == {"after"}
        counts = await scrape(admin, fresh=True)
        assert counts["llm_proxy_reloads_total"] == 2
        assert (await get(admin, "/readyz"))[0] == 200
        assert await served.end() == 0


@pytest.mark.parametrize("flags", [ANYWHERE, TWO], ids=["one", "two"])
async def test_the_bug_of_a_component_does_not_end_reloads(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    environ, path = trap(tmp_path, "nothing"), tmp_path / "c.toml"
    good = path.read_text()
    async with serving(tmp_path, "-c", "c.toml", *flags, environ=environ) as (served, ready):
        path.write_text(good.replace("nothing", "blunder"))
        status, body = await post(ready["admin"], "/api/reload")
        problems = ["a component failed: KeyError (the log says why)"]
        assert (status, body) == (422, {"problems": problems})
        assert "nobody thought of that" in (await served.line("log"))["message"]
        assert (await served.line("reload_failed"))["problems"] == problems
        served.process.send_signal(signal.SIGHUP)
        assert (await served.line("reload_failed"))["problems"] == problems
        path.write_text(good.replace("nothing", "little"))
        served.process.send_signal(signal.SIGHUP)
        assert len((await served.line("reloaded"))["changes"]) == 1
        assert await served.end() == 0


async def test_a_reload_moves_listeners(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    one, two, three, four = (tmp_path / name for name in ("one", "two", "three", "four"))
    listen = 'listen = ["unix:{}", "127.0.0.1:{}"]\nadmin_listen = "unix:{}"'
    port = free_port()
    path.write_text(ROUTE.format(server=listen.format(one, 0, two), name="a"))
    async with serving(tmp_path, "-c", "c.toml", "--workers", "2") as (served, ready):
        old = ready["data"][1]
        await ask(f"unix:{one}")
        async with RawClient(old) as before:
            await before.send(ASK)
            assert (await read_answer(before)).status == 200
            path.write_text(ROUTE.format(server=listen.format(three, port, four), name="a"))
            assert (await post(f"unix:{two}", "/api/reload"))[0] == 200
            with contextlib.suppress(ConnectionResetError):
                assert await before.read_rest() == b""
        async with connected(f"http://127.0.0.1:{port}", 20):
            await ask(f"unix:{three}")
        with pytest.raises(ConnectionRefusedError):
            await ask(old)
        assert not one.exists()
        assert not two.exists()
        assert (await get(f"unix:{four}", "/readyz"))[0] == 200
        os.kill(children(served.process.pid)[0], signal.SIGKILL)
        await served.line("worker_exited")
        for _ in range(20):
            await ask(f"http://127.0.0.1:{port}")
        assert await served.end() == 0
        assert not three.exists()
        assert not four.exists()


FAKE = """
[provider.fake]
type = "openai_compatible"
url = "{url}/v1"
"""


@pytest.mark.parametrize("how", ["signal", "supervisor lost"])
async def test_open_streams_end_before_the_workers_do(tmp_path: Path, how: str) -> None:
    go_on = asyncio.Event()

    async def wait(connection: object) -> None:
        await go_on.wait()

    script: Script = [stream_head(), sse("first"), wait, sse("last"), END]
    async with Upstream(script) as upstream:
        (tmp_path / "c.toml").write_text(FAKE.format(url=upstream.url))
        async with (
            serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready),
            connected_streams(ready["data"][0], 20) as streams,
        ):
            workers = children(served.process.pid)
            if how == "signal":
                await asyncio.sleep(BEAT_SECONDS)  # so often a worker says how much runs
                served.process.terminate()
                assert (await served.line("stopping"))["running"] == 20
                assert (await get(ready["admin"], "/readyz"))[0] == 503
                assert (await get(ready["admin"], "/livez"))[0] == 200
            else:
                served.process.kill()
            await until(lambda: refused(ready["data"][0]))
            go_on.set()
            for stream in streams:
                assert (await stream.read_body()).endswith(b"last\n\n")
                assert stream.clean_end
            if how == "signal":
                assert await served.end(None) == 0
            await until(lambda: not any(Path(f"/proc/{pid}/fd").is_dir() for pid in workers))


def refused(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
        socket.create_connection((host, int(port)), 1.0).close()
        return False
    return True


@contextlib.asynccontextmanager
async def connected_streams(url: str, number: int) -> Any:
    """Clients that each have the first event of a stream."""
    raw = request("/v1/chat/completions", CHAT | {"stream": True})
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(url)) for _ in range(number)]
        for client in clients:
            await client.send(raw)
        for client in clients:
            assert (await client.read_head()).status == 200
            await client.read_until(b"first")
        yield clients


async def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    async with Upstream([stream_head(), sse("first"), Stall()]) as upstream:
        (tmp_path / "c.toml").write_text(FAKE.format(url=upstream.url))
        async with (
            serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready),
            connected_streams(ready["data"][0], 10) as streams,
        ):
            served.process.send_signal(signal.SIGINT)
            await served.line("stopping")
            served.process.send_signal(signal.SIGINT)
            for stream in streams:
                assert b'"code":"proxy.draining"' in await stream.read_body()
                assert not stream.clean_end
            assert await served.end(None) == 0


async def test_operators_drain_all(tmp_path: Path) -> None:
    async with Upstream([stream_head(), sse("first"), Stall()]) as upstream:
        (tmp_path / "c.toml").write_text(FAKE.format(url=upstream.url))
        async with (
            serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready),
            connected_streams(ready["data"][0], 10),
        ):
            admin = ready["admin"]
            assert await post(admin, "/api/drain?timeout=100ms") == (200, {"running": 10})
            assert (await get(admin, "/readyz"))[0] == 503
            assert refused(ready["data"][0])
            assert await post(admin, "/api/drain?timeout=0s") == (200, {"running": 10})
            served.process.terminate()
            await served.line("stopping")
            assert await served.end() == 0


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """Also where another proxy shares it out between its own workers."""
    async with serving(tmp_path, *TWO) as (served, ready):
        address = ready["data"][0].removeprefix("http://")
        flags = ("--workers", "2", "--listen", address, "--admin", "none")
        assert await run(tmp_path, "serve", *flags) == (
            2,
            "",
            f"llm-proxy: --listen: [server.listen]: cannot listen on {address}: "
            "Address already in use\n",
        )
        assert await served.end() == 0


async def test_lines_of_all_come_whole(tmp_path: Path) -> None:
    """Long ones, from two processes, into one pipe that is mostly full."""
    path = "/v1/" + "x" * 180
    async with Upstream([answer()]) as upstream:
        (tmp_path / "c.toml").write_text(FAKE.format(url=upstream.url))
        async with serving(tmp_path, "-c", "c.toml", *TWO) as (served, ready):
            reading = asyncio.ensure_future(served.line("stopped"))
            async with connected_to(ready["data"][0], 20) as clients:
                for _ in range(20):
                    for client in clients:
                        await client.send(request(path))
                    for client in clients:
                        assert (await read_answer(client)).status == 404
            served.process.terminate()
            await reading
        lines = [line for line in served.lines if line["event"] == "exchange"]
        assert len(lines) == 400
        assert {line["path"] for line in lines} == {path}


@contextlib.asynccontextmanager
async def connected_to(url: str, number: int) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(RawClient(url)) for _ in range(number)]


async def test_clients_and_operators_may_ask_by_https(tmp_path: Path, authority: Authority) -> None:
    one, two, three = (authority.issue() for _ in range(3))
    (tmp_path / "c.toml").write_text(secured(one, one))
    async with serving(tmp_path, "-c", "c.toml", "--workers", "2") as (served, ready):
        trusted = authority.client()
        [data], admin = ready["data"], ready["admin"]
        assert data.startswith("https://")
        for _ in range(10):
            assert await shown(data, trusted) == one.certificate.read_bytes()
        assert await shown(admin, trusted) == one.certificate.read_bytes()
        (tmp_path / "c.toml").write_text(secured(two, three))
        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        for _ in range(10):
            assert await shown(data, trusted) == two.certificate.read_bytes()
        assert await shown(admin, trusted) == three.certificate.read_bytes()
        os.kill(children(served.process.pid)[0], signal.SIGKILL)
        await served.line("worker_exited")
        for _ in range(10):
            assert await shown(data, trusted) == two.certificate.read_bytes()
        assert await served.end() == 0


def secured(data: Pair, admin: Pair) -> str:
    """A configuration whose listeners have these certificates."""
    address = 'address = "127.0.0.1:0"'
    return (
        f"[server]\nlisten = {{ {address}, tls = {{ {data.toml} }} }}\n"
        f"admin_listen = {{ {address}, tls = {{ {admin.toml} }} }}\n"
    )


async def shown(url: str, trusted: ssl.SSLContext) -> bytes:
    """The certificate that a server shows, in PEM; it has answered, too."""
    async with RawClient(url, tls=trusted) as client:
        await client.send(request("/readyz", method="GET"))
        assert (await client.read_head("GET")).status in (200, 404)
        assert client._secured is not None
        found = client._secured.object.getpeercert(binary_form=True)
        assert found is not None
        return ssl.DER_cert_to_PEM_cert(found).encode()
