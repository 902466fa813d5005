"""All measurements: every workload, in interleaved rounds of random order."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench import payloads
from bench.certificates import Certificates
from bench.contenders import Contender, Place
from bench.figures import Failure, Sample
from bench.generator import Generator, WorkloadFailed
from bench.measure import Meter
from bench.options import Options
from bench.process import Cores, Running, free_port, running
from bench.workloads import Workload

ROUNDS_PER_START = 3
"""Contenders that run on are started anew so often: one process may be lucky in its layout."""


class Results(msgspec.Struct):
    """What came of everything."""

    samples: list[Sample] = []
    failures: list[Failure] = []
    left_out: list[str] = []
    """Workloads without figures, with the reason."""


class OutOfTime(Exception):
    """The pass has used up its time."""


class Rounds:
    """Runs the chosen workloads against the chosen contenders."""

    def __init__(
        self,
        options: Options,
        generator: Generator,
        cores: Cores,
        folder: Path,
        certificates: Certificates | None,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._generator = generator
        self._cores = cores
        self._folder = folder
        self._ca = certificates.ca if certificates else folder / "ca.pem"
        self._meter = Meter(generator, cores, options.length, options.seed)
        self._random = random.Random(options.seed)
        self._say = say
        self._deadline = time.monotonic() + options.budget
        self._dead: set[tuple[str, bool]] = set()
        """Contenders that did not start, before a TLS upstream or not: once is enough."""
        self.results = Results()

    def run(self) -> None:
        """Measure it all, or as much as there is time for; it adds to `results`."""
        for workload in self._options.workloads:
            if workload.tls and not self._generator.tls_port:
                self.results.left_out.append(f"{workload.name}: no TLS upstream")
                continue
            self._say(workload.name)
            try:
                if workload.fresh:
                    self._run_fresh(workload)
                else:
                    self._run_kept(workload)
            except OutOfTime:
                self.results.left_out.append(f"{workload.name}: the time was up, at least in part")

    def place(self, contender: Contender, *, tls: bool) -> Place:
        """Where a contender listens, and what is behind it."""
        return Place(
            free_port(),
            self._generator.tls_port if tls else self._generator.plain_port,
            tls,
            self._ca,
            self._folder / contender.name,
        )

    def _run_kept(self, workload: Workload) -> None:
        rounds = self._options.rounds
        for first in range(0, rounds, ROUNDS_PER_START):
            with contextlib.ExitStack() as stack:
                started = [
                    one
                    for contender in self._contenders(workload)
                    if (one := self._start(stack, workload, contender, first)) is not None
                ]
                for round_ in range(first, min(first + ROUNDS_PER_START, rounds)):
                    self._random.shuffle(started)
                    for one in started:
                        self._measure(workload, one, round_)

    def _run_fresh(self, workload: Workload) -> None:
        contenders = [one for one in self._contenders(workload) if one.command]
        if workload.kind == "start":
            for contender in contenders:
                # The first start reads files that no other one has to: it does not count.
                with contextlib.ExitStack() as stack:
                    self._start(stack, workload, contender, 0)
            rounds = 2 * self._options.memory_rounds + 1
        else:
            rounds = self._options.memory_rounds
        for round_ in range(rounds):
            self._random.shuffle(contenders)
            for contender in contenders:
                with contextlib.ExitStack() as stack:
                    one = self._start(stack, workload, contender, round_)
                    if one is not None:
                        self._measure(workload, one, round_)

    def _contenders(self, workload: Workload) -> Iterator[Contender]:
        """`direct` speaks no TLS: its upstream is what it would be compared with."""
        for contender in self._options.contenders:
            fits = not contender.workloads or workload.name in contender.workloads
            if fits and (contender.command or not workload.tls):
                yield contender

    def _start(
        self, stack: contextlib.ExitStack, workload: Workload, contender: Contender, round_: int
    ) -> Running | None:
        if time.monotonic() > self._deadline:
            raise OutOfTime
        if (contender.name, workload.tls) in self._dead:
            return None
        place = self.place(contender, tls=workload.tls)
        probe = payloads.request(
            place.port, contender.path, contender.headers, body_size=512, stream=False
        )
        try:
            return stack.enter_context(running(contender, place, self._cores, probe.data))
        except WorkloadFailed as failed:
            self._failed(workload, contender, round_, failed)
            self._dead.add((contender.name, workload.tls))
            return None

    def _measure(self, workload: Workload, one: Running, round_: int) -> None:
        if time.monotonic() > self._deadline:
            raise OutOfTime
        try:
            self.results.samples.append(self._meter.measure(workload, one, round_))
        except WorkloadFailed as failed:
            self._failed(workload, one.contender, round_, failed)

    def _failed(
        self, workload: Workload, contender: Contender, round_: int, failed: WorkloadFailed
    ) -> None:
        reason = str(failed)
        self._say(f"  {contender.name}: {reason}")
        self.results.failures.append(Failure(workload.name, contender.name, round_, reason))
