"""The kernel's accounting, as text and of processes that are there."""

import os
import time

import pytest

from bench import accounting
from bench.accounting import CpuTime, Memory, Stat, family, parse_cores, parse_memory, parse_stat

TICKS = os.sysconf("SC_CLK_TCK")


def line(pid: int, name: str, parent: int, user: int, system: int, waited: tuple[int, int]) -> str:
    before = f"S {parent} 1 1 0 -1 4194560 100 0 0 0"
    return f"{pid} ({name}) {before} {user} {system} {waited[0]} {waited[1]} 20 0 1 0 5 6 7\n"


@pytest.mark.parametrize("name", ["nginx", "a b", "x) S 9 (y", "", "((("])
def test_a_stat_line_is_read_whatever_the_process_calls_itself(name: str) -> None:
    text = line(42, name, 7, 3 * TICKS, 5 * TICKS, (TICKS, 2 * TICKS))
    assert parse_stat(text) == Stat(pid=42, parent=7, user=3.0, system=5.0, waited_for=3.0)


def test_a_family_is_a_process_and_all_that_descend_from_it() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1}
    stats = [Stat(pid, parent, 0, 0, 0) for pid, parent in parents.items()]
    assert sorted(family(10, stats)) == [10, 11, 12, 13]
    assert family(20, stats) == [20]


def test_cores_are_busy_with_all_but_idling_and_waiting() -> None:
    text = (
        "cpu  9 9 9 9 9 9 9 9 9 9\n"
        f"cpu0 {TICKS} {TICKS} {TICKS} 77 88 {TICKS} {TICKS} {2 * TICKS} 5 5\n"
        "cpu1 0 0 0 5 0 0 0 0 0 0\n"
        "intr 1 2 3\n"
    )
    assert parse_cores(text) == {0: (5.0, 2.0), 1: (0.0, 0.0)}


def test_memory_is_what_the_rollup_says() -> None:
    text = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:     1234 kB\nPss:     1000 kB\n"
    assert parse_memory(f"{text}Pss_Dirty:  7 kB\n") == Memory(1234 * 1024, 1000 * 1024)


@pytest.mark.parametrize("there", ["Rss", "Pss"])
def test_a_rollup_that_lacks_a_line_is_refused(there: str) -> None:
    [absent] = {"Rss", "Pss"} - {there}
    with pytest.raises(ValueError, match=f"no {absent}"):
        parse_memory(f"{there}: 5 kB\n")


def test_what_was_used_since_is_the_difference() -> None:
    assert CpuTime(5.0, 3.0, 2.0).since(CpuTime(1.0, 1.0, 0.5)) == CpuTime(4.0, 2.0, 1.5)


def test_the_cpu_time_of_this_process_grows_by_what_it_burns() -> None:
    before, own = accounting.cpu_time(os.getpid()), time.process_time()
    while time.process_time() - own < 0.02:
        pass
    used = accounting.cpu_time(os.getpid()).since(before)
    assert used.total >= 0.02


def test_this_process_holds_memory_and_one_that_is_gone_holds_none() -> None:
    held = accounting.memory(os.getpid())
    assert held.resident >= held.share > 1024 * 1024
    gone = 2**22 + 1  # beyond the kernel's largest
    assert accounting.memory(gone) == Memory(0, 0)
    assert accounting.cpu_time(gone) == CpuTime(0.0, 0.0, 0.0)


def test_every_core_is_in_the_machines_accounting() -> None:
    assert set(os.sched_getaffinity(0)) <= set(accounting.cores())
