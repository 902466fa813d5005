"""Under load nothing is lost: not by a reload, not by twenty, not by a drain.

LLM_PROXY_LONG=1 runs the form whose figures docs/performance.md quotes.
"""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from bench.generator import Generator, build
from bench.options import BUILD
from bench.payloads import request
from proxy.app import tune_collector
from proxy.testing import serve
from tests.e2e.conftest import until
from tests.e2e.load import Load, descriptors, memory, provider
from tests.e2e.process import ANYWHERE, serving

LONG = os.environ.get("LLM_PROXY_LONG") == "1"
STREAMS, RATE, RELOADS = (200, 200, 20) if LONG else (20, 50, 6)
ITL = "100ms" if LONG else "20ms"

CONFIG = """
[provider.kept]
type = "vllm"
url = "{url}"
forward_headers = ["x-mock-*"]
[provider.{name}]
type = "vllm"
url = "{url}/"
forward_headers = ["x-mock-*"]
idle_timeout = "{seconds}s"
[processor.words]
type = "system_prompt"
text = "Number {seconds}."
[[route]]
name = "{name}"
models = ["mock", "{name}"]
processors = ["words"]
targets = ["{target}/mock"]
[[route]]
name = "rest"
targets = ["kept"]
"""


@pytest.mark.timeout(180)
async def test_reload_after_reload_loses_nothing_and_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    async with provider(tmp_path) as url:

        def write(number: int) -> None:
            # Each time another provider comes and goes; every second time requests go there.
            name = f"p{number % 3}"
            target = name if number % 2 else "kept"
            file.write_text(CONFIG.format(url=url, name=name, target=target, seconds=60 + number))

        write(0)
        async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
            pid = served.process.pid
            load = Load(ready["data"][0], streams=STREAMS, rate=RATE, itl=ITL)
            load.begin()
            await until(lambda: load.open == STREAMS)
            used: list[tuple[int, int]] = []
            for number in range(1, RELOADS + 1):
                write(number)
                served.process.send_signal(signal.SIGHUP)
                line = await served.line("reloaded")
                assert line["changes"]
                await asyncio.sleep(0.5 if LONG else 0.2)
                used.append((memory(pid), descriptors(pid)))
            assert load.open >= STREAMS * 0.9
            await load.end()
            assert load.failures == []
            assert load.requests >= RATE
            assert load.streams >= STREAMS
            assert await served.end() == 0
    half = len(used) // 2
    first, last = max(m for m, _ in used[1:half]), max(m for m, _ in used[half:])
    if LONG:
        print(f"\n{RELOADS} reloads: {load.requests} requests, {load.streams} streams, no failure")
        print(f"memory {[round(m / 2**20, 1) for m, _ in used]} MiB, files {[f for _, f in used]}")
    assert last - first < 3 << 20, used
    # A client's connection, and one that is kept to each of two providers.
    assert max(f for _, f in used) < 50 + 2 * STREAMS * 2 + 3 * load.asking, (load.asking, used)


RUSH = (500, 200, 100, 60) if LONG else (100, 20, 10, 12)
"""Requests a second, streams, reloads, and the seconds of load that these must fit in: from a
client that is not at its limit before the proxy."""
BETWEEN = """
[provider.streams]
type = "vllm"
url = "http://127.0.0.1:{streams}/v1"
[provider.p{name}]
type = "vllm"
url = "http://127.0.0.1:{requests}/v1"
idle_timeout = "{seconds}s"
[[route]]
name = "streams{name}"
models = ["gpt-4o-flow"]
targets = ["streams"]
[[route]]
name = "requests{name}"
targets = ["p{name}"]
"""


@pytest.mark.needs("cc")
@pytest.mark.timeout(180)
async def test_reloads_come_in_a_rush_and_every_byte_is_right(tmp_path: Path) -> None:
    rate, streams, reloads, window = RUSH
    built = await asyncio.to_thread(build, BUILD)
    file = tmp_path / "c.toml"
    folders = [tmp_path / name for name in ("requests", "streams")]
    for folder in folders:
        folder.mkdir()
    with Generator(built, folders[0], None) as asks, Generator(built, folders[1], None) as flows:

        def write(number: int) -> None:
            text = BETWEEN.replace("{streams}", str(flows.plain_port))
            text = text.replace("{requests}", str(asks.plain_port))
            file.write_text(text.format(name=number % 3, seconds=60 + number))

        write(0)
        async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
            pid, port = served.process.pid, int(ready["data"][0].rpartition(":")[2])
            one, flow = (
                request(port, "/v1/chat/completions", {}, body_size=2048, stream=stream)
                for stream in (False, True)
            )
            flow = msgspec.structs.replace(flow, data=flow.data.replace(b"4o-mini", b"4o-flow"))
            common = {"port": port, "warm": 0.2, "window": window, "seed": 1, "exact": 1}
            many = {"kind": "paced", "connections": streams, "rate": 5}
            await asyncio.to_thread(flows.run, flow, **common, **many)
            few = {"kind": "open", "connections": 256, "rate": rate}
            await asyncio.to_thread(asks.run, one, **common, **few)
            pause = 0.25
            flowing, asking = (
                asyncio.ensure_future(asyncio.to_thread(generator.go, window))
                for generator in (flows, asks)
            )
            used: list[tuple[int, int]] = []
            began = time.monotonic()
            for number in range(1, reloads + 1):
                write(number)
                served.process.send_signal(signal.SIGHUP)
                await served.line("reloaded")
                used.append((memory(pid), descriptors(pid)))
                await asyncio.sleep(began + number * pause - time.monotonic())
            assert not asking.done()
            assert not flowing.done()
            # What is lost or changed fails a run; so does a stream that another one is cut for.
            events, answers = await flowing, await asking
            await asyncio.to_thread(flows.end)
            await asyncio.to_thread(asks.end)
            assert await served.end() == 0
    assert answers.units > 0.8 * rate * answers.seconds
    assert events.units > 0.8 * 5 * streams * events.seconds
    half = len(used) // 2
    assert max(m for m, _ in used[half:]) - max(m for m, _ in used[1:half]) < 3 << 20, used
    assert max(f for _, f in used) < 50 + 2 * streams + 3 * 256, used
    exchanges = [line for line in served.lines if line["event"] == "exchange"]
    assert {line["status"] for line in exchanges} == {200}
    assert {line["error"] for line in exchanges if "error" in line} == set()
    if LONG:
        print(
            f"\n{reloads} reloads, {answers.units / answers.seconds:.0f} requests/s "
            f"(p50 {answers.p50 / 1e3:.1f} ms, p99 {answers.p99 / 1e3:.0f} ms, most "
            f"{answers.max / 1e3:.0f} ms), {streams} streams of "
            f"{events.units / streams:.0f} events: nothing lost; memory "
            f"{used[1][0] / 2**20:.1f} to {used[-1][0] / 2**20:.1f} MiB, files "
            f"{used[1][1]} to {used[-1][1]}"
        )


@pytest.mark.timeout(120)
async def test_a_drain_lets_every_stream_end(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[provider.m]\ntype = "mock"\n')
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE) as (served, ready):
        load = Load(ready["data"][0], streams=STREAMS, rate=RATE, itl=ITL)
        load.begin()
        await until(lambda: load.open == STREAMS)
        ending = asyncio.ensure_future(load.end())
        await asyncio.sleep(0.2)
        open_then, ended_then = load.open, load.streams
        began = time.monotonic()
        served.process.terminate()
        await served.line("stopping")
        await ending
        took = time.monotonic() - began
        assert load.failures == []
        assert load.streams - ended_then == open_then > 0
        assert await served.end(None) == 0
    if LONG:
        print(f"\ndrain with {open_then} open streams: all whole, {took:.1f} s")


def many_routes(word: str) -> str:
    """A configuration of 500 routes, 50 providers and 50 processors."""
    parts = []
    for number in range(50):
        parts.append(
            f'[provider.p{number}]\ntype = "vllm"\nurl = "http://10.0.0.{number}:8000/v1"\n'
            f'token = "env:KEY"\n[processor.q{number}]\ntype = "system_prompt"\n'
            f'text = "Be {word}, {number}."\n'
        )
    for number in range(500):
        parts.append(
            f'[[route]]\nname = "r{number}"\nmodels = ["m{number}-*", "x{number}", '
            f'"{word}-{number}"]\nprocessors = ["q{number % 50}"]\n'
            f'targets = ["p{number % 50}/big-{number}", "p{(number + 1) % 50}"]\n'
        )
    return "".join(parts)


@pytest.fixture
def tuned() -> Iterator[None]:
    """A collector of garbage that is tuned as that of a proxy in a process of its own."""
    usual = gc.get_threshold()
    tune_collector()
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("tuned")
async def test_a_large_configuration_is_loaded_beside_the_loop() -> None:
    turns: list[float] = []

    async def turn() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0.001)

    async with serve(many_routes("quick"), environ={"KEY": "sk-1"}) as proxy:
        turning = asyncio.ensure_future(turn())
        for word in ("kind", "brief", "quick") if LONG else ("kind",):
            await asyncio.sleep(0.1)
            turns.clear()
            began = time.perf_counter()
            changed = await proxy.reload(many_routes(word))
            took = time.perf_counter() - began
            await asyncio.sleep(0.1)
            assert len(changed) == 550
            worst = max(after - before for before, after in pairwise(turns)) - 0.001
            # Blocked by the whole of it, the loop would have had a handful.
            assert len(turns) > 30
            if LONG:
                print(f"\n500 routes: {took * 1e3:.0f} ms, at most {worst * 1e3:.1f} ms at a time")
                assert worst < 0.02
        turning.cancel()
