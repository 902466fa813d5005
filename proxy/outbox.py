"""Under load, small writes leave together, at the end of the event loop's turn.

A write wakes whoever reads at the other end, and takes the processor through the kernel's network
code and back, so between two requests' work it costs a good deal more than behind another write.
Where little happens there is nothing to be gathered, and everything leaves at once.
"""

import asyncio
import logging

from proxy.units import clock

SMALL = 8 * 1024
"""Bytes that may wait for one transport: what they are is not yet in its buffer, so its limits do
not know of them."""

MOST = 32
"""Transports that wait for each other at most."""

APART = 0.0002
"""Seconds since the last write after which a write is on its own."""


class Outbox:
    """What is to be written in this turn."""

    __slots__ = ("_apart", "_last", "_scheduled", "_waiting")

    def __init__(self, apart: float = APART) -> None:
        """`apart`: seconds since the last write after which a write does not wait."""
        self._apart = apart
        self._last = clock()
        self._waiting: dict[asyncio.Transport, bytes] = {}
        self._scheduled = False

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write to a transport, at the latest when this turn of the loop ends.

        What is written to one transport leaves in its order, as long as all of it goes this way.
        """
        waiting = self._waiting
        now = clock()
        alone = now - self._last >= self._apart and not waiting
        self._last = now
        if alone:
            _write(transport, data)
            return
        if transport in waiting:
            data = waiting[transport] + data
        if len(data) > SMALL:
            waiting.pop(transport, None)
            _write(transport, data)
            return
        waiting[transport] = data
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end_of_turn)
        elif len(waiting) >= MOST:
            self._write_all()

    def release(self, transport: asyncio.Transport) -> None:
        """Write what waits for a transport now: before it is closed or written to directly."""
        data = self._waiting.pop(transport, None)
        if data is not None:
            _write(transport, data)

    def drop(self, transport: asyncio.Transport) -> None:
        """Forget what waits for a transport."""
        self._waiting.pop(transport, None)

    def holds(self, transport: asyncio.Transport) -> bool:
        """Whether something waits for a transport."""
        return transport in self._waiting

    def _end_of_turn(self) -> None:
        self._scheduled = False
        self._write_all()

    def _write_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for transport, data in waiting.items():
            try:
                _write(transport, data)
            except Exception:
                # One that fails must not keep what the others are owed.
                logging.getLogger("proxy").exception("a write failed")
                transport.abort()


def _write(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
