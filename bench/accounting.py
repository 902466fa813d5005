"""The kernel's accounting: CPU time and memory of processes, and of the machine's cores.

Sources: proc_pid_stat(5), proc_pid_smaps(5), proc_stat(5); the CPU clock of a process as
clock_getcpuclockid(3) makes it, since the ticks of /proc/PID/stat are 10 ms long.
"""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2


class Stat(msgspec.Struct, frozen=True):
    """What /proc/PID/stat says of a process; times in seconds."""

    pid: int
    parent: int
    user: float
    system: float
    waited_for: float
    """CPU time of its children that ended and were waited for."""


class CpuTime(msgspec.Struct, frozen=True):
    """CPU time that processes have used, in seconds."""

    total: float
    user: float
    system: float

    def since(self, before: "CpuTime") -> "CpuTime":
        """What was used in between."""
        return CpuTime(
            self.total - before.total, self.user - before.user, self.system - before.system
        )


def parse_stat(text: str) -> Stat:
    """A line of /proc/PID/stat; the name in it may hold anything, parentheses too."""
    pid = int(text[: text.index(" ")])
    fields = text[text.rindex(")") + 2 :].split()
    user, system, waited_user, waited_system = (int(ticks) * _TICK for ticks in fields[11:15])
    return Stat(pid, int(fields[1]), user, system, waited_user + waited_system)


def family(pid: int, stats: Iterable[Stat]) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat.pid)
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found


def parse_cores(text: str) -> dict[int, tuple[float, float]]:
    """Of /proc/stat: core -> seconds that it was busy, and that the hypervisor stole from it."""
    found = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _, _, irq, softirq, steal = (int(f) * _TICK for f in fields[:8])
            found[int(name[3:])] = (user + nice + system + irq + softirq, steal)
    return found


class Memory(msgspec.Struct, frozen=True):
    """What processes have in memory, in bytes."""

    resident: int
    """Rss: what several share counts for each of them."""
    share: int
    """Pss: of what several share, whoever they are, each has its part."""


def parse_memory(rollup: str) -> Memory:
    """What /proc/PID/smaps_rollup says; raises ValueError."""
    sizes = {}
    for line in rollup.splitlines():
        name, _, size = line.partition(":")
        if name in ("Rss", "Pss"):
            sizes[name] = int(size.split()[0]) * 1024
    try:
        return Memory(sizes["Rss"], sizes["Pss"])
    except KeyError as missing:
        raise ValueError(f"no {missing.args[0]} in smaps_rollup") from None


def family_of(pid: int) -> list[int]:
    """`pid` and all that descend from it, now."""
    stats = []
    for entry in os.scandir(_PROC):
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            stats.append(stat)
    return family(pid, stats)


def cpu_time(pid: int) -> CpuTime:
    """CPU time of a process and its descendants, those included that were waited for."""
    total = user = system = 0.0
    for one in family_of(pid):
        stat = _stat(one)
        if stat is None:
            continue
        total += _clock(one, stat) + stat.waited_for
        user += stat.user
        system += stat.system
    return CpuTime(total, user, system)


def memory(pid: int) -> Memory:
    """What a process and its descendants have in memory.

    Counted from the page tables: the kernel's running totals are off by some pages for each core.
    """
    resident = share = 0
    for one in family_of(pid):
        try:
            found = parse_memory((_PROC / str(one) / "smaps_rollup").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        resident += found.resident
        share += found.share
    return Memory(resident, share)


def cores() -> Mapping[int, tuple[float, float]]:
    """Core -> seconds that it was busy, and that were stolen from it."""
    return parse_cores((_PROC / "stat").read_text())


def _stat(pid: int) -> Stat | None:
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def _clock(pid: int, stat: Stat) -> float:
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return stat.user + stat.system
