"""A worker is lost under load: what it was at is lost with it, and nothing else."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from proxy.tasks import spawn
from proxy.testing import RawClient, request
from tests.e2e.process import ANYWHERE, CHAT, IN_TIME, serving
from tests.e2e.test_workers import children, scrape, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc")

CLIENTS, KILLS = 40, 3
CONFIG = '[provider.mock]\ntype = "mock"\nitl = "10ms"\noutput_tokens = 10\n'
STREAM = request("/v1/chat/completions", CHAT | {"stream": True})
_ESTABLISHED = "01"


class Clients:
    """Who asks for one stream after the other, each by a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = False
        self.whole = 0
        self.lost: list[tuple[int, float]] = []
        """Of each stream that did not end well: the client's port, and when it was begun."""

    async def run(self) -> None:
        while not self._over:
            began = time.monotonic()
            async with RawClient(self._url, timeout=IN_TIME) as client:
                port: int = client._socket.getsockname()[1]
                try:
                    await client.send(STREAM)
                    good = (await client.read_head()).status == 200
                    good &= (await client.read_body()).endswith(b"data: [DONE]\n\n")
                    good &= client.clean_end
                except (ConnectionError, EOFError, AssertionError):
                    good = False
            self.whole += good
            if not good:
                self.lost.append((port, began))

    def end(self) -> None:
        self._over = True


def peers(pid: int, port: int) -> set[int]:
    """The ports of whoever is connected to this process at `port`; see proc_pid_net_tcp(5)."""
    mine = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        mine.add(os.readlink(entry.path).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_, inode = line.split()[:10]
        if inode in mine and state == _ESTABLISHED and int(local.partition(":")[2], 16) == port:
            found.add(int(remote.partition(":")[2], 16))
    return found


async def test_only_what_a_lost_worker_was_at_is_lost(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    async with serving(tmp_path, "-c", "c.toml", "--workers", "2", *ANYWHERE) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        port = int(data.rpartition(":")[2])
        clients = Clients(data)
        running = [spawn(clients.run(), "client") for _ in range(CLIENTS)]
        await until(lambda: clients.whole > CLIENTS)
        at_risk: set[int] = set()
        killed: list[float] = []
        for _ in range(KILLS):
            victim = children(served.process.pid)[0]
            os.kill(victim, signal.SIGSTOP)  # from here on it takes nobody
            at_risk |= peers(victim, port)
            killed.append(time.monotonic())
            os.kill(victim, signal.SIGKILL)
            await served.line("worker_exited")
            await until(lambda: len(children(served.process.pid)) == 2)
            enough = clients.whole + 2 * CLIENTS
            while clients.whole < enough:  # noqa: ASYNC110 - by many
                await asyncio.sleep(0.02)
        clients.end()
        await asyncio.gather(*running)
        assert 0 < len(clients.lost) <= len(at_risk)
        assert {lost for lost, _ in clients.lost} <= at_risk
        assert all(began < killed[-1] for _, began in clients.lost)
        counts = await scrape(admin, fresh=True)
        assert counts["llm_proxy_worker_exits_total"] == KILLS
        assert counts["llm_proxy_workers"] == 2
        assert counts["llm_proxy_in_flight"] == counts["llm_proxy_open_streams"] == 0
        assert await served.end() == 0
