"""What other programs take from where they run: proxies, credentials, trust, descriptors."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.testing import RawClient, Upstream, answer
from tests.authority import Authority
from tests.e2e.conftest import chat as asked
from tests.e2e.conftest import read_answer, until
from tests.e2e.load import descriptors
from tests.e2e.process import ANYWHERE, CHAT, chat, get, serving

ONE = """
[provider.one]
type = "openai_compatible"
url = "{url}/v1"
{more}
"""

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""
"""Gives a program few descriptors, at first and at the most, and becomes it."""


async def test_neither_proxies_nor_credentials_come_from_the_environment(tmp_path: Path) -> None:
    async with Upstream(answer()) as upstream, Upstream(answer()) as trap:
        (tmp_path / "c.toml").write_text(ONE.format(url=upstream.url, more=""))
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password canary\n")
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        traps = {name: trap.url for name in (*names, *map(str.lower, names))}
        environ = {**traps, "NO_PROXY": "", "HOME": str(tmp_path), "NETRC": f"{tmp_path}/.netrc"}
        async with serving(tmp_path, "-c", "c.toml", *ANYWHERE, environ=environ) as (served, ready):
            async with RawClient(ready["data"][0]) as client:
                await client.send(asked())
                assert (await read_answer(client)).status == 200
            assert await served.end() == 0
        assert trap.connections == 0
        assert upstream.requests[0].header("authorization") is None


async def test_trust_does_not_come_from_the_environment(
    authority: Authority, tmp_path: Path
) -> None:
    async with Upstream(answer(), tls=authority.server()) as upstream:
        environ = {"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": str(authority.file.parent)}
        for more, status in (
            ("", 502),
            ('tls = { min_version = "1.3" }', 502),
            (f'tls = {{ ca = "{authority.file}" }}', 200),
        ):
            (tmp_path / "c.toml").write_text(ONE.format(url=upstream.url, more=more))
            async with (
                serving(tmp_path, "-c", "c.toml", *ANYWHERE, environ=environ) as (_, ready),
                RawClient(ready["data"][0]) as client,
            ):
                await client.send(asked())
                assert (await read_answer(client)).status == status, more
        assert len(upstream.requests) == 1


@pytest.fixture
def many() -> Iterator[list[socket.socket]]:
    """Sockets that are closed in the end."""
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()


async def test_clients_that_take_every_descriptor_stop_neither_streams_nor_the_process(
    tmp_path: Path, many: list[socket.socket]
) -> None:
    text = '[provider.mock]\ntype = "mock"\nitl = "100ms"\noutput_tokens = 40\n'
    (tmp_path / "c.toml").write_text(text)
    launcher = (sys.executable, "-c", LIMITED, "128", "256")
    async with serving(tmp_path, "-c", "c.toml", *ANYWHERE, launcher=launcher) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        pid = served.process.pid

        begun = 0

        async def stream() -> bool:
            nonlocal begun
            async with RawClient(data) as client:
                body = CHAT | {"stream": True}
                await client.send(asked(**body))
                await client.read_head()
                begun += 1
                body_read = await client.read_body()
                return client.clean_end and body_read.endswith(b"[DONE]\n\n")

        streams = [asyncio.ensure_future(stream()) for _ in range(5)]
        await until(lambda: begun == 5)
        host, _, port = data.removeprefix("http://").partition(":")
        for _ in range(800):
            one = socket.socket()
            many.append(one)
            one.setblocking(False)
            one.connect_ex((host, int(port)))
        # What it may have at the most is what it has.
        await until(lambda: descriptors(pid) > 250)
        assert descriptors(pid) > 250
        used, began = processor_time(pid), time.monotonic()
        await asyncio.sleep(2.0)
        assert processor_time(pid) - used < 0.5 * (time.monotonic() - began)
        assert await asyncio.gather(*streams) == [True] * 5
        while many:
            many.pop().close()
        async with asyncio.timeout(10.0):
            assert await get(admin, "/readyz") == (200, b"ready\n")
            while True:
                try:
                    await get(data, "/v1/models")
                    break
                except ConnectionError:
                    await asyncio.sleep(0.05)
        assert (await chat(data)).endswith(b"[DONE]\n\n")
        assert await served.end() == 0


def processor_time(pid: int) -> float:
    """Seconds that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
