"""Which workers there are, and what is to be done about each: decisions alone, and no process.

Time comes in as an argument, and what is decided goes out through `Processes`: a test needs
neither a clock nor a process.

::

    WAITING --start--> STARTING --ready--> SERVING --drain--> LEAVING
       ^                   |                  |                  |
       |                   +---- stalled -----+---> ABORTED --> KILLED
       |                                                         |
       +---- exited, and still wanted: after a back-off ---------+     else GONE
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

BEAT_SECONDS = 1.0
"""How often a worker says that its loop turns, at the least."""

LATE_BEATS = 3
"""Missed, after which another worker accepts in the place of one that may be stuck."""

ABORT_SECONDS = 2.0
"""How long a stalled worker has to say where it stalls, before it is killed."""

STEADY_SECONDS = 10.0
"""Whoever served as long may be started again at once; who fails earlier waits longer each time."""

BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 15.0


class State(Enum):
    """Where a worker is in its life."""

    WAITING = auto()
    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    ABORTED = auto()
    KILLED = auto()
    GONE = auto()


_ALIVE = (State.STARTING, State.SERVING, State.LEAVING, State.ABORTED, State.KILLED)
_WATCHED = (State.STARTING, State.SERVING, State.LEAVING)


class Processes(Protocol):
    """What is done to a worker, by the number of its place."""

    def start(self, place: int) -> None:
        """Start a process."""

    def drain(self, place: int) -> None:
        """Have it end what it does, and exit."""

    def end(self, place: int) -> None:
        """Have it exit now."""

    def abort(self, place: int) -> None:
        """Have it say what it is doing, and die."""

    def kill(self, place: int) -> None:
        """Have the kernel take it away."""

    def lend(self, place: int, to: int) -> None:
        """Have the worker at `to` accept what comes in for this one, too."""

    def take_back(self, place: int, lent_to: int) -> None:
        """Undo `lend`."""


class Worker:
    """One place, and whoever fills it just now."""

    __slots__ = ("due", "failures", "heard_at", "lent_to", "ready_at", "state")

    def __init__(self) -> None:
        self.state = State.WAITING
        self.due = 0.0
        """When the next step is taken: WAITING it is started, ABORTED it is killed."""
        self.heard_at = 0.0
        self.ready_at: float | None = None
        self.failures = 0
        """How many in a row did not serve for long."""
        self.lent_to: int | None = None


class Roster:
    """A fixed number of places, and the life of whoever fills each."""

    def __init__(self, processes: Processes, size: int, *, stall: float) -> None:
        """`stall`: seconds without a sign of life after which a worker is replaced; 0: never."""
        self.workers = [Worker() for _ in range(size)]
        self.stall = stall
        self.settled = False
        """Whether every worker was ready once: until then, one that fails fails the whole."""
        self._processes = processes
        self._stopping = False
        self._deadline: float | None = None
        self._planned: float | None = None

    @property
    def late(self) -> float:
        """Seconds of silence after which another worker accepts for one, too."""
        return LATE_BEATS * beat_seconds(self.stall)

    @property
    def serving(self) -> list[int]:
        """The places where requests are answered."""
        return [n for n, worker in enumerate(self.workers) if worker.state is State.SERVING]

    @property
    def alive(self) -> list[int]:
        """The places where there is a process."""
        return [n for n, worker in enumerate(self.workers) if worker.state in _ALIVE]

    @property
    def over(self) -> bool:
        """Whether nobody is left and nobody will come."""
        return all(worker.state is State.GONE for worker in self.workers)

    # What happens.

    def begin(self, now: float) -> None:
        """Start everybody."""
        for place in range(len(self.workers)):
            self._start(place, now)

    def ready(self, place: int, now: float) -> None:
        """A worker serves."""
        worker = self.workers[place]
        worker.heard_at = worker.ready_at = now
        if worker.state is State.STARTING:
            worker.state = State.SERVING
        self.settled = self.settled or all(w.ready_at is not None for w in self.workers)
        self._cover(now)

    def beat(self, place: int, now: float) -> None:
        """A worker's loop turns."""
        self.workers[place].heard_at = now
        if self.workers[place].lent_to is not None:
            self._cover(now)

    def exited(self, place: int, now: float) -> float | None:
        """A worker is gone; the seconds until the next takes its place, None if none does."""
        worker = self.workers[place]
        if self._stopping or not self.settled:
            worker.state = State.GONE
            return None
        steady = worker.ready_at is not None and now - worker.ready_at >= STEADY_SECONDS
        worker.failures = 0 if steady else worker.failures + 1
        wait = backoff(worker.failures)
        worker.state, worker.due, worker.ready_at = State.WAITING, now + wait, None
        self._cover(now)
        return wait

    def tick(self, now: float) -> None:
        """Do what is due. To be called no later than `next_at` said."""
        if self._planned is not None and now - self._planned > BEAT_SECONDS:
            # It is we who slept, and maybe the whole machine: nobody is blamed for that time.
            for worker in self.workers:
                worker.heard_at += now - self._planned
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            for place in self.alive:
                self._kill(place)
        for place, worker in enumerate(self.workers):
            if worker.state is State.WAITING and now >= worker.due:
                self._start(place, now)
            elif worker.state is State.ABORTED and now >= worker.due:
                self._kill(place)
            elif worker.state in _WATCHED and self.stall and now - worker.heard_at >= self.stall:
                worker.state, worker.due = State.ABORTED, now + ABORT_SECONDS
                self._processes.abort(place)
        self._cover(now)

    def next_at(self) -> float | None:
        """When `tick` is due again; None: not before something else happens."""
        times = [] if self._deadline is None else [self._deadline]
        for worker in self.workers:
            if worker.state in (State.WAITING, State.ABORTED):
                times.append(worker.due)
            elif worker.state in _WATCHED and self.stall:
                times.append(worker.heard_at + self.stall)
            if worker.state is State.SERVING and worker.lent_to is None:
                times.append(worker.heard_at + self.late)
        self._planned = min(times, default=None)
        return self._planned

    def wanted(self, place: int) -> bool:
        """Whether the worker there was told to go."""
        return self.workers[place].state is State.LEAVING

    # What is wanted.

    def replace(self, place: int, now: float) -> None:
        """Have another follow a worker that does its work no longer as it should."""
        if self.workers[place].state is State.SERVING:
            self.workers[place].state = State.LEAVING
            self._processes.drain(place)
            self._cover(now)

    def keep(self) -> None:
        """Start nobody any more: what is there ends with whoever is there."""
        self._stopping = True
        for worker in self.workers:
            if worker.state is State.WAITING:
                worker.state = State.GONE

    def drain(self, deadline: float) -> None:
        """Have everybody finish, and exit; whoever is left at `deadline` is killed."""
        self._leave(deadline, self._processes.drain)

    def end(self, deadline: float) -> None:
        """Have everybody exit now; whoever is left at `deadline` is killed."""
        self._leave(deadline, self._processes.end)

    def _leave(self, deadline: float, how: Callable[[int], None]) -> None:
        self.keep()
        self._deadline = deadline
        for place, worker in enumerate(self.workers):
            if worker.state in _WATCHED:
                worker.state = State.LEAVING
                how(place)

    def _start(self, place: int, now: float) -> None:
        worker = self.workers[place]
        worker.state, worker.heard_at = State.STARTING, now
        self._processes.start(place)

    def _kill(self, place: int) -> None:
        self.workers[place].state = State.KILLED
        self._processes.kill(place)

    def _cover(self, now: float) -> None:
        """See that somebody accepts for each place: what waits there waits in the kernel."""
        if self._stopping or not self.settled:
            return
        able = [
            place
            for place, worker in enumerate(self.workers)
            if worker.state is State.SERVING and now - worker.heard_at < self.late
        ]
        for place, worker in enumerate(self.workers):
            if worker.lent_to is not None and (place in able or worker.lent_to not in able):
                if worker.lent_to in self.serving:
                    self._processes.take_back(place, worker.lent_to)
                worker.lent_to = None
            if place not in able and worker.lent_to is None and able:
                worker.lent_to = min(able, key=self._load)
                self._processes.lend(place, worker.lent_to)

    def _load(self, place: int) -> int:
        """For how many a worker accepts beside itself."""
        return sum(worker.lent_to == place for worker in self.workers)


def beat_seconds(stall: float) -> float:
    """How often a worker says that its loop turns, where it may be silent for `stall` seconds."""
    return min(BEAT_SECONDS, stall / (LATE_BEATS + 1)) if stall else BEAT_SECONDS


def backoff(failures: int) -> float:
    """Seconds to wait before the next start, after so many failures in a row."""
    if not failures:
        return 0.0
    return min(BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30), MAX_BACKOFF_SECONDS)
