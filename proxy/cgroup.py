"""What the machine lets this process use: its processors, as far as the control group allows."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_NO_LIMIT = ("max", "-1")


def cores(root: Path = Path("/")) -> int:
    """How many processors this process may keep busy, at least one.

    Those it may be scheduled on (a cpuset says so, too), and no more than the quota of its
    control group and of those around it comes to, rounded up: cgroup-v2's ``cpu.max``, or
    version 1's ``cpu.cfs_quota_us``. `root` is where ``proc`` and ``sys`` are.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([available or 1, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root):
        # Version 2 has both numbers in one file, version 1 a file for each.
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0] not in _NO_LIMIT and float(words[1]) > 0:
            yield float(words[0]) / float(words[1])


def _groups(root: Path) -> Iterator[Path]:
    """The control group of this process and those around it, as far as they can be seen.

    A container sees its own at the mount point, whatever /proc calls it.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = mounts / controllers
        folder = mount / group.lstrip("/")
        yield from (folder, *(above for above in folder.parents if above.is_relative_to(mount)))


def _words(file: Path) -> list[str]:
    return [word for line in _lines(file) for word in line.split()]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return []
