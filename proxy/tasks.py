"""Tasks that are named, kept, and never lose an exception in silence."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# The event loop holds tasks weakly: one that nobody else refers to may vanish halfway.
_kept: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run `coroutine` beside the caller; an exception nobody awaits is logged under `name`."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _kept.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logging.getLogger("proxy").error("task %s failed", task.get_name(), exc_info=error)
