"""The sweep, under a clock and a loop of the test's own."""

import asyncio
from collections.abc import Callable

import pytest

from proxy import timers
from proxy.timers import Sweep


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.planned: list[tuple[float, Callable[[], None], Handle]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        handle = Handle()
        self.planned.append((self.now + delay, call, handle))
        return handle

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [plan for plan in self.planned if plan[0] <= self.now]
        self.planned = [plan for plan in self.planned if plan[0] > self.now]
        for _, call, handle in due:
            if not handle.cancelled:
                call()

    @property
    def waiting(self) -> int:
        return sum(not handle.cancelled for _, _, handle in self.planned)


class Watched:
    def __init__(self) -> None:
        self.asked: list[float] = []

    def check(self, now: float) -> None:
        self.asked.append(now)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    monkeypatch.setattr(timers, "clock", lambda: loop.now)
    return loop


def test_everybody_is_asked_at_each_interval_and_told_the_time(loop: Loop) -> None:
    sweep, one, two = Sweep(0.25), Watched(), Watched()
    sweep.add(one)
    loop.pass_time(0.125)
    sweep.add(two)
    assert (one.asked, two.asked) == ([], [])

    loop.pass_time(0.125)
    loop.pass_time(0.25)

    assert one.asked == two.asked == [100.25, 100.5]


def test_one_timer_serves_everybody(loop: Loop) -> None:
    sweep = Sweep()
    for _ in range(10):
        sweep.add(Watched())

    assert loop.waiting == 1


def test_whoever_is_discarded_is_asked_no_more(loop: Loop) -> None:
    sweep, one, two = Sweep(0.25), Watched(), Watched()
    sweep.add(one)
    sweep.add(two)
    sweep.discard(one)
    sweep.discard(one)
    loop.pass_time(0.25)

    assert (one.asked, two.asked) == ([], [100.25])


def test_it_rests_while_there_is_nothing_to_watch_and_wakes_up_again(loop: Loop) -> None:
    sweep, one = Sweep(0.25), Watched()
    sweep.add(one)
    sweep.discard(one)
    loop.pass_time(0.25)
    assert loop.waiting == 0

    sweep.add(one)
    loop.pass_time(0.25)
    assert one.asked == [100.5]


def test_whoever_is_asked_may_leave_and_may_bring_others(loop: Loop) -> None:
    sweep, late = Sweep(0.25), Watched()

    class Leaving(Watched):
        def check(self, now: float) -> None:
            super().check(now)
            sweep.discard(self)
            sweep.add(late)

    first = Leaving()
    sweep.add(first)
    loop.pass_time(0.25)
    loop.pass_time(0.25)

    assert (first.asked, late.asked) == ([100.25], [100.5])
    assert loop.waiting == 1


def test_a_closed_sweep_asks_nobody_and_may_begin_anew(loop: Loop) -> None:
    sweep, one, two = Sweep(0.25), Watched(), Watched()
    sweep.add(one)
    sweep.close()
    sweep.close()
    assert loop.waiting == 0

    sweep.add(two)
    loop.pass_time(0.25)
    assert (one.asked, two.asked) == ([], [100.25])
