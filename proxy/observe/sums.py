"""What several processes counted, as one.

Counters and histograms are added up, and gauges go by what they mean. What a process counted stays
counted after its end, so that no sum ever goes backwards.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_GREATEST = {"llm_proxy_event_loop_lag_seconds", "llm_proxy_build"}
_LEAST = {"process_start_time_seconds"}
_ONCE = {"llm_proxy_reloads"}
"""What all do together counts once: as the one has it that leads them."""

_GAUGES = {"gauge", "info", "unknown"}
"""The kinds that say how things are now, so that a process takes them along when it goes."""

_RESIDENT = "process_resident_memory_bytes"
_ROLLUP = Path("/proc/self/smaps_rollup")

Labels = tuple[tuple[str, str], ...]
Values = dict[tuple[str, Labels], float]


class Family(msgspec.Struct, array_like=True):
    """A metric of one process, with all its samples."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, Labels, float]]


def families(collected: Iterable[Metric], rollup: Path = _ROLLUP) -> list[Family]:
    """What a process has to say for itself.

    Of memory that it shares with others of the same family it counts its share, where Linux
    tells (proc_pid_smaps_rollup(5)): one page in three processes is one page.
    """
    said = [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, tuple(sample.labels.items()), sample.value)
                for sample in metric.samples
            ],
        )
        for metric in collected
    ]
    for family in said:
        if family.name == _RESIDENT and (share := _share(rollup)) is not None:
            family.samples = [(_RESIDENT, (), share)]
    return said


class _Summed:
    """One metric over all processes."""

    __slots__ = ("kept", "kind", "name", "now", "text")

    def __init__(self, family: Family) -> None:
        self.name, self.text, self.kind = family.name, family.text, family.kind
        self.now: dict[int, Values] = {}
        """By process, of those that are there."""
        self.kept: Values = {}
        """Of those that are gone."""

    def add(self, to: Values, values: Values) -> None:
        for key, value in values.items():
            known = to.get(key)
            if known is None:
                to[key] = value
            elif self.name in _GREATEST:
                to[key] = max(known, value)
            elif self.name in _LEAST or key[0].endswith("_created"):
                to[key] = min(known, value)
            else:
                to[key] = known + value


class Sums(Collector):
    """The sums over all processes that ever said something."""

    def __init__(self, leader: int) -> None:
        """`leader`: the process that counts what all do together."""
        self._summed: dict[str, _Summed] = {}
        self._leader = leader

    def put(self, process: int, said: Iterable[Family]) -> None:
        """Take what a process has counted so far, in the place of what it said before."""
        for family in said:
            if family.name in _ONCE and process != self._leader:
                continue
            summed = self._summed.get(family.name)
            if summed is None:
                summed = self._summed[family.name] = _Summed(family)
            summed.now[process] = {(name, labels): value for name, labels, value in family.samples}

    def retire(self, process: int) -> None:
        """A process is gone, and with it what was so only as long as it was there."""
        for summed in self._summed.values():
            values = summed.now.pop(process, None)
            if values is not None and summed.kind not in _GAUGES:
                summed.add(summed.kept, values)

    def render(self) -> bytes:
        """The exposition text."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        for summed in self._summed.values():
            values = dict(summed.kept)
            for now in summed.now.values():
                summed.add(values, now)
            metric = Metric(summed.name, summed.text, summed.kind)
            for (name, labels), value in values.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


def _share(rollup: Path) -> float | None:
    """Resident bytes, of which a page that N processes share counts as an Nth."""
    try:
        for line in rollup.read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
