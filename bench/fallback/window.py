"""What flows between two moments of rest, and how long it took."""

import asyncio
import math
import time

from bench.fallback.stream import Run, Stream
from bench.generator import Reply

PATIENCE = 10.0
"""Seconds for what should take milliseconds."""


class Latencies:
    """Of one window, in seconds."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._all: list[float] = []
        self._began = time.monotonic()
        self._cpu = time.process_time()

    def add(self, seconds: float) -> None:
        self._all.append(max(0.0, seconds))

    def reply(self, *, pushed: int = 0, taken: int = 0) -> Reply:
        """What `go` is answered with."""
        seconds = time.monotonic() - self._began
        ordered = sorted(self._all) or [0.0]

        def at(share: float) -> float:
            return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1e6

        return Reply(
            "done",
            units=len(self._all),
            seconds=seconds,
            load_cpu=(time.process_time() - self._cpu) / seconds,
            mean=sum(ordered) / len(ordered) * 1e6,
            p50=at(0.5),
            p90=at(0.9),
            p99=at(0.99),
            max=ordered[-1] * 1e6,
            pushed=pushed,
            taken=taken,
        )


class Window:
    """Events under way between two moments of rest."""

    def __init__(self, run: Run, streams: list[Stream], latencies: Latencies) -> None:
        self._run = run
        self._streams = streams
        self._latencies = latencies
        self._until = 0.0
        self._due: dict[int, list[float]] = {}
        self._resting = 0
        self.opened = asyncio.Event()
        self._rest = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """Let events flow for so long; returns when all that were sent have arrived."""
        now = time.monotonic()
        self._until = now + seconds
        self._resting = 0
        self._rest.clear()
        if self._run.kind == "lockstep":
            for stream in self._streams:
                stream.send()
        else:
            self._due = {stream.number: [] for stream in self._streams}
            await self._send_on_schedule(now)
        async with asyncio.timeout(seconds + PATIENCE):
            await self._rest.wait()

    async def _send_on_schedule(self, began: float) -> None:
        count = len(self._streams)
        step = 1.0 / (self._run.rate * count)
        total = math.ceil((self._until - began) / step)
        for n in range(total):
            due = began + n * step
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            stream = self._streams[n % count]
            self._due[stream.number].append(due)
            stream.send()
        self._until = 0.0
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self._until == 0.0 and not any(self._due.values()):
            self._rest.set()

    def seen(self, stream: Stream) -> None:
        """A frame arrived."""
        if stream.seen == 1:
            self._resting += 1
            if self._resting == len(self._streams):
                self.opened.set()
            return
        now = time.monotonic()
        if self._run.kind == "paced":
            self._latencies.add(now - self._due[stream.number].pop(0))
            self._check_schedule()
            return
        self._latencies.add(now - stream.sent_at)
        if stream.seen < stream.sent:
            return
        if now < self._until:
            stream.send()
            return
        self._resting += 1
        if self._resting == len(self._streams):
            self._rest.set()
