"""Writes log lines to a file descriptor without ever waiting for whoever reads it.

Lines are gathered for a moment and written together. A pipe is asked first whether it takes
more, and gets no more at once than it promises to take; while its reader is stuck, lines are
kept up to a bound, then the newest are dropped and counted.

Several processes may write to one pipe: what is written at once ends where a line ends, so that
the lines of others come between lines and not into them.
"""

import asyncio
import errno
import fcntl
import math
import os
import select
import stat
import struct
import termios

from proxy.units import clock

GATHER_SECONDS = 0.05
MAX_KEPT = 1024 * 1024

_PIPE_BUF = select.PIPE_BUF
"""What poll's "writable" promises of a pipe: this much is taken whole, without blocking (POSIX)."""

_AT_ONCE = MAX_KEPT
"""Bytes that a regular file is given at once: it takes whatever it is given."""


_NO_SUCH_WRITE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What an older kernel says to RWF_NOWAIT on a pipe (pwritev2(2))."""


class LineWriter:
    """Appends lines to a descriptor; never blocks, never raises for a reader that is gone."""

    __slots__ = (
        "_fd",
        "_handle",
        "_lines",
        "_nowait",
        "_pipe",
        "_poll",
        "_regular",
        "_size",
        "dropped",
    )

    def __init__(self, fd: int) -> None:
        self._fd = fd
        mode = os.fstat(fd).st_mode
        self._regular, self._pipe = stat.S_ISREG(mode), stat.S_ISFIFO(mode)
        self._nowait = self._pipe and hasattr(os, "RWF_NOWAIT")
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
                at += self._give(data[at : self._end(data, at)])
        except BlockingIOError:
            pass
        except OSError:
            at = len(data)
        rest = data[at:]
        self._lines = [rest] if rest else []
        self._size = len(rest)

    def finish(self, seconds: float) -> None:
        """Write what is left, and wait so long for whoever reads it: nothing comes after it."""
        until = clock() + seconds
        self.flush()
        while self._lines and self._poll.poll(max(0, math.ceil((until - clock()) * 1000))):
            self.flush()

    def _end(self, data: bytes, at: int) -> int:
        """Where to stop a write that begins at `at`: after a line, if there is any way."""
        if self._regular:
            return at + _AT_ONCE
        end = data.rfind(b"\n", at, at + _PIPE_BUF) + 1
        if not end:
            end = data.find(b"\n", at) + 1 or len(data)
            if end - at > self._room():
                end = at + _PIPE_BUF
        return end

    def _room(self) -> int:
        """Bytes that a pipe takes in one go; a page of it may be half full and take no more."""
        if not (self._nowait and hasattr(fcntl, "F_GETPIPE_SZ")):
            return _PIPE_BUF
        held = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        return int(fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)) - 2 * int(held)

    def _give(self, data: bytes) -> int:
        """How much of `data` was taken.

        Another process may have filled the pipe since it was asked. The descriptor is shared
        with others that rely on its blocking, so it is this one write that does not.
        """
        if self._nowait:
            try:
                return os.pwritev(self._fd, (data,), -1, os.RWF_NOWAIT)
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno not in _NO_SUCH_WRITE:
                    raise
                self._nowait = False
        return os.write(self._fd, data)

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
