"""What a service manager hands to a process, and what it is told: systemd's protocols.

Sockets that it opened come as descriptors from 3 on (sd_listen_fds(3)); the state of the process
goes, one line a fact, in datagrams to a socket that it names (sd_notify(3)).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""


def handed_over(environ: Mapping[str, str]) -> dict[int, str]:
    """The descriptors of sockets that were opened for this process, with their names."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = range(FIRST, FIRST + int(count))
    return {fd: names[at] if at < len(names) else "" for at, fd in enumerate(found)}


def hand_on(environ: MutableMapping[str, str]) -> None:
    """Have a process that was just forked take what was handed over to its parent for its own.

    Both find the same sockets in their configuration, then.
    """
    if environ.get("LISTEN_PID") == str(os.getppid()):
        environ["LISTEN_PID"] = str(os.getpid())


class Notifier:
    """Tells the service manager how this process fares; tells nobody where none asked."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises nothing: a service that cannot be heard still serves."""
        self._socket: socket.socket | None = None
        address = environ.get("NOTIFY_SOCKET", "")
        if address.startswith(("/", "@")):
            self._address = address.replace("@", "\0", 1) if address[0] == "@" else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        limit = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog = int(limit) / 1e6 if mine and limit.isdecimal() else 0.0
        """Seconds within which it wants to hear that the process is alive; 0: it does not ask."""

    def ready(self, status: str) -> None:
        """It has started, or it has reloaded."""
        self._tell("READY=1", f"STATUS={' '.join(status.split())}")

    def main(self) -> None:
        """This process is the service's main one from now on, whoever was started as that."""
        self._tell(f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """It reloads, until it says that it is ready."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within: float) -> None:
        """It shuts down, which may take so many seconds."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within * 1e6)}")

    def alive(self) -> None:
        """Its loop turns."""
        self._tell("WATCHDOG=1")

    async def keep_alive(self) -> None:
        """Say that the loop turns, twice in the time that the service manager waits; for ever."""
        while self.watchdog:
            self.alive()
            await asyncio.sleep(self.watchdog / 2)

    def _tell(self, *facts: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(facts).encode(), self._address)
