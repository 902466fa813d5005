"""A credential that a program prints, run again before what it printed expires."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Meta

from proxy.token import Secret
from proxy.tokens._held import MAX_BYTES, Held
from proxy.tokens._refreshed import Refreshed
from proxy.units import Duration, format_duration, parse_duration


class Exec(Refreshed, Held):
    """What a program prints, written ``"exec:program argument …"`` for short.

    No shell reads the command. A last line break is no part of the credential; what the program
    says on stderr is not kept.
    """

    command: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="The program and its arguments.",
            examples=[["vault", "read", "-field=key", "secret/openai"]],
        ),
    ]
    expires: Annotated[
        Duration | None,
        Meta(
            description="How long what it prints is good for: it runs again before that. "
            "Absent: for ever.",
            examples=["15m"],
        ),
    ] = None
    timeout: Annotated[Duration, Meta(description="How long it may run.")] = parse_duration("10s")

    patient = False

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The token that ``"exec:program argument …"`` spells, in words as a shell's."""
        return cls(command=tuple(shlex.split(text)))

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError("no program is named")
        if not self.timeout:
            raise ValueError('`timeout` cannot be "0s": a program that hangs would never be ended')
        if self.expires and self.expires < 1:
            raise ValueError("`expires` cannot be shorter than a second")

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        name = self.command[0]
        if "/" in name:
            program = os.path.join(directory, name)
            found = os.path.isfile(program) and os.access(program, os.X_OK)
        else:
            program = shutil.which(name, path=environ.get("PATH", os.defpath)) or ""
            found = bool(program)
        if not found:
            raise ValueError(f"{name} is no program that can be run")
        self._argv = (program, *self.command[1:])
        self._environ = dict(environ)

    async def renew(self) -> float | None:
        self.hold(await self.run())
        return self.expires

    async def run(self) -> Secret:
        """Run the program; raises ValueError, with nothing that it printed, if that fails."""
        name = self.command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=DEVNULL,
                env=self._environ,
                start_new_session=True,
            )
        except OSError as error:
            raise ValueError(f"{name} cannot be run: {error.strerror}") from None
        ended = False
        try:
            async with asyncio.timeout(self.timeout):
                data = await _output(process)
                if len(data) <= MAX_BYTES:
                    status = await process.wait()
                    ended = True
        except TimeoutError:
            limit = format_duration(self.timeout)
            raise ValueError(f"{name} did not end within {limit}, and was killed") from None
        finally:
            if not ended:
                await _kill(process)
        if ended and status:
            raise ValueError(f"{name} failed ({_spelled(status)})")
        return self.decoded(data, f"what {name} prints")


async def _output(process: Process) -> bytes:
    """What a program prints until it closes its output, or has printed too much."""
    assert process.stdout is not None
    data = b""
    while len(data) <= MAX_BYTES and (piece := await process.stdout.read(MAX_BYTES)):
        data += piece
    return data


async def _kill(process: Process) -> None:
    """End a program, and what it started: a session of its own is a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _spelled(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
