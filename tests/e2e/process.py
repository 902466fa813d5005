"""The proxy in a process of its own: started, asked, signalled, and its log read."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import proxy
from proxy.testing import RawClient, request

ROOT = Path(proxy.__file__).parents[1]
CHAT: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}
ANYWHERE = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
SLOW = '[provider.mock]\ntype = "mock"\nitl = "%s"\noutput_tokens = 8\n'
IN_TIME = 20.0
_PORTS = random.Random().sample(range(16_384, 32_768), 16_384)


def free_port() -> int:
    """A port that nobody has just now, and that the kernel gives nobody who does not name it."""
    while True:
        port = _PORTS.pop()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def start(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    launcher: tuple[str, ...] = (sys.executable,),
    keep: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """`python -m proxy` in `folder`; of the environment it gets what it needs, and `environ`.

    `launcher` is what runs Python, and `keep` the descriptors that it gets.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        *(*launcher, "-m", "proxy", *arguments),
        pass_fds=keep,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(
    folder: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """The command's exit status, and what it wrote."""
    process = await start(folder, *arguments, environ=environ)
    async with asyncio.timeout(IN_TIME):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Serving:
    """A proxy in a process of its own, and its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def line(self, event: str) -> dict[str, Any]:
        """The next line of the log that tells of `event`."""
        assert self.process.stderr is not None
        async with asyncio.timeout(IN_TIME):
            while raw := await self.process.stderr.readline():
                assert raw.startswith(b"{"), raw
                self.lines.append(json.loads(raw))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"it ended without saying {event!r}: {self.lines}")

    async def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Its exit status, after this signal; the rest of its log is read."""
        if number is not None:
            self.process.send_signal(number)
        await self.line("stopped")
        async with asyncio.timeout(IN_TIME):
            return await self.process.wait()


@asynccontextmanager
async def serving(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    launcher: tuple[str, ...] = (sys.executable,),
    keep: Sequence[int] = (),
) -> AsyncIterator[tuple[Serving, dict[str, Any]]]:
    """A running `serve`, and its line that says that it is ready."""
    process = await start(
        folder, "serve", *arguments, environ=environ, launcher=launcher, keep=keep
    )
    served = Serving(process)
    try:
        yield served, await served.line("ready")
    finally:
        if served.process.returncode is None:
            served.process.kill()
            await served.process.communicate()


async def get(url: str, target: str) -> tuple[int, bytes]:
    async with RawClient(url) as client:
        await client.send(request(target, method="GET"))
        return (await client.read_head("GET")).status, await client.read_body()


async def post(url: str, target: str) -> tuple[int, Any]:
    """The status and the body, JSON or text, that a POST without one is answered with."""
    async with RawClient(url, timeout=60.0) as client:
        await client.send(request(target))
        head = await client.read_head()
        body = await client.read_body()
    kind = dict(head.headers).get(b"content-type", b"")
    is_json = kind.startswith(b"application/json")
    return head.status, json.loads(body) if is_json else body.decode()


async def chat(url: str) -> bytes:
    """A whole chat stream."""
    async with RawClient(url) as client:
        await client.send(request("/v1/chat/completions", CHAT | {"stream": True}))
        assert (await client.read_head()).status == 200
        stream = await client.read_body()
        assert client.clean_end
        return stream
