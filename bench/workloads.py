"""What is measured: each workload, and the definition of its figure."""

from typing import Literal

import msgspec

Kind = Literal["unary", "open", "lockstep", "paced", "idle", "slow", "start"]

CPU = "CPU µs"
MEMORY = "KB"
GROWTH = "MB"
START = "s"
RELATIVE = (CPU, MEMORY)
"""Units of figures that say more as a ratio."""


class Workload(msgspec.Struct, frozen=True):
    """One workload. Its figure (`cost`) is in `unit` per `per`; less is better."""

    name: str
    kind: Kind
    title: str
    unit: str
    per: str
    definition: str
    connections: int = 1
    body_size: int = 2048
    rate: float = 0.0
    """A second: requests in all (open), events of each stream (paced), bytes read (slow)."""
    tls: bool = False
    """The upstream speaks TLS."""
    quick: bool = True
    """It is part of the quick pass."""

    @property
    def fresh(self) -> bool:
        """Each measurement wants a process that has done nothing yet."""
        return self.kind in ("idle", "slow", "start")

    @property
    def streams(self) -> bool:
        """Its requests ask for streams."""
        return self.kind in ("lockstep", "paced", "idle", "slow")


_REQUEST = (
    "user and system time of the proxy's processes from a moment of rest to the next, divided by "
    "the requests answered between them; every answer is compared with what the mock sent"
)
_EVENT = (
    "user and system time of the proxy's processes from a moment of rest to the next, divided by "
    "the events that arrived between them; every event is compared with what the mock sent"
)
_LOCKSTEP = f"the mock sends a stream's next event when its client has the last one; {_EVENT}"
_IDLE = (
    "resident memory with all streams open and silent (four events each, half a second of rest), "
    "less that before the first, divided by the streams; kernel buffers are not in it"
)

WORKLOADS = (
    Workload(
        "unary-2k",
        "unary",
        "unary, 2 KB request, 1 KB answer, 32 connections",
        CPU,
        "request",
        f"closed loop: {_REQUEST}",
        connections=32,
    ),
    Workload(
        "unary-200k",
        "unary",
        "unary, 200 KB request, 1 KB answer, 32 connections",
        CPU,
        "request",
        f"closed loop: {_REQUEST}",
        connections=32,
        body_size=200 * 1024,
    ),
    Workload(
        "unary-2k-tls",
        "unary",
        "unary 2 KB, TLS upstream",
        CPU,
        "request",
        f"closed loop, upstream in TLS 1.3: {_REQUEST}",
        connections=32,
        tls=True,
    ),
    Workload(
        "unary-200k-tls",
        "unary",
        "unary 200 KB, TLS upstream",
        CPU,
        "request",
        f"closed loop, upstream in TLS 1.3: {_REQUEST}",
        connections=32,
        body_size=200 * 1024,
        tls=True,
        quick=False,
    ),
    Workload(
        "lockstep",
        "lockstep",
        "lock-step stream, 50 streams",
        CPU,
        "event",
        _LOCKSTEP,
        connections=50,
    ),
    Workload(
        "lockstep-tls",
        "lockstep",
        "lock-step stream, TLS upstream",
        CPU,
        "event",
        f"upstream in TLS 1.3; {_LOCKSTEP}",
        connections=50,
        tls=True,
    ),
    Workload(
        "paced",
        "paced",
        "paced, 200 streams at 100 events/s",
        CPU,
        "event",
        f"events leave on a schedule, latency counts from the scheduled time; {_EVENT}",
        connections=200,
        rate=100,
    ),
    Workload(
        "unary-open",
        "open",
        "unary 2 KB, open loop, 1000 requests/s",
        CPU,
        "request",
        "requests leave on a Poisson schedule over at most 256 connections, latency counts from "
        f"the scheduled time; {_REQUEST}",
        connections=256,
        rate=1000,
    ),
    Workload(
        "idle-1000",
        "idle",
        "memory of an idle stream, 1000 open",
        MEMORY,
        "stream",
        _IDLE,
        connections=1000,
    ),
    Workload(
        "idle-5000",
        "idle",
        "memory of an idle stream, 5000 open",
        MEMORY,
        "stream",
        _IDLE,
        connections=5000,
        quick=False,
    ),
    Workload(
        "slow-reader",
        "slow",
        "memory growth, 50 MB pushed at a slow reader",
        GROWTH,
        "run",
        "highest resident memory while the mock pushes 50 MB of events as fast as its socket takes "
        "them at one client that reads 1.5 MB/s, less that before the stream",
        rate=1_500_000,
    ),
    Workload(
        "start",
        "start",
        "start to ready",
        START,
        "start",
        "from exec to the end of the first proxied answer, asked for every millisecond; the memory "
        "is what is resident 0.3 s later (Pss: what several processes share, counted in parts)",
    ),
)
