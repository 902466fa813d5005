"""The workers as processes: what the roster decides about them, done, and what they say, heard."""

import asyncio
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from proxy.config.load import Loaded
from proxy.observe.log import Log
from proxy.observe.sums import Family, Sums, families
from proxy.supervisor.messages import (
    Accept,
    Beat,
    Counted,
    End,
    Failed,
    Leave,
    Message,
    Ready,
    Yield,
)
from proxy.supervisor.process import Forked, Process, fork
from proxy.supervisor.roster import Roster
from proxy.supervisor.sockets import Sockets
from proxy.units import clock

OWN = 0
"""The number of the supervisor among the processes that count; those of workers begin at 1."""

REAP_SECONDS = 0.01
"""How often it is looked whether a worker that said its last has ended."""

COUNT_SECONDS = 1.0
"""How long a worker may take to say what it counted; else what it said before stands."""

Work = Callable[[int], Callable[[socket.socket, int], int]]
"""What the process at a place runs; see :func:`proxy.supervisor.process.fork`."""


class Crew:
    """All workers of a supervisor."""

    def __init__(
        self,
        loaded: Loaded,
        size: int,
        sockets: Sockets,
        work: Work,
        log: Log,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called whenever something is not what it was."""
        self.loaded = loaded
        """What whoever is started next is started with."""
        self.sums = Sums(OWN)
        self.failed: tuple[int, list[str]] | None = None
        """The exit status, and the problems told, of one that could not even start at first."""
        self._roster = Roster(self, size, stall=loaded.settings.server.stall_timeout)
        self._sockets = sockets
        self._work = work
        self._log = log
        self._changed = changed
        self._processes: dict[int, Process] = {}
        """By place."""
        self._due: deque[int] = deque()
        self._unheard: dict[int, list[Message]] = {}
        """What is to be said to those who are not forked yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._linger = 0.0
        self._exits = {"signal": 0, "stalled": 0, "status": 0}
        self._loop: asyncio.AbstractEventLoop

    @property
    def settled(self) -> bool:
        """Whether all were ready once."""
        return self._roster.settled

    @property
    def over(self) -> bool:
        """Whether nobody is left, and nobody will come."""
        return self._roster.over

    @property
    def running(self) -> int:
        """How many exchanges ran when the workers said so last."""
        return sum(process.running for process in self._processes.values())

    @property
    def serving(self) -> list[Process]:
        """Those that answer requests."""
        return [self._processes[place] for place in self._roster.serving]

    # What is wanted.

    def begin(self) -> None:
        """Start everybody; in the loop, which it stops to fork."""
        self._loop = asyncio.get_running_loop()
        self._roster.begin(clock())
        self._rearm()

    def reconfigured(self, loaded: Loaded) -> None:
        """Start whoever is started next with this."""
        self.loaded = loaded
        self._roster.stall = loaded.settings.server.stall_timeout
        self._rearm()

    def replace(self, process: Process) -> None:
        """Have a worker finish and another follow it."""
        self._roster.replace(process.place, clock())
        self._rearm()

    def keep(self) -> None:
        """Start nobody any more."""
        self._roster.keep()

    def leave(self, within: float, linger: float) -> None:
        """Have everybody finish and exit; whoever is left after so many seconds is killed.

        Idle connections may be used for `linger` seconds.
        """
        self._linger = linger
        self._roster.drain(clock() + within)
        self._rearm()

    def hurry(self, within: float) -> None:
        """Have everybody exit now; whoever is left after so many seconds is killed."""
        self._roster.end(clock() + within)
        self._rearm()

    async def count(self) -> None:
        """Have every worker say what it counted, if it can do so in time."""
        asked = [process.count() for process in self._processes.values()]
        if asked:
            await asyncio.wait(asked, timeout=COUNT_SECONDS)

    def families(self) -> list[Family]:
        """What there is to count of workers themselves."""
        workers = GaugeMetricFamily(
            "llm_proxy_workers", "Workers that answer requests.", len(self._roster.serving)
        )
        exits = CounterMetricFamily(
            "llm_proxy_worker_exits", "Workers that were lost, by how.", labels=["reason"]
        )
        for reason, number in self._exits.items():
            exits.add_metric([reason], number)
        return families((workers, exits))

    # What the roster decides.

    def start(self, place: int) -> None:
        self._due.append(place)
        self._loop.stop()  # nobody forks inside of a loop

    def drain(self, place: int) -> None:
        self._tell(place, Leave(self._linger))

    def end(self, place: int) -> None:
        self._tell(place, End())

    def abort(self, place: int) -> None:
        process = self._processes[place]
        process.stalled = True
        what = f"{_name(process)} gave no sign of life for {self._roster.stall:g} s"
        self._log.say("error", "worker_stalled", what, worker=place + 1, pid=process.pid)
        process.signal(signal.SIGABRT)

    def kill(self, place: int) -> None:
        self._processes[place].signal(signal.SIGKILL)

    def lend(self, place: int, to: int) -> None:
        addresses, files = [], []
        for address, socks in self._sockets.of(place):
            if address.path is None:  # a unix socket is everybody's already
                addresses += [str(address)] * len(socks)
                files += [sock.fileno() for sock in socks]
        self._processes[to].tell(Accept(place, tuple(addresses)), files)

    def take_back(self, place: int, lent_to: int) -> None:
        self._processes[lent_to].tell(Yield(place))

    # What happens.

    def fork_due(self) -> None:
        """Fork whoever is to be started. No loop is running."""
        while self._due:
            place = self._due.popleft()
            keep = [sock.fileno() for _, socks in self._sockets.of(place) for sock in socks]
            self._log.flush()
            try:
                forked = fork(self._work(place), keep)
            except OSError as error:
                self._loop.call_soon(self._not_forked, place, error)
            else:
                self._loop.call_soon(self._forked, place, forked)

    def _forked(self, place: int, forked: Forked) -> None:
        self._processes[place] = Process(place, forked, self.loaded, self._heard, self._gone)
        for message in self._unheard.pop(place, ()):
            self._processes[place].tell(message)
        self._rearm()

    def _tell(self, place: int, message: Message) -> None:
        if place in self._processes:
            self._processes[place].tell(message)
        else:
            self._unheard.setdefault(place, []).append(message)

    def _not_forked(self, place: int, error: OSError) -> None:
        what = f"worker {place + 1} cannot be started: {error.strerror}"
        self._log.say("error", "worker_exited", what, worker=place + 1)
        if not self.settled:
            self.failed = self.failed or (1, [])
        self._roster.exited(place, clock())
        self._rearm()

    def _gone(self, process: Process) -> None:
        """A worker said its last: its end is near, and is waited for."""
        code = process.exit_code()
        if code is None:
            self._loop.call_later(REAP_SECONDS, self._gone, process)
        else:
            self._exited(process, code)

    def _exited(self, process: Process, code: int) -> None:
        place = process.place
        traceback = process.report()
        self.sums.retire(process.number)
        del self._processes[place]
        wanted = self._roster.wanted(place)
        if not wanted:
            reason = "stalled" if process.stalled else "signal" if code < 0 else "status"
            self._exits[reason] += 1
        if not (self.settled or wanted):
            self.failed = self.failed or (code if code > 0 else 1, process.problems)
        wait = self._roster.exited(place, clock())
        if not (wanted or (process.problems and not self.settled)):
            how = f"died of {_signal(-code)}" if code < 0 else f"exited with status {code}"
            more = "" if wait is None else f"; another starts in {wait:g} s"
            problems = f": {'; '.join(process.problems)}" if process.problems else ""
            details = {"traceback": traceback} if traceback else {}
            self._log.say(
                "error",
                "worker_exited",
                f"{_name(process)} {how}{problems}{more}",
                worker=place + 1,
                pid=process.pid,
                status=code,
                **details,
            )
        self._rearm()

    def _heard(self, process: Process, message: Any) -> None:
        place = process.place
        match message:
            case Beat():
                process.running = message.running
                self._roster.beat(place, clock())
            case Ready():
                self._roster.ready(place, clock())
                if process.loaded is not self.loaded:
                    self._roster.replace(place, clock())
            case Failed():
                process.problems = message.problems
            case Counted():
                self.sums.put(process.number, message.families)
                process.counted()
        self._rearm()

    def _rearm(self) -> None:
        """Have the roster called when it wants to be, and everybody told that something is new."""
        if self._timer is not None:
            self._timer.cancel()
        at = self._roster.next_at()
        self._timer = None
        if at is not None:
            self._timer = self._loop.call_later(max(0.0, at - clock()), self._tick)
        self._changed()

    def _tick(self) -> None:
        self._roster.tick(clock())
        self._rearm()


def _name(process: Process) -> str:
    return f"worker {process.place + 1} (process {process.pid})"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
