"""One measurement: one workload, one contender that runs."""

import time
from collections.abc import Callable

import msgspec

from bench import payloads
from bench.accounting import CpuTime, Memory, cores, cpu_time, memory
from bench.figures import Sample
from bench.generator import Generator
from bench.process import Cores, Running
from bench.workloads import Workload

SETTLE_SECONDS = 0.5
"""Of rest before memory is read."""

_IDLE_SECONDS = 0.3
"""From the first answer to reading what an idle process holds."""


class Length(msgspec.Struct, frozen=True):
    """How long one measurement is, in seconds."""

    warm: float
    window: float
    slow_window: float


class Meter:
    """Measures contenders through one load generator."""

    def __init__(self, generator: Generator, cores: Cores, length: Length, seed: int) -> None:
        self._generator = generator
        self._cores = cores
        self._length = length
        self._seed = seed

    def measure(self, workload: Workload, running: Running, round_: int) -> Sample:
        """Measure once; raises WorkloadFailed."""
        measure: Callable[[Workload, Running], tuple[float | None, dict[str, float]]]
        match workload.kind:
            case "start":
                measure = self._start
            case "idle":
                measure = self._idle
            case "slow":
                measure = self._slow
            case _:
                measure = self._cpu
        cost, detail = measure(workload, running)
        return Sample(workload.name, running.contender.name, round_, cost, detail)

    def _cpu(self, workload: Workload, running: Running) -> tuple[float | None, dict[str, float]]:
        self._begin(workload, running)
        busy, used = cores(), self._used(running)
        started = time.monotonic()
        reply = self._generator.go(self._length.window)
        wall = time.monotonic() - started
        used = self._used(running).since(used)
        busy_now = cores()
        self._generator.end()
        detail = {
            "per_second": reply.units / reply.seconds,
            "p50_us": reply.p50,
            "p99_us": reply.p99,
            "load_cpu": reply.load_cpu,
        }
        if pinned := self._cores.pinned:
            ours = used.total + reply.load_cpu * reply.seconds
            total = sum(busy_now[core][0] - busy[core][0] for core in pinned)
            stolen = sum(busy_now[core][1] - busy[core][1] for core in pinned)
            detail["elsewhere"] = max(0.0, total + stolen - ours) / wall / len(pinned)
        if running.pid is None:
            return None, detail
        detail["proxy_cpu"] = used.total / wall
        if used.user + used.system > 0:
            detail["user_share"] = used.user / (used.user + used.system)
        return used.total * 1e6 / reply.units, detail

    def _idle(self, workload: Workload, running: Running) -> tuple[float, dict[str, float]]:
        self._warm_up(workload, running)
        time.sleep(SETTLE_SECONDS)
        self._begin(workload, running)
        before = _memory(running).resident
        reply = self._generator.go(0)
        time.sleep(SETTLE_SECONDS)
        after = _memory(running).resident
        self._generator.end()
        detail = {"base_mb": before / 1e6, "open_seconds": reply.seconds}
        return (after - before) / workload.connections / 1024, detail

    def _slow(self, workload: Workload, running: Running) -> tuple[float, dict[str, float]]:
        self._warm_up(workload, running)
        time.sleep(SETTLE_SECONDS)
        self._begin(workload, running)
        before = peak = _memory(running).resident

        def watch() -> None:
            nonlocal peak
            peak = max(peak, _memory(running).resident)

        reply = self._generator.go(self._length.slow_window, watch)
        watch()
        self._generator.end()
        detail = {
            "base_mb": before / 1e6,
            "pushed_mb": reply.pushed / 1e6,
            "read_mb": reply.taken / 1e6,
        }
        return (peak - before) / 1e6, detail

    def _start(self, workload: Workload, running: Running) -> tuple[float, dict[str, float]]:
        time.sleep(_IDLE_SECONDS)
        held = _memory(running)
        return running.ready_seconds, {
            "idle_mb": held.resident / 1e6,
            "share_mb": held.share / 1e6,
        }

    def _begin(self, workload: Workload, running: Running, **other: object) -> None:
        contender = running.contender
        settings: dict[str, object] = {
            "kind": workload.kind,
            "port": running.port,
            "connections": workload.connections,
            "warm": self._length.warm,
            "window": self._length.slow_window if workload.kind == "slow" else self._length.window,
            "rate": workload.rate,
            "seed": self._seed,
            "exact": int(contender.exact),
        }
        request = payloads.request(
            running.port,
            contender.path,
            contender.headers,
            body_size=workload.body_size,
            stream=workload.streams,
        )
        self._generator.run(request, **{**settings, **other})

    def _warm_up(self, workload: Workload, running: Running) -> None:
        """A few ordinary streams first: what is loaded once is nobody's growth."""
        self._begin(workload, running, kind="lockstep", connections=8, window=self._length.warm)
        self._generator.go(self._length.warm)
        self._generator.end()

    def _used(self, running: Running) -> CpuTime:
        return CpuTime(0.0, 0.0, 0.0) if running.pid is None else cpu_time(running.pid)


def _memory(running: Running) -> Memory:
    assert running.pid is not None
    return memory(running.pid)
