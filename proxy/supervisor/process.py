"""A worker as a process: forked, and seen from its supervisor.

Forked and not started anew: a worker shares the memory of what is imported and configured, and is
ready in the time that opening its components takes.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from proxy.channel import Channel
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.supervisor.messages import Answer, Count, Message, Refused, Said

_NUMBERS = itertools.count(1)


class Lost(Exception):
    """The worker went before it answered."""


class Forked(NamedTuple):
    """What a fork left the supervisor with."""

    pid: int
    sock: socket.socket
    """Its end of the channel."""
    report: int
    """The file into which the worker writes where it was, should it die of a fault."""


class Process:
    """One process of a worker: what it was started with, and the way to talk to it."""

    def __init__(
        self,
        place: int,
        forked: Forked,
        loaded: Loaded,
        heard: Callable[["Process", Any], None],
        gone: Callable[["Process"], None],
    ) -> None:
        """`loaded`: what it was started with. What it says unasked comes to `heard`.

        `gone` is called once it will say nothing any more, mostly for it is about to end.
        """
        self.place = place
        self.pid = forked.pid
        self.number = next(_NUMBERS)
        """Its own for ever: pids come again."""
        self.loaded = loaded
        """The configuration that it works with."""
        self.running = 0
        """How many exchanges ran when it said so last."""
        self.problems: list[str] = []
        """What was wrong with the configuration, if that is why it could not start."""
        self.stalled = False
        """Whether it is to die because it gave no sign of life."""
        self._report = forked.report
        self._heard_by = heard
        self._gone_by = gone
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._counted: asyncio.Future[None] | None = None
        self._channel = Channel(forked.sock, self._heard, self._lost, kind=Said)

    def tell(self, message: Message, files: Sequence[int] = ()) -> None:
        """Say something that needs no answer."""
        self._channel.send(message, files)

    async def ask(self, make: Callable[[int], Message], files: Sequence[int] = ()) -> bytes:
        """Say what `make` makes of the number it is asked under; the answer.

        Raises Lost, and ConfigError for a refusal.
        """
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._channel.send(make(number), files)
            if self._channel.closed:
                raise Lost
            return await answer
        finally:
            del self._waiting[number]

    def count(self) -> asyncio.Future[None]:
        """Have it say what it counted; done when `counted` is called, or when it is gone."""
        if self._counted is None or self._counted.done():
            self._counted = asyncio.get_running_loop().create_future()
            self._channel.send(Count())
            if self._channel.closed:
                self.counted()
        return self._counted

    def counted(self) -> None:
        """It said what it counted."""
        if self._counted is not None and not self._counted.done():
            self._counted.set_result(None)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: until it is reaped, its pid is nobody else's."""
        os.kill(self.pid, number)

    def exit_code(self) -> int | None:
        """The status that it ended with, or minus the signal; None while it has not ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def report(self) -> str:
        """Where it was, if it died of a fault; to be asked once."""
        with open(self._report, "rb") as file:
            file.seek(0)
            return file.read().decode(errors="replace").strip()

    def _heard(self, message: Any, files: list[int]) -> None:
        if not isinstance(message, Answer | Refused):
            self._heard_by(self, message)
            return
        answer = self._waiting.get(message.ask)
        if answer is None or answer.done():
            return
        if isinstance(message, Answer):
            answer.set_result(message.value)
        else:
            answer.set_exception(ConfigError(message.problems))

    def _lost(self) -> None:
        self.counted()
        self._gone_by(self)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Lost())


def fork(run: Callable[[socket.socket, int], int], keep: Iterable[int]) -> Forked:
    """Fork a process that runs `run`, and exits with what that returns.

    Of our descriptors it has 0, 1, 2 and those to `keep`, and of our signal handlers none; what
    ends the supervisor from a terminal does not reach it. `run` gets its end of the channel, and
    the file in which to report a fault. No event loop may be running, and no thread but this one.
    """
    ours, theirs = socket.socketpair()
    report = _file()
    sys.stdout.flush()
    sys.stderr.flush()
    files = _open_files()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if not pid:
        status = 1
        try:
            end = theirs.detach()
            _leave_behind(files, {*keep, end, report, 0, 1, 2})
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = run(socket.socket(fileno=end), report)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)  # what lies below on the stack is the supervisor's
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return Forked(pid, ours, report)


def _open_files() -> dict[int, tuple[int, int]]:
    """Which file each descriptor is of."""
    found = {}
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            found[int(name)] = status.st_dev, status.st_ino
    return found


def _leave_behind(files: dict[int, tuple[int, int]], keep: set[int]) -> None:
    """Close what the supervisor had open, whoever in it knows of that, and forget its signals.

    What a fork itself has put in the place of something, as libuv does, stays.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    now = _open_files()
    for fd, file in files.items():
        if fd not in keep and now.get(fd) == file:
            with contextlib.suppress(OSError):  # valgrind keeps some of its own open
                os.close(fd)


def _file() -> int:
    """A file without a name; in memory, where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("llm-proxy report", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
