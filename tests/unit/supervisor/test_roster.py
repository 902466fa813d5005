"""What is decided about workers: a clock that the test sets, and processes that are a list."""

from proxy.supervisor.roster import (
    ABORT_SECONDS,
    BACKOFF_SECONDS,
    BEAT_SECONDS,
    LATE_BEATS,
    MAX_BACKOFF_SECONDS,
    STEADY_SECONDS,
    Roster,
    State,
    backoff,
    beat_seconds,
)

STALL = 10.0


class Scene:
    """A roster, what it did to whom, and the time."""

    def __init__(self, size: int = 2, stall: float = STALL) -> None:
        self.did: list[tuple[object, ...]] = []
        self.roster = Roster(self, size, stall=stall)
        self.now = 100.0

    def start(self, place: int) -> None:
        self.did.append(("start", place))

    def drain(self, place: int) -> None:
        self.did.append(("drain", place))

    def end(self, place: int) -> None:
        self.did.append(("end", place))

    def abort(self, place: int) -> None:
        self.did.append(("abort", place))

    def kill(self, place: int) -> None:
        self.did.append(("kill", place))

    def lend(self, place: int, to: int) -> None:
        self.did.append(("lend", place, to))

    def take_back(self, place: int, lent_to: int) -> None:
        self.did.append(("take back", place, lent_to))

    @property
    def news(self) -> list[tuple[object, ...]]:
        """What was done since this was read last."""
        did, self.did = self.did, []
        return did

    def settle(self) -> "Scene":
        """Start everybody, and let everybody be ready."""
        self.roster.begin(self.now)
        for place in range(len(self.roster.workers)):
            self.roster.ready(place, self.now)
        self.did = []
        return self

    def lives(self, seconds: float, *silent: int) -> None:
        """Time passes, in which everybody says that its loop turns, but those who are silent."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + BEAT_SECONDS, end)
            for place in self.roster.alive:
                if place not in silent:
                    self.roster.beat(place, self.now)
            self.tick()

    def tick(self) -> None:
        """Let the roster do what it wanted to be called for by now."""
        at = self.roster.next_at()
        if at is not None and at <= self.now:
            self.roster.tick(self.now)

    def state(self, place: int) -> State:
        return self.roster.workers[place].state


def test_everybody_is_started_and_serves_when_ready() -> None:
    scene = Scene(3)
    scene.roster.begin(scene.now)
    assert scene.news == [("start", 0), ("start", 1), ("start", 2)]
    for place in (2, 0):
        scene.roster.ready(place, scene.now)
        assert not scene.roster.settled
    scene.roster.ready(1, scene.now)

    assert scene.roster.settled
    assert scene.roster.serving == [0, 1, 2]
    assert scene.news == []


def test_who_lives_is_left_alone() -> None:
    scene = Scene().settle()
    scene.lives(1000.0)

    assert scene.news == []


def test_before_all_were_ready_nobody_is_started_again() -> None:
    scene = Scene()
    scene.roster.begin(scene.now)
    scene.roster.ready(0, scene.now)
    assert scene.news == [("start", 0), ("start", 1)]

    assert scene.roster.exited(1, scene.now) is None
    assert scene.state(1) is State.GONE
    assert scene.roster.next_at() != scene.now
    assert scene.news == []


def test_another_accepts_for_the_dead_until_its_follower_is_ready() -> None:
    scene = Scene().settle()
    scene.lives(STEADY_SECONDS)

    assert scene.roster.exited(0, scene.now) == 0.0
    assert scene.news == [("lend", 0, 1)]
    scene.tick()
    assert scene.news == [("start", 0)]
    scene.roster.ready(0, scene.now)
    assert scene.news == [("take back", 0, 1)]


def test_who_fails_soon_waits_longer_each_time() -> None:
    scene = Scene().settle()
    waits = []
    for _ in range(12):
        wait = scene.roster.exited(0, scene.now)
        assert wait is not None
        waits.append(wait)
        scene.roster.tick(scene.now + wait / 2)
        assert scene.state(0) is State.WAITING
        scene.lives(wait)
        assert scene.state(0) is State.STARTING

    assert waits == [min(BACKOFF_SECONDS * 2**n, MAX_BACKOFF_SECONDS) for n in range(12)]
    assert waits[-1] == MAX_BACKOFF_SECONDS


def test_who_served_for_long_is_forgiven() -> None:
    scene = Scene().settle()
    for _ in range(5):
        scene.roster.exited(0, scene.now)
        scene.lives(MAX_BACKOFF_SECONDS)
    scene.roster.ready(0, scene.now)
    scene.lives(STEADY_SECONDS)

    assert scene.roster.exited(0, scene.now) == 0.0


def test_back_off_has_an_end_however_many_failures() -> None:
    assert backoff(10_000) == MAX_BACKOFF_SECONDS


def test_a_stalled_worker_says_where_and_is_replaced() -> None:
    scene = Scene().settle()
    scene.lives(STALL - BEAT_SECONDS, 0)
    assert scene.news == [("lend", 0, 1)]
    scene.lives(BEAT_SECONDS, 0)
    assert scene.news == [("abort", 0)]
    assert scene.state(0) is State.ABORTED
    scene.roster.exited(0, scene.now)
    scene.lives(1.0)
    assert scene.news == [("start", 0)]


def test_who_does_not_even_die_is_killed() -> None:
    scene = Scene().settle()
    scene.lives(STALL, 0)
    assert scene.news == [("lend", 0, 1), ("abort", 0)]
    assert scene.roster.next_at() == scene.now + ABORT_SECONDS
    scene.lives(ABORT_SECONDS, 0)

    assert scene.news == [("kill", 0)]
    assert scene.roster.alive == [0, 1]
    scene.lives(10.0, 0)
    assert scene.news == []


def test_a_worker_that_stalls_while_it_starts_is_replaced_too() -> None:
    scene = Scene().settle()
    scene.roster.exited(0, scene.now)
    scene.lives(1.0)
    assert scene.news == [("lend", 0, 1), ("start", 0)]
    scene.lives(STALL, 0)

    assert scene.news == [("abort", 0)]


def test_who_comes_back_in_time_keeps_its_place() -> None:
    scene = Scene().settle()
    scene.lives(LATE_BEATS * BEAT_SECONDS, 1)
    assert scene.news == [("lend", 1, 0)]
    scene.lives(BEAT_SECONDS)

    assert scene.news == [("take back", 1, 0)]


def test_nobody_stalls_where_that_is_not_looked_for() -> None:
    scene = Scene(stall=0.0).settle()
    scene.lives(1000.0, 0)

    assert scene.news == [("lend", 0, 1)]


def test_nobody_is_blamed_while_the_supervisor_itself_slept() -> None:
    scene = Scene().settle()
    scene.lives(20.0)
    scene.roster.next_at()
    scene.now += 3600.0
    scene.tick()
    assert scene.news == []
    scene.lives(20.0)

    assert scene.news == []


def test_who_accepts_for_another_and_dies_is_replaced_in_that_too() -> None:
    scene = Scene(3).settle()
    scene.lives(STEADY_SECONDS)
    scene.roster.exited(0, scene.now)
    assert scene.news == [("lend", 0, 1)]
    scene.roster.exited(1, scene.now)
    assert scene.news == [("lend", 0, 2), ("lend", 1, 2)]
    scene.roster.exited(2, scene.now)
    assert scene.news == []
    scene.tick()
    assert scene.news == [("start", 0), ("start", 1), ("start", 2)]
    scene.roster.ready(1, scene.now)
    assert scene.news == [("lend", 0, 1), ("lend", 2, 1)]
    scene.roster.ready(0, scene.now)
    scene.roster.ready(2, scene.now)
    assert scene.news == [("take back", 0, 1), ("take back", 2, 1)]


def test_loans_are_shared_out() -> None:
    scene = Scene(4).settle()
    scene.lives(STEADY_SECONDS)
    scene.roster.exited(0, scene.now)
    scene.roster.exited(1, scene.now)

    assert scene.news == [("lend", 0, 1), ("lend", 0, 2), ("lend", 1, 3)]


def test_a_drain_asks_everybody_and_starts_nobody() -> None:
    scene = Scene(3).settle()
    scene.roster.exited(2, scene.now)
    scene.did = []
    scene.roster.drain(scene.now + 30.0)
    assert scene.news == [("drain", 0), ("drain", 1)]
    assert scene.roster.serving == []
    scene.roster.exited(0, scene.now)
    scene.lives(5.0)
    assert scene.news == []
    assert not scene.roster.over
    scene.roster.exited(1, scene.now)

    assert scene.roster.over
    assert scene.roster.next_at() in (None, 130.0)


def test_who_is_left_at_the_deadline_is_killed() -> None:
    scene = Scene().settle()
    scene.roster.drain(scene.now + 30.0)
    scene.roster.exited(0, scene.now)
    scene.did = []
    scene.lives(30.0)
    assert scene.news == [("kill", 1)]
    scene.lives(60.0)

    assert scene.news == []


def test_a_second_wish_to_stop_ends_everybody_now() -> None:
    scene = Scene().settle()
    scene.roster.drain(scene.now + 30.0)
    scene.did = []
    scene.roster.end(scene.now + 2.0)
    assert scene.news == [("end", 0), ("end", 1)]
    scene.lives(2.0)

    assert scene.news == [("kill", 0), ("kill", 1)]


def test_who_starts_while_all_stop_is_asked_too() -> None:
    scene = Scene()
    scene.roster.begin(scene.now)
    scene.did = []
    scene.roster.drain(scene.now + 30.0)
    assert scene.news == [("drain", 0), ("drain", 1)]
    scene.roster.ready(0, scene.now)

    assert scene.roster.serving == []


def test_a_worker_that_stalls_while_it_drains_is_killed() -> None:
    scene = Scene().settle()
    scene.roster.drain(scene.now + 300.0)
    scene.did = []
    scene.lives(STALL, 0)

    assert scene.news == [("abort", 0)]


def test_one_is_replaced_by_draining_it_first() -> None:
    scene = Scene().settle()
    scene.lives(STEADY_SECONDS)
    scene.roster.replace(0, scene.now)
    assert scene.news == [("drain", 0), ("lend", 0, 1)]
    scene.roster.replace(0, scene.now)
    assert scene.news == []
    scene.roster.exited(0, scene.now)
    scene.tick()

    assert scene.news == [("start", 0)]


def test_who_may_be_silent_for_a_moment_only_says_something_more_often() -> None:
    assert (beat_seconds(0.0), beat_seconds(10.0)) == (BEAT_SECONDS, BEAT_SECONDS)
    assert LATE_BEATS * beat_seconds(1.0) < 1.0
    assert Scene(stall=1.0).roster.late < 1.0
