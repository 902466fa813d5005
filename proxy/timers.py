"""One coarse sweep for every timer that would otherwise be reset on each chunk.

Resetting a loop timer costs about as much as relaying a small chunk. Whoever must not be silent
for too long keeps the time of its last sign of life instead, and is asked a few times a second.
"""

import asyncio
import logging
from typing import Protocol

from proxy.units import clock

INTERVAL = 0.25
"""Seconds between sweeps: how late a timer may fire."""


class Watched(Protocol):
    """Something with a deadline of its own."""

    def check(self, now: float) -> None:
        """Act on a deadline that has passed; `now` is :func:`proxy.units.clock`'s time."""


class Sweep:
    """Asks everything it watches, every INTERVAL, whether its time is over.

    It rests while there is nothing to watch, so that an idle process stays asleep.
    """

    __slots__ = ("_handle", "_interval", "_watched")

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._watched: set[Watched] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, watched: Watched) -> None:
        """Ask `watched` from now on."""
        self._watched.add(watched)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._interval, self._turn)

    def discard(self, watched: Watched) -> None:
        """Ask `watched` no more; nothing happens if it was not watched."""
        self._watched.discard(watched)

    def close(self) -> None:
        """Stop asking anybody."""
        self._watched.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _turn(self) -> None:
        self._handle = None
        now = clock()
        for watched in tuple(self._watched):
            try:
                watched.check(now)
            except Exception:
                # One that fails must not keep the others from their deadlines.
                self._watched.discard(watched)
                logging.getLogger("proxy").exception("a deadline could not be enforced")
        if self._watched and self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._interval, self._turn)
