"""Tasks that nobody awaits: they live, have names, and do not fail in silence."""

import asyncio
import gc
import logging
import sys
import threading
import weakref

import pytest

from proxy.tasks import TURN_SECONDS, run_aside, spawn, unless
from tests.unit.conftest import turns


async def test_a_task_has_its_name_and_its_result() -> None:
    async def answer() -> int:
        return 42

    task = spawn(answer(), "the answer")

    assert task.get_name() == "the answer"
    assert await task == 42


async def test_a_task_that_nobody_refers_to_still_comes_to_its_end() -> None:
    waits: list[weakref.ref[asyncio.Future[str]]] = []
    done: list[str] = []

    async def work() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(future))
        done.append(await future)

    spawn(work(), "work")
    await turns()
    gc.collect()
    future = waits[0]()
    assert future is not None, "the task vanished halfway"
    future.set_result("done")
    await turns()

    assert done == ["done"]


async def test_an_exception_that_nobody_awaits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("nothing there")

    spawn(fail(), "the loser")
    with caplog.at_level(logging.ERROR, "proxy"):
        await turns()

    [record] = caplog.records
    assert record.getMessage() == "task the loser failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_a_task_that_is_cancelled_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.Event().wait(), "waiting")
    await turns()
    task.cancel()
    await turns()

    assert task.cancelled()
    assert caplog.records == []


async def test_a_thread_lets_the_loop_have_its_turns_until_the_last_one_is_over() -> None:
    usual = sys.getswitchinterval()
    assert usual > TURN_SECONDS
    go_on = threading.Event()
    slow = spawn(run_aside(go_on.wait), "slow")
    assert await run_aside(sys.getswitchinterval) == pytest.approx(TURN_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    go_on.set()
    assert await slow
    with pytest.raises(ZeroDivisionError):
        await run_aside(lambda: 1 // 0)
    assert sys.getswitchinterval() == usual


async def test_what_comes_to_its_end_in_time_is_let_be(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("nothing there")

    assert await unless(asyncio.Event(), turns(), "turns")
    with pytest.raises(LookupError):
        await unless(asyncio.Event(), fail(), "the loser")
    assert caplog.records == [], "it is the caller's to tell"


@pytest.mark.parametrize("how", ["told", "cancelled"])
async def test_who_is_told_waits_until_what_was_done_is_cleared_away(how: str) -> None:
    told, cleared = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            cleared.set()

    waiting = spawn(unless(told, work(), "work"), "waiting")
    await turns()
    if how == "told":
        told.set()
        assert not await waiting
    else:
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert cleared.is_set()
