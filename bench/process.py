"""A contender's process: started on a core of its own, probed until it answers, killed."""

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.accounting import family_of
from bench.contenders import Contender, Place
from bench.generator import WorkloadFailed

ROOT = Path(__file__).parent.parent

READY = "HTTP/1.1 200"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Cores(msgspec.Struct, frozen=True):
    """Which core the proxy has to itself, and which the load; None = all share the only one."""

    proxy: int | None
    load: int | None

    @property
    def pinned(self) -> list[int]:
        return [core for core in (self.proxy, self.load) if core is not None]


def choose_cores() -> Cores:
    """The first two cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run, and start processes, on one core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Running(msgspec.Struct, frozen=True):
    """A contender that answers; `direct` has no process."""

    contender: Contender
    port: int
    pid: int | None
    ready_seconds: float
    """From its start to the end of its first answer."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def running(contender: Contender, place: Place, cores: Cores, probe: bytes) -> Iterator[Running]:
    """Start a contender; it is killed on the way out.

    `probe` is a request that it must answer with 200. Raises WorkloadFailed.
    """
    if not contender.command:
        yield Running(contender, place.upstream_port, None, 0.0)
        return
    place.folder.mkdir(parents=True, exist_ok=True)
    for name, text in contender.files.items():
        (place.folder / name).write_text(place.fill(contender, text))
    log = place.folder / "log"
    started = time.monotonic()
    process = _start(contender, place, cores.proxy, log)
    try:
        deadline = started + contender.ready_timeout
        while not (answer := _ask(place.port, probe)).startswith(READY):
            if process.poll() is not None:
                raise WorkloadFailed(f"it ended with status {process.returncode}: {_last(log)}")
            if time.monotonic() > deadline:
                raise WorkloadFailed(
                    f"not ready after {contender.ready_timeout:g} s: {answer}; {_last(log)}"
                )
            time.sleep(0.001)
        ready_seconds = time.monotonic() - started
        if contender.spread and cores.pinned:
            _spread(process.pid, cores.pinned)
        yield Running(contender, place.port, process.pid, ready_seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.unlink(missing_ok=True)


def version(contender: Contender, place: Place) -> str:
    """What it says of its version, on one line."""
    if not contender.version:
        return ""
    command = [place.fill(contender, word) for word in contender.version]
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.strip() for line in result.stdout.splitlines() if line.strip()), "")


def _start(
    contender: Contender, place: Place, core: int | None, log: Path
) -> "subprocess.Popen[bytes]":
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    for name, text in contender.env.items():
        if value := place.fill(contender, text):
            env[name] = value
    command: Sequence[str] = [place.fill(contender, word) for word in contender.command]
    with on_core(core), log.open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=env,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )


def _spread(pid: int, cores: Sequence[int]) -> None:
    """Give each child of a process a core of its own, as long as there are some."""
    children = [one for one in family_of(pid) if one != pid]
    for child, core in zip(children, itertools.cycle(cores), strict=False):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(child, {core})


def _end_with_parent() -> None:
    """Between fork and exec: let the kernel end the contender if the benchmark is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ask(port: int, probe: bytes) -> str:
    """The status line of its answer, or why there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(probe)
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := sock.recv(65536)):
                    return "it closed the connection"
                data += more
            return data[: data.index(b"\r\n")].decode("latin-1")
    except OSError as error:
        return str(error)


def _last(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it said nothing"
