"""Delays of the mock provider: constants, and distributions to draw from."""

import functools
import math
import random
import re
from typing import Literal

import msgspec

from proxy.units import parse_duration

DELAY_HINT = (
    'a delay such as "20ms", "normal:20ms,5ms" (mean, deviation), '
    '"lognormal:20ms,0.5" (median, sigma) or "gamma:20ms,4" (mean, shape)'
)

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
# exp(sigma * 10) is still a finite number of seconds, and no real latency has a tail like that.
_MAX_SIGMA = 10.0


class Delay(msgspec.Struct, frozen=True):
    """How long to wait: `centre` seconds, or around that.

    `spread` is the deviation in seconds (normal), sigma (lognormal) or the shape (gamma).
    """

    centre: float
    spread: float = 0.0
    kind: Literal["constant", "normal", "lognormal", "gamma"] = "constant"

    def sample(self, rng: random.Random) -> float:
        """Seconds, never negative."""
        match self.kind:
            case "constant":
                return self.centre
            case "normal":
                return max(0.0, rng.gauss(self.centre, self.spread))
            case "lognormal":
                return self.centre * math.exp(rng.gauss(0.0, self.spread))
            case "gamma":
                return rng.gammavariate(self.spread, 1.0) * self.centre / self.spread

    def total(self, rng: random.Random, count: int) -> float:
        """Seconds that `count` of these take together."""
        if self.kind == "constant":
            return self.centre * max(0, count)
        return sum(self.sample(rng) for _ in range(count))


@functools.lru_cache(maxsize=256)
def parse_delay(text: str) -> Delay:
    """A delay from its spelling; raises ValueError that says what was expected."""
    kind, colon, arguments = text.partition(":")
    centre, comma, spread = arguments.partition(",")
    try:
        if not colon:
            return Delay(parse_duration(text))
        if comma and kind == "normal":
            return Delay(parse_duration(centre), parse_duration(spread), "normal")
        if comma and kind == "lognormal":
            return Delay(parse_duration(centre), _number(spread, _MAX_SIGMA), "lognormal")
        if comma and kind == "gamma" and (shape := _number(spread, math.inf)) > 0:
            return Delay(parse_duration(centre), shape, "gamma")
    except ValueError:
        pass
    raise ValueError(f"expected {DELAY_HINT}, not {text!r}")


def _number(text: str, most: float) -> float:
    if _NUMBER.fullmatch(text) and (value := float(text)) <= most:
        return value
    raise ValueError(text)
