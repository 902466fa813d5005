"""Tasks that are named, kept, and never lose an exception in silence."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TURN_SECONDS = 0.0005
"""How long a thread computes before the loop gets its turn."""

# The event loop holds tasks weakly: one that nobody else refers to may vanish halfway.
_kept: set[asyncio.Task[Any]] = set()

_aside = 0
_usual = sys.getswitchinterval()


def spawn(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run `coroutine` beside the caller; an exception nobody awaits is logged under `name`."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _kept.add(task)
    task.add_done_callback(_forget)
    return task


async def unless(told: asyncio.Event, doing: Coroutine[Any, Any, object], name: str) -> bool:
    """Whether `doing` came to its end; once `told` is set it is cancelled, and may clean up."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(doing, name=name)
    hurry = loop.create_task(told.wait(), name=f"{name}, unless")
    try:
        await asyncio.wait((task, hurry), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurry.cancel()
        task.cancel()
        await asyncio.wait((task,))
    if task.cancelled():
        return False
    task.result()
    return True


async def run_aside(function: Callable[[], T]) -> T:
    """Run what takes long in a thread, and let the loop have its turns meanwhile.

    A thread that computes gives way only every 5 ms by default, and the loop asks for its turn
    each time it has waited for anything.
    """
    global _aside, _usual
    if not _aside:
        _usual = sys.getswitchinterval()
        sys.setswitchinterval(min(TURN_SECONDS, _usual))
    _aside += 1
    try:
        return await asyncio.to_thread(function)
    finally:
        _aside -= 1
        if not _aside:
            sys.setswitchinterval(_usual)


def _forget(task: asyncio.Task[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logging.getLogger("proxy").error("task %s failed", task.get_name(), exc_info=error)
