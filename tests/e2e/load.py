"""Clients that ask all the time and keep streams open, and notice whatever goes wrong."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.tasks import spawn
from proxy.testing import RawClient, request
from tests.e2e.conftest import CHAT
from tests.e2e.process import start

TOKENS = 24
"""Of each answer."""


class Load:
    """`streams` streams open at any time, and `rate` requests a second over kept connections."""

    def __init__(
        self,
        url: str,
        *,
        streams: int,
        rate: int,
        itl: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._tls = tls
        self._rate = rate
        self._itl = itl
        self._wanted = streams
        self._stop = asyncio.Event()
        self._idle: list[RawClient] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._asking: set[asyncio.Task[None]] = set()
        self.open = 0
        """Streams whose head is here and whose end is not."""
        self.asking = 0
        """The most requests that ran at one time, each with a connection of its own."""
        self.requests = 0
        self.streams = 0
        self.failures: list[str] = []

    def begin(self) -> None:
        """Start; every stream is there within a second."""
        self._tasks = [
            spawn(self._stream(at / max(self._wanted, 1)), f"stream {at}")
            for at in range(self._wanted)
        ]
        self._tasks.append(spawn(self._requests(), "requests"))

    async def end(self) -> None:
        """Ask for nothing more, and wait for what runs."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*self._asking)
        while self._idle:
            self._idle.pop().close()

    async def _stream(self, delay: float) -> None:
        await asyncio.sleep(delay)
        while not self._stop.is_set():
            try:
                async with RawClient(self._url, timeout=30.0, tls=self._tls) as client:
                    await client.send(_chat(stream=True, itl=self._itl))
                    head = await client.read_head()
                    self.open += 1
                    try:
                        body = await client.read_body()
                    finally:
                        self.open -= 1
                whole = client.clean_end and body.endswith(b"data: [DONE]\n\n")
                if head.status != 200 or not whole or body.count(b'"content":"') < TOKENS:
                    self.failures.append(f"a stream: {head.status} {body[-200:]!r}")
            except Exception as error:
                self.failures.append(f"a stream: {error!r}")
            self.streams += 1

    async def _requests(self) -> None:
        began = time.monotonic()
        count = 0
        while not self._stop.is_set():
            count += 1
            task = spawn(self._ask(), "request")
            self._asking.add(task)
            self.asking = max(self.asking, len(self._asking))
            task.add_done_callback(self._asking.discard)
            await asyncio.sleep(began + count / self._rate - time.monotonic())

    async def _ask(self) -> None:
        client = (
            self._idle.pop() if self._idle else RawClient(self._url, timeout=30.0, tls=self._tls)
        )
        try:
            if not hasattr(client, "_socket"):
                await client.connect()
            await client.send(_chat(stream=False, itl="0s"))
            head = await client.read_head()
            body = await client.read_body()
            if head.status != 200 or not client.clean_end or b'"usage"' not in body:
                self.failures.append(f"a request: {head.status} {body[:200]!r}")
            if dict(head.headers).get(b"connection") == b"close":
                client.close()
            else:
                self._idle.append(client)
        except Exception as error:
            self.failures.append(f"a request: {error!r}")
            client.close()
        self.requests += 1


def _chat(*, stream: bool, itl: str) -> bytes:
    body = {"model": "mock", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"x-mock-itl": itl, "x-mock-output-tokens": str(TOKENS)}
    return request(CHAT, body, headers=headers)


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[str]:
    """The URL of a mock provider in a process of its own."""
    process = await start(folder, "mock", "--listen", "127.0.0.1:0")
    try:
        assert process.stderr is not None
        said = (await process.stderr.readline()).decode()
        yield said.removeprefix("ready: mock provider on ").strip()
    finally:
        process.terminate()
        await process.communicate()


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
