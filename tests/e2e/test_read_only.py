"""Where nothing can be written, and where the control group says how many cores there are."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import ANYWHERE, get, post, serving
from tests.e2e.test_workers import ask, children, scrape

READ_ONLY = """
set -e
mount --make-rprivate /
while read -r device at kind rest; do
    case $kind in ext*|xfs|btrfs|overlay|tmpfs|zfs)
        mount -o remount,bind,ro "$at" 2>/dev/null || true ;;
    esac
done < /proc/mounts
if touch here 2>/dev/null || touch /tmp/here 2>/dev/null || touch /dev/shm/here 2>/dev/null; then
    echo "it can be written" >&2
    exit 9
fi
exec "$@"
"""
"""Becomes a program for which every file system is read-only; for all others nothing changes."""

QUOTA = """
set -e
mount --make-rprivate /
mount -t tmpfs none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$GROUP
echo "$MAX" > /sys/fs/cgroup/$GROUP/cpu.max
exec "$@"
"""
"""Becomes a program whose control group has a quota."""


def mounting(script: str) -> tuple[str, ...]:
    """What runs Python behind a script that mounts what nobody else sees."""
    unshare = shutil.which("unshare")
    assert unshare is not None
    flags = ("--mount",) if os.geteuid() == 0 else ("--map-root-user", "--mount")
    tried = subprocess.run([unshare, *flags, "mount", "--make-rprivate", "/"], capture_output=True)
    if tried.returncode != 0:
        pytest.skip("needs root, or user namespaces")
    return (unshare, *flags, "sh", "-c", script, "sh", sys.executable)


def group() -> str:
    """The control group of this process, of version 2, below the mount point."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")


ROUTE = '[provider.mock]\ntype = "mock"\n[[route]]\nname = "{name}"\ntargets = ["mock"]\n'


@pytest.mark.needs("unshare", "mount")
async def test_workers_count_reload_and_come_back_where_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(ROUTE.format(name="before"))
    flags = ("-c", "c.toml", "--workers", "2", *ANYWHERE)
    async with serving(tmp_path, *flags, launcher=mounting(READ_ONLY)) as (served, ready):
        [data], admin = ready["data"], ready["admin"]
        assert ready["workers"] == len(children(served.process.pid)) == 2
        for _ in range(30):
            assert (await ask(data))["x-llm-proxy-route"] == "before"
        assert (await scrape(admin, fresh=True))["llm_proxy_requests_total"] == 30
        file.write_text(ROUTE.format(name="after"))
        status, answer = await post(admin, "/api/reload")
        assert (status, len(answer["changes"])) == (200, 2)
        os.kill(children(served.process.pid)[0], signal.SIGKILL)
        await served.line("worker_exited")
        for _ in range(30):
            assert (await ask(data))["x-llm-proxy-route"] == "after"
        counts = await scrape(admin)
        assert counts["llm_proxy_requests_total"] == 60
        assert await get(admin, "/readyz") == (200, b"ready\n")
        assert await served.end() == 0


@pytest.mark.needs("unshare", "mount", "taskset")
@pytest.mark.parametrize(("quota", "workers"), [("max 100000", 2), ("50000 100000", 1)])
async def test_as_many_workers_as_the_control_group_allows(
    tmp_path: Path, quota: str, workers: int
) -> None:
    usable = sorted(os.sched_getaffinity(0))[:2]
    launcher = mounting(QUOTA)
    launcher = ("env", f"GROUP={group()}", f"MAX={quota}", *launcher)
    launcher = ("taskset", "-c", ",".join(map(str, usable)), *launcher)
    flags = ("--workers", "0", *ANYWHERE)
    async with serving(tmp_path, *flags, launcher=launcher) as (served, ready):
        expected = min(workers, len(usable))
        assert ready.get("workers", 1) == expected
        assert len(children(served.process.pid)) == (expected if expected > 1 else 0)
        await ask(ready["data"][0])
        assert await served.end() == 0
