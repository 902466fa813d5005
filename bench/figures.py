"""Medians and ratios: what the samples of all rounds come to."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one contender."""

    workload: str
    contender: str
    round: int
    cost: float | None
    """The workload's figure; none of `direct`, which is no proxy."""
    detail: dict[str, float] = {}
    """What was measured beside it, by name."""


class Failure(msgspec.Struct, frozen=True):
    """A measurement that did not come about."""

    workload: str
    contender: str
    round: int
    reason: str


class Spread(msgspec.Struct, frozen=True):
    """A median with the least and the greatest beside it."""

    median: float
    low: float
    high: float


class Summary(msgspec.Struct, frozen=True):
    """What one contender's samples of one workload come to."""

    workload: str
    contender: str
    rounds: int
    cost: Spread | None
    ratio: Spread | None
    """To the baseline's cost in the same round."""
    detail: dict[str, float]
    """Medians."""


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(samples: Iterable[Sample], baseline: Iterable[Sample]) -> list[float]:
    """Each sample's cost divided by the baseline's in the same round, where both have one."""
    base = {sample.round: sample.cost for sample in baseline}
    found = []
    for sample in samples:
        below = base.get(sample.round)
        if sample.cost is not None and below:
            found.append(sample.cost / below)
    return found


def summarize(samples: Sequence[Sample], baseline: str | None) -> list[Summary]:
    """One summary for each workload and contender, in the order in which they first came."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.workload, sample.contender), []).append(sample)
    found = []
    for (workload, contender), group in groups.items():
        costs = [sample.cost for sample in group if sample.cost is not None]
        base = groups.get((workload, baseline or ""), [])
        relative = ratios(group, base)
        names = dict.fromkeys(name for sample in group for name in sample.detail)
        detail = {
            name: statistics.median(s.detail[name] for s in group if name in s.detail)
            for name in names
        }
        found.append(
            Summary(
                workload,
                contender,
                rounds=len(group),
                cost=spread(costs) if costs else None,
                ratio=spread(relative) if relative else None,
                detail=detail,
            )
        )
    return found
