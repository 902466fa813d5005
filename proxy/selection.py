"""Selection: one of several, by a rule; what failed rests, and comes back by one try at a time.

Pure: the clock and chance are given. Whoever selects says :meth:`~Selection.pick`, then how that
went (:meth:`~Selection.failed` or :meth:`~Selection.succeeded`), and in the end
:meth:`~Selection.release`, for the rules that look at what is under way.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar, get_args

from msgspec import Meta

from proxy.units import clock as monotonic

T = TypeVar("T")

Select = Literal["ordered", "weighted", "round_robin", "least_busy", "least_latency", "hash"]
"""The rules: the first; by chance; in turn; the fewest under way; the quickest; like to like."""

SELECT = Annotated[
    Select,
    Meta(
        description="Which serves a request: ordered (the first that does not rest), weighted (by "
        "chance), round_robin (in turn), least_busy (the fewest requests under way), "
        "least_latency (the quickest to begin its answers) or hash (like to like, see hash_by)."
    ),
]
WEIGHTS = Annotated[
    tuple[float, ...],
    Meta(description="What share each takes of the whole; absent: the same.", examples=[[3, 1]]),
]
"""These, as keys of a configuration."""

LATENCY_SECONDS = 10.0
"""After so long without a measurement two thirds of a latency are forgotten."""

_JITTER = 0.2
"""A rest is up to so much shorter or longer, so that neighbours do not come back in step."""


class Rest(NamedTuple):
    """Seconds that one rests after its first failure, and at most; each failure doubles it."""

    first: float
    longest: float


class _Candidate(Generic[T]):
    __slots__ = (
        "busy",
        "credit",
        "failures",
        "latency",
        "measured_at",
        "pause",
        "picked",
        "rests_until",
        "salt",
        "trying",
        "value",
        "weight",
    )

    def __init__(self, value: T, weight: float, name: str) -> None:
        self.value = value
        self.weight = weight
        self.salt = blake2b(name.encode(), digest_size=16).digest()
        self.busy = 0
        self.picked = 0
        """When it was picked last, counted in picks."""
        self.credit = 0.0
        self.failures = 0
        """In a row."""
        self.rests_until = 0.0
        self.trying = False
        """It was picked since it failed, and how that goes is not known yet."""
        self.pause = 0.0
        """Seconds between two such tries."""
        self.latency = 0.0
        """Seconds, as they were at `measured_at`; 0: never measured."""
        self.measured_at = 0.0

    def measure(self, seconds: float, now: float) -> None:
        """Take in a latency: a worse one at once, a better one slowly, as Finagle's Peak EWMA."""
        if seconds > self.latency:
            self.latency = seconds
        else:
            part = math.exp((self.measured_at - now) / LATENCY_SECONDS)
            self.latency = self.latency * part + seconds * (1 - part)
        self.measured_at = now

    def cost(self, now: float) -> float:
        """How long the next one may take here, behind those that are under way.

        What is not known, or no longer, is found out by one; what was slow is tried again.
        """
        age = now - self.measured_at
        if not self.latency or age > 10 * LATENCY_SECONDS:
            return math.inf if self.busy else 0.0
        return self.latency * math.exp(-age / LATENCY_SECONDS) * (self.busy + 1) / self.weight

    def score(self, key: bytes) -> float:
        """How much a key belongs here, by a hash that is the same everywhere."""
        digest = blake2b(key, digest_size=8, salt=self.salt).digest()
        # 52 bits, so that what is between 0 and 1 is neither of them.
        chance = ((int.from_bytes(digest) >> 12) + 0.5) / (1 << 52)
        return -self.weight / math.log(chance)


class Selection(Generic[T]):
    """Picks one of `values`, which it tells apart by identity."""

    def __init__(
        self,
        values: Sequence[T],
        *,
        select: Select,
        weights: Sequence[float] = (),
        names: Sequence[str] = (),
        clock: Callable[[], float] = monotonic,
        random: Random | None = None,
    ) -> None:
        """`names` are what ``hash`` knows the values by, in every process; else their positions.

        Raises ValueError that says what is wrong.
        """
        if not values:
            raise ValueError("there is nothing to select from")
        if select not in get_args(Select):
            raise ValueError(f"{select!r} is no way to select")
        if weights and select == "ordered":
            raise ValueError(f'`weights` mean nothing where `select` is "{select}"')
        if weights and len(weights) != len(values):
            raise ValueError(f"there are {len(weights)} `weights` for {len(values)}")
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError("a weight is a number above 0")
        self._candidates = [
            _Candidate(
                value,
                weights[position] if weights else 1.0,
                names[position] if names else str(position),
            )
            for position, value in enumerate(values)
        ]
        self._by_identity = {id(each.value): each for each in self._candidates}
        if len(self._by_identity) < len(values):
            raise ValueError("one of them stands there twice")
        self._rule: Callable[[list[_Candidate[T]], bytes, float], _Candidate[T]]
        self._rule = getattr(self, f"_{select}")
        self._clock = clock
        self._random = random or Random()
        self._picks = 0

    def pick(self, key: bytes = b"", *, avoid: Sequence[T] = ()) -> T:
        """One that does not rest; where all do, the one whose rest ends first.

        `key` is what ``hash`` goes by. None of `avoid` is picked while there is another.
        """
        now = self._clock()
        among = self._candidates
        if avoid:
            avoided = set(map(id, avoid))
            among = [each for each in among if id(each.value) not in avoided] or among
        awake = [each for each in among if each.rests_until <= now]
        if not awake:
            chosen = min(among, key=lambda each: each.rests_until)
        elif len(awake) == 1:
            chosen = awake[0]
        else:
            chosen = self._rule(awake, key, now)
        self._picks += 1
        chosen.picked = self._picks
        chosen.busy += 1
        if chosen.failures:
            # Whether it is well again one try will tell; the others need not find out, too.
            chosen.trying = True
            chosen.rests_until = max(chosen.rests_until, now + chosen.pause)
        return chosen.value

    def failed(self, value: T, rest: Rest, *, at_least: float = 0.0) -> float:
        """It failed; it rests, and no shorter than `at_least` so many seconds.

        Returns for how long; 0 if that was known already.
        """
        each, now = self._by_identity[id(value)], self._clock()
        if each.rests_until > now and not each.trying:
            # It was used before it began to rest: no further failure, only more of the first.
            each.rests_until = max(each.rests_until, now + at_least)
            return 0.0
        seconds = min(rest.first * 2.0 ** min(each.failures, 60), rest.longest)
        seconds *= self._random.uniform(1 - _JITTER, 1 + _JITTER)
        each.failures += 1
        each.trying = False
        each.pause = rest.first
        each.rests_until = max(each.rests_until, now + max(seconds, at_least))
        return each.rests_until - now

    def succeeded(self, value: T, seconds: float = 0.0) -> None:
        """It did its part, in so many seconds if that was measured."""
        each, now = self._by_identity[id(value)], self._clock()
        if each.trying or each.rests_until <= now:
            each.failures = 0
            each.trying = False
            each.rests_until = 0.0
        if seconds > 0:
            each.measure(seconds, now)

    def release(self, value: T) -> None:
        """What it was picked for is over."""
        each = self._by_identity[id(value)]
        each.busy = max(each.busy - 1, 0)

    def rests(self, value: T) -> float:
        """For how many seconds it is not to be picked while there is another; 0: not at all."""
        return max(self._by_identity[id(value)].rests_until - self._clock(), 0.0)

    # The rules. Each sees at least two, none of which rests.

    def _ordered(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        return among[0]

    def _weighted(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        return self._random.choices(among, [each.weight for each in among])[0]

    def _round_robin(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        """Smooth, as nginx does it: those with weight get their turns spread, not in a row."""
        for each in among:
            each.credit += each.weight
        chosen = max(among, key=lambda each: each.credit)
        chosen.credit -= sum(each.weight for each in among)
        return chosen

    def _least_busy(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        return min(among, key=lambda each: (each.busy / each.weight, each.picked))

    def _least_latency(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        return min(among, key=lambda each: (each.cost(now), each.picked))

    def _hash(self, among: list[_Candidate[T]], key: bytes, now: float) -> _Candidate[T]:
        """Weighted rendezvous: one that goes away takes along nothing but its own share."""
        return max(among, key=lambda each: each.score(key))
