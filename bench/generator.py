"""The load generator's process: built if it must be, started, and driven by commands.

It is clients and mock provider in one thread; load/main.c describes the commands.
"""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from bench import payloads
from bench.certificates import Certificates

_NO_TLS = "no OpenSSL headers (libssl-dev): TLS workloads are left out"

SOURCES = Path(__file__).parent / "load"
_PATIENCE = 30.0
"""Seconds that a command may take beyond what it asks for; the generator gives up earlier."""


class WorkloadFailed(Exception):
    """A contender did not do what was asked of it; says what it did."""


class Reply(msgspec.Struct, frozen=True):
    """What the generator says to a command; latencies in microseconds."""

    state: str
    error: str = ""
    plain: int = 0
    tls: int = 0
    units: int = 0
    seconds: float = 0.0
    load_cpu: float = 0.0
    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    pushed: int = 0
    taken: int = 0


class Built(msgspec.Struct, frozen=True):
    """A load generator that can be started."""

    command: list[str]
    tls: bool
    notes: list[str]
    """What whoever reads the figures must know."""


def build(folder: Path) -> Built:
    """Compile the generator if its sources changed; where that fails it is the one in Python."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return _fallback("no C compiler")
    sources = sorted(SOURCES.glob("*.[ch]"))
    newest = max(source.stat().st_mtime for source in sources)
    error = ""
    for name, flags, tls in (
        ("load-tls", ["-DWITH_TLS", "-lssl", "-lcrypto"], True),
        ("load-plain", [], False),
    ):
        binary = folder / name
        built = Built([str(binary)], tls, [] if tls else [_NO_TLS])
        if binary.exists() and binary.stat().st_mtime >= newest:
            return built
        making = binary.with_suffix(f".{os.getpid()}")
        result = subprocess.run(
            [*compiler.split(), "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", str(making)]
            + [str(source) for source in sources if source.suffix == ".c"]
            + [*flags, "-lm"],
            capture_output=True,
            text=True,
        )
        if result.returncode == 0:
            making.replace(binary)
            return built
        error = result.stderr
    line = next((line for line in error.splitlines() if "error" in line), "it does not say why")
    return _fallback(f"the C compiler failed ({line})")


def _fallback(reason: str) -> Built:
    note = (
        f"{reason}: the load generator is the one in Python, which is at its limit before fast "
        "proxies are; CPU figures are the proxies', throughput and latency its own"
    )
    return Built([sys.executable, "-m", "bench.fallback"], tls=True, notes=[note])


class Generator:
    """A running load generator."""

    def __init__(self, built: Built, folder: Path, certificates: Certificates | None) -> None:
        """Start it in `folder`, where its payloads go."""
        payloads.write(folder)
        command = [*built.command, "."]
        if certificates is not None:
            command += [str(certificates.certificate), str(certificates.key)]
        self._folder = folder
        root = str(SOURCES.parent.parent)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root},
        )
        listening = self._reply(_PATIENCE)
        self.plain_port, self.tls_port = listening.plain, listening.tls

    def __enter__(self) -> "Generator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        with self._process:  # waits for it, and closes its pipes
            pass

    def run(self, request: payloads.Request, **settings: object) -> None:
        """Begin a run; returns when it is warm and at rest. Raises WorkloadFailed."""
        (self._folder / "request").write_bytes(request.data)
        words = {**settings, "stream_at": request.stream_at, "request": "request"}
        self._ask("run " + " ".join(f"{name}={value}" for name, value in words.items()), _PATIENCE)

    def go(self, seconds: float, watch: Callable[[], None] | None = None) -> Reply:
        """Run the window; returns when all is at rest again. Raises WorkloadFailed.

        Meanwhile `watch` is called every 20 ms.
        """
        return self._ask("go", seconds + 2 * _PATIENCE, watch)

    def end(self) -> None:
        """End all streams, and have each checked. Raises WorkloadFailed."""
        self._ask("end", _PATIENCE)

    def _ask(self, command: str, seconds: float, watch: Callable[[], None] | None = None) -> Reply:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        reply = self._reply(seconds, watch)
        if reply.state == "failed":
            raise WorkloadFailed(reply.error)
        return reply

    def _reply(self, seconds: float, watch: Callable[[], None] | None = None) -> Reply:
        """The next line. The generator sends no two lines at once."""
        stdout = self._process.stdout
        assert stdout is not None
        step = seconds if watch is None else 0.02
        while seconds > 0:
            if select.select([stdout], [], [], step)[0]:
                line = stdout.readline()
                if not line:
                    raise RuntimeError(f"the load generator ended: {self._process.wait()}")
                return msgspec.json.decode(line, type=Reply)
            seconds -= step
            if watch is not None:
                watch()
        raise RuntimeError("the load generator does not answer")
