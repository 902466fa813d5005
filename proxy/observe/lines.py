"""Writes log lines to a file descriptor without ever waiting for whoever reads it.

Lines are gathered for a moment and written together. A pipe is asked first whether it takes
more, and gets no more at once than it promises to take; while its reader is stuck, lines are
kept up to a bound, then the newest are dropped and counted.
"""

import asyncio
import os
import select
import stat

GATHER_SECONDS = 0.05
MAX_KEPT = 1024 * 1024

_PIPE_BUF = select.PIPE_BUF
"""What poll's "writable" promises of a pipe: this much is taken without blocking (POSIX)."""

_AT_ONCE = MAX_KEPT
"""Bytes that a regular file is given at once: it takes whatever it is given."""


class LineWriter:
    """Appends lines to a descriptor; never blocks, never raises for a reader that is gone."""

    __slots__ = ("_fd", "_handle", "_lines", "_poll", "_size", "_slice", "dropped")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._slice = _AT_ONCE if stat.S_ISREG(os.fstat(fd).st_mode) else _PIPE_BUF
        self._lines: list[bytes] = []
        self._size = 0
        self._handle: asyncio.TimerHandle | None = None
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.dropped = 0
        """Lines that were lost to a stuck reader."""

    def write(self, line: bytes) -> None:
        """Write a line, its line end included, soon."""
        if self._size + len(line) > MAX_KEPT:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if self._handle is None:
            self._schedule()

    def flush(self) -> None:
        """Write what the descriptor takes now."""
        data = b"".join(self._lines)
        at = 0
        try:
            while at < len(data) and self._poll.poll(0):
                at += os.write(self._fd, data[at : at + self._slice])
        except BlockingIOError:
            pass
        except OSError:
            at = len(data)
        rest = data[at:]
        self._lines = [rest] if rest else []
        self._size = len(rest)

    def _schedule(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        self._handle = loop.call_later(GATHER_SECONDS, self._turn)

    def _turn(self) -> None:
        self._handle = None
        self.flush()
        if self._lines:
            self._schedule()
