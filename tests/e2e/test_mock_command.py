"""``llm-proxy mock`` as a process: what it says, what it serves, how it ends."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

CHAT = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def command(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The running command, and the URL that it says it is ready on."""
    arguments = ["mock", "--listen", "127.0.0.1:0", *flags]
    code = f"import sys; from proxy.cli import main; sys.exit(main({arguments!r}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        ready = re.fullmatch(r"ready: mock provider on (http://127\.0\.0\.1:\d+/v1)\n", line)
        assert ready is not None, line
        yield process, ready[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_until_a_signal_and_exits_0(
    number: signal.Signals,
) -> None:
    flags = ["--output-tokens", "3", "--itl", "10s", "--seed", "5", "--fail-after-requests", "1"]
    async with (
        command(*flags) as (process, url),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.post(f"{url}/chat/completions", json={**CHAT, "stream": True}) as response,
    ):
        assert b"assistant" in await response.content.readany()
        async with session.post(f"{url}/chat/completions", json=CHAT) as second:
            assert second.status == 503
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
