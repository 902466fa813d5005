"""Clients on bad days: those that leave, those that are slow, those that take nothing."""

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from proxy.framing.chunked import encode_chunk
from proxy.testing import (
    END,
    Drip,
    Flood,
    RawClient,
    Script,
    Sleep,
    Stall,
    answer,
    chunks,
    request,
    sse,
    stream_head,
)
from tests.e2e.conftest import CHAT, Scene, Scenes, chat, deaf, open_connections, until

MIB = 1024 * 1024
TRIES = 5

leaves = pytest.mark.parametrize("leave", [RawClient.close, RawClient.reset], ids=["FIN", "RST"])
both = pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])

Leave = Callable[[RawClient], None]


async def left(s: Scene, count: int, phase: str) -> None:
    """Check the log lines of clients that left."""
    for line in await s.lines(count):
        assert (line["status"], line["error"], line["phase"]) == (499, "client.left", phase)


# Leaving.


UPLOAD = {"transfer-encoding": "chunked"}

WAITING: dict[str, tuple[bytes, int]] = {
    "unary": (chat(), 0),
    "streamed": (chat(stream=True), 0),
    "passed through": (request("/v1/files", b"data"), 0),
}


@leaves
@pytest.mark.parametrize("raw", [one for one, _ in WAITING.values()], ids=WAITING)
async def test_a_client_that_leaves_while_the_provider_thinks(
    scene: Scenes, raw: bytes, leave: Leave
) -> None:
    latencies = []
    async with scene(Stall()) as s:
        for turn in range(1, TRIES + 1):
            async with s.client() as client:
                await client.send(raw)
                await s.upstream.received(turn)
                gone = time.monotonic()
                leave(client)
            latencies.append(await s.upstream.closed(turn) - gone)
        assert statistics.median(latencies) < 1
        await left(s, TRIES, "waiting")


STREAMING: dict[str, tuple[bytes, Script]] = {
    "silent": (chat(stream=True), [stream_head(), sse("one"), Stall()]),
    "lively": (chat(stream=True), [stream_head(), Drip(sse("one").data * 2000, 0.005, size=16)]),
    "a flood": (chat(stream=True), [stream_head(), sse("one"), Flood(64 * MIB)]),
    "no events": (chat(), [stream_head(headers={}), chunks(b"data: one"), Stall()]),
    "passed through": (request("/v1/files/f"), [stream_head(), sse("one"), Stall()]),
}


@leaves
@pytest.mark.parametrize(("raw", "script"), STREAMING.values(), ids=STREAMING)
async def test_a_client_that_leaves_while_the_provider_answers(
    scene: Scenes, raw: bytes, script: Script, leave: Leave
) -> None:
    latencies = []
    async with scene(script) as s:
        for turn in range(1, TRIES + 1):
            async with s.client() as client:
                await client.send(raw)
                await client.read_until(b"one")
                gone = time.monotonic()
                leave(client)
            latencies.append(await s.upstream.closed(turn) - gone)
        assert statistics.median(latencies) < 1
        await left(s, TRIES, "streaming")


@leaves
@both
async def test_a_client_that_leaves_while_we_connect(
    scene: Scenes, leave: Leave, stream: bool
) -> None:
    latencies = []
    with deaf() as url:
        async with scene(at=url) as s:
            for turn in range(1, TRIES + 1):
                async with s.client() as client:
                    await client.send(chat(stream=stream))
                    await until(lambda: s.url.app.pipeline.running)
                    await asyncio.sleep(0.02)
                    gone = time.monotonic()
                    leave(client)
                    await s.lines(turn)
                    latencies.append(time.monotonic() - gone)
            assert statistics.median(latencies) < 1
            await left(s, TRIES, "connecting")


@leaves
@pytest.mark.parametrize(
    "part",
    [
        chat()[:-5],
        request(CHAT, b"5\r\n{", headers=UPLOAD),
        request(CHAT, b"1\r\n{\r\n", headers=UPLOAD),
    ],
    ids=["length", "in a chunk", "between chunks"],
)
async def test_a_client_that_leaves_in_its_request(
    scene: Scenes, part: bytes, leave: Leave
) -> None:
    async with scene() as s:
        async with s.client() as client:
            await client.send(part)
            await until(lambda: open_connections(s))
            await asyncio.sleep(0.02)
            leave(client)
        await left(s, 1, "reading")
        assert s.upstream.connections == 0


@leaves
@pytest.mark.parametrize("part", [b"", b"POST", chat()[:40]], ids=["nothing", "line", "fields"])
async def test_a_client_that_leaves_in_its_head_asked_nothing(
    scene: Scenes, part: bytes, leave: Leave
) -> None:
    async with scene() as s:
        async with s.client() as client:
            if part:
                await client.send(part)
            await asyncio.sleep(0.02)
            leave(client)
        await asyncio.sleep(0.02)
        assert s.url.exchanges == []
        assert s.upstream.connections == 0


@leaves
async def test_a_client_that_leaves_while_it_uploads(scene: Scenes, leave: Leave) -> None:
    async with scene(Stall()) as s:
        async with s.client() as client:
            await client.send(request("/v1/files", b"4\r\ndata\r\n", headers=UPLOAD))
            await until(lambda: s.upstream.connections)
            leave(client)
        await s.upstream.closed()
        [line] = await s.lines(1)
        assert (line["status"], line["error"]) == (499, "client.left")
        assert s.upstream.requests == []


@both
async def test_a_client_that_says_no_more_is_taken_to_have_left(
    scene: Scenes, stream: bool
) -> None:
    async with scene([stream_head(), sse("one"), Stall()]) as s:
        async with s.client() as client:
            await client.send(chat(stream=stream))
            await client.read_head()
            gone = time.monotonic()
            client.half_close()
            assert await s.upstream.closed() - gone < 5
            await client.read_rest()
            assert not client.clean_end
        await left(s, 1, "streaming")


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(scene: Scenes) -> None:
    async with scene([stream_head(), sse("one"), Sleep(0.005), sse("two"), END]) as s:

        async def ask(turn: int) -> None:
            async with s.client() as client:
                raw = chat(stream=turn % 3 > 0)
                await client.send([raw[:50], raw[50:]], pause=0.0005 * (turn % 7))
                await asyncio.sleep(0.0004 * turn)
                (client.reset if turn % 2 else client.close)()

        await asyncio.gather(*map(ask, range(60)))
        await until(lambda: not s.url.app.pipeline.running)
        assert len(s.url.exchanges) <= 60
        assert {line.get("error") for line in s.url.exchanges} <= {None, "client.left"}


# Being slow.


async def test_a_slow_reader_is_not_a_stuck_one(scene: Scenes) -> None:
    body = b"data: " + b"x" * 4_000_000 + b"\n\n"
    timeouts = 'send_timeout = "2s"\nidle_timeout = "200ms"'
    async with scene([stream_head(), chunks(body), END], provider=timeouts) as s:
        # A small buffer, or the kernel would take for the client what that takes its time for.
        async with s.client(receive_buffer=1024) as client:
            await client.send(chat(stream=True))
            await client.read_head()
            first = await client.read_some(2560, rate=1024)
            assert len(first) == 2560
            assert s.url.app.pipeline.running
            rest = await client.read_body()
            assert client.clean_end
            assert (first + rest).count(b"x") == 4_000_000
        assert "error" not in await s.line()


async def test_a_client_that_takes_nothing_is_cut_off(scene: Scenes) -> None:
    script = [stream_head(), Flood(64 * MIB)]
    async with scene(script, provider='send_timeout = "300ms"') as s:
        async with s.client(receive_buffer=4096) as client:
            began = time.monotonic()
            await client.send(chat(stream=True))
            await s.upstream.closed()
            assert time.monotonic() - began > 0.3
            await client.read_rest()
            # The kernel does not go on to keep what nobody takes.
            assert client.was_reset
        line = await s.line()
        assert (line["error"], line["phase"]) == ("client.timeout", "streaming")


async def test_the_providers_silence_is_not_counted_while_the_client_takes_nothing(
    scene: Scenes,
) -> None:
    script = [stream_head(), Flood(16 * MIB, encode_chunk(b"x" * 65536)), END]
    async with scene(script, provider='idle_timeout = "200ms"') as s:
        async with s.client(receive_buffer=4096) as client:
            await client.send(chat(stream=True))
            await client.read_head()
            await asyncio.sleep(0.8)
            assert len(await client.read_body()) == 16 * MIB
            assert client.clean_end
        assert "error" not in await s.line()


async def test_stuck_readers_stop_the_provider_and_cost_little(scene: Scenes) -> None:
    count = 10
    async with scene([stream_head(), Flood(64 * MIB)]) as s, AsyncExitStack() as clients:
        for _ in range(count):
            client = await clients.enter_async_context(s.client(receive_buffer=4096))
            await client.send(chat(stream=True))
        await until(lambda: len(s.upstream.requests) == count)
        sent = -1
        while sent != s.upstream.sent:
            sent = s.upstream.sent
            await asyncio.sleep(0.2)
        # Beyond what this process holds, it is in the kernel's two buffers before us: the
        # provider's for sending, ours for receiving.
        assert sent / count < 8 * MIB
        held = [transport.get_write_buffer_size() for transport in open_connections(s)]
        assert len(held) == count
        assert max(held) <= MIB // 2
        await clients.aclose()
        await left(s, count, "streaming")


# Idle.


async def test_idle_connections_cost_little_and_slow_nobody(scene: Scenes) -> None:
    count = 500
    async with scene(answer()) as s, AsyncExitStack() as clients:
        tracemalloc.start()
        try:
            for _ in range(count):
                await clients.enter_async_context(s.client())
            await until(lambda: len(open_connections(s)) == count)
            assert tracemalloc.get_traced_memory()[0] / count < 10 * 1024
        finally:
            tracemalloc.stop()
        latencies = []
        for _ in range(20):
            began = time.monotonic()
            assert (await s.chat()).status == 200
            latencies.append(time.monotonic() - began)
        assert statistics.median(latencies) < 1
        await clients.aclose()
