"""``python -m bench.fallback FOLDER [CERTIFICATE KEY]``: the commands, and the workloads."""

import asyncio
import random
import re
import ssl
import sys
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path

import msgspec
import uvloop
from aiolimiter import AsyncLimiter

from bench.fallback.connection import Connection, read_body
from bench.fallback.stream import FRAMES, Run, Stream
from bench.fallback.window import PATIENCE, Latencies, Window
from bench.generator import Reply, WorkloadFailed
from bench.payloads import CONTENT_EVENTS

IDLE_EVENTS = 3
PUSH_BYTES = 50_000_000

_PATH = b"POST /v1/chat/completions "
_MESSAGES_PATH = b"POST /v1/messages "
_USER_ID = re.compile(rb'"user_id": *"s(\d+)"')
_USER = re.compile(rb'"user": *"s(\d+)"')
_ASKS_USAGE = re.compile(rb'"include_usage": *true')


class Load:
    """Both ends of the proxy, and the workload between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answer = (folder / "answer").read_bytes()
        self._answer_wire = (folder / "answer.wire").read_bytes()
        self._messages_wire = (folder / "messages.wire").read_bytes()
        self._stream_head = (folder / "stream.head").read_bytes()
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._run: Run | None = None
        self._streams: list[Stream] = []
        self._latencies = Latencies()
        self._pushed = 0

    async def serve(self, tls: ssl.SSLContext | None) -> None:
        """Listen, and do what stdin says until it ends."""
        plain = await asyncio.start_server(self._mock, "127.0.0.1", 0, backlog=4096)
        secure = None
        if tls is not None:
            secure = await asyncio.start_server(self._mock, "127.0.0.1", 0, ssl=tls, backlog=4096)
        port = plain.sockets[0].getsockname()[1]
        _say(
            Reply("listening", plain=port, tls=secure.sockets[0].getsockname()[1] if secure else 0)
        )
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work())
            while line := await reader.readline():
                self._commands.put_nowait(line.decode().strip())
            working.cancel()

    async def _work(self) -> None:
        while True:
            command = await self._commands.get()
            if not command.startswith("run "):
                continue
            words = dict(word.split("=", 1) for word in command.split()[1:])
            self._run = msgspec.convert(words, Run, strict=False)
            try:
                await self._workload(self._run)
                _say(Reply("ended"))
            except* (WorkloadFailed, OSError, asyncio.IncompleteReadError, TimeoutError) as group:
                error = _first(group)
                _say(Reply("failed", error=str(error) or type(error).__name__))
            finally:
                self._run = None
                self._pushed = 0
                for stream in self._streams:
                    if stream.mock is not None and not stream.mock_done.is_set():
                        stream.mock.close()
                    stream.mock_done.set()

    async def _workload(self, run: Run) -> None:
        request = (self._folder / run.request).read_bytes()
        connections = [Connection(run, request, self._answer) for _ in range(run.connections)]
        streaming = run.kind not in ("unary", "open")
        self._streams = [Stream(n) for n in range(run.connections)] if streaming else []
        try:
            match run.kind:
                case "unary" | "open":
                    await self._requests(run, connections)
                case "lockstep" | "paced":
                    await self._events(run, connections)
                case "idle":
                    await self._idle(run, connections)
                case _:
                    await self._slow(run, connections[0])
        finally:
            for connection in connections:
                connection.close()

    async def _requests(self, run: Run, connections: list[Connection]) -> None:
        await _all(connection.open() for connection in connections)

        async def closed_loop(connection: Connection, until: float) -> None:
            while (began := time.monotonic()) < until:
                await connection.unary()
                self._latencies.add(time.monotonic() - began)

        async def open_loop(connection: Connection, due: list[float]) -> None:
            while due:
                scheduled = due.pop()
                await asyncio.sleep(scheduled - time.monotonic())
                await connection.unary()
                self._latencies.add(time.monotonic() - scheduled)

        until = time.monotonic() + run.warm
        await _all(closed_loop(connection, until) for connection in connections)
        await self._ready()
        now = time.monotonic()
        if run.kind == "unary":
            await _all(closed_loop(connection, now + run.window) for connection in connections)
        else:
            due = list(_arrivals(run, now))[::-1]
            await _all(open_loop(connection, due) for connection in connections)
        await self._done(self._latencies.reply())

    async def _events(self, run: Run, connections: list[Connection]) -> None:
        """Streams in lock-step, or on a schedule."""
        window = Window(run, self._streams, self._latencies)

        async def read(connection: Connection, stream: Stream) -> None:
            await connection.open()
            async for _ in connection.stream(stream):
                if stream.tail_at is None:
                    window.seen(stream)

        async with asyncio.TaskGroup() as group:
            for connection, stream in zip(connections, self._streams, strict=True):
                group.create_task(read(connection, stream))
            await window.opened.wait()
            await window.run(run.warm)
            await self._ready()
            await window.run(run.window)
            await self._done(self._latencies.reply())
            for stream in self._streams:
                stream.tail()

    async def _idle(self, run: Run, connections: list[Connection]) -> None:
        await self._ready()
        opened = 0
        all_open = asyncio.Event()
        # Not all at once: proxies listen with a backlog of 128, and a dropped SYN costs a second.
        ramp = AsyncLimiter(50, 0.05)

        async def hold(connection: Connection, stream: Stream) -> None:
            nonlocal opened
            async with ramp:
                await connection.open()
            async for _ in connection.stream(stream):
                if stream.seen == 1:
                    for _ in range(IDLE_EVENTS):
                        stream.send()
                elif stream.seen == 1 + IDLE_EVENTS:
                    opened += 1
                    if opened == run.connections:
                        all_open.set()

        async with asyncio.TaskGroup() as group:
            for connection, stream in zip(connections, self._streams, strict=True):
                group.create_task(hold(connection, stream))
            async with asyncio.timeout(2 * PATIENCE):
                await all_open.wait()
            await self._done(self._latencies.reply())
            for stream in self._streams:
                stream.tail()

    async def _slow(self, run: Run, connection: Connection) -> None:
        await self._ready()
        began = time.monotonic()
        taken = 0
        await connection.open()
        async for frame in connection.stream(self._streams[0]):
            taken += len(frame)
            if time.monotonic() - began > run.window:
                break
            await asyncio.sleep(began + taken / run.rate - time.monotonic())
        await self._done(self._latencies.reply(pushed=self._pushed, taken=taken))

    async def _ready(self) -> None:
        _say(Reply("ready"))
        await self._expect("go")
        self._latencies.start()

    async def _done(self, reply: Reply) -> None:
        _say(reply)
        await self._expect("end")

    async def _expect(self, command: str) -> None:
        if (got := await self._commands.get()) != command:
            raise WorkloadFailed(f"expected {command}, not {got}")

    # The provider behind the proxy.

    async def _mock(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await read_body(reader, head)
                messages = head.startswith(_MESSAGES_PATH)
                if not messages and not head.startswith(_PATH):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                elif self._streams and self._run is not None:
                    await self._stream(body, writer, messages=messages)
                else:
                    writer.write(self._messages_wire if messages else self._answer_wire)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def _stream(self, body: bytes, writer: asyncio.StreamWriter, *, messages: bool) -> None:
        named = (_USER_ID if messages else _USER).search(body)
        if named is None or int(named[1]) >= len(self._streams):
            writer.close()
            return
        stream = self._streams[int(named[1])]
        stream.mock = writer
        usage = _ASKS_USAGE.search(body) is not None
        stream.variant = "messages" if messages else "usage" if usage else "plain"
        writer.write(self._stream_head)
        stream.send(FRAMES[stream.variant][0])
        if self._run is not None and self._run.kind == "slow":
            contents = FRAMES[stream.variant][1 : 1 + CONTENT_EVENTS]
            while self._pushed < PUSH_BYTES:
                stream.send(*contents)
                self._pushed += sum(map(len, contents))
                await writer.drain()
                await asyncio.sleep(0)  # drain() alone lets nobody else run
        await stream.mock_done.wait()


def _arrivals(run: Run, began: float) -> Iterable[float]:
    rng = random.Random(run.seed)
    due = began + rng.expovariate(run.rate)
    while due < began + run.window:
        yield due
        due += rng.expovariate(run.rate)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(_await(one))


async def _await(one: Awaitable[None]) -> None:
    await one


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(reply: Reply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Run until stdin ends."""
    folder, *pem = sys.argv[1:]
    tls = None
    if pem:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_cert_chain(*pem)
    uvloop.run(Load(Path(folder)).serve(tls))


if __name__ == "__main__":
    main()
