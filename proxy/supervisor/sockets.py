"""The listening sockets of several workers.

The supervisor keeps all of them open, so that none is lost with a worker: what comes in for one
that is gone waits in the kernel for its follower, or for whoever accepts in its place meanwhile.
"""

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator

from proxy.config.address import ListenAddress
from proxy.config.load import Loaded
from proxy.listener import Bind, Listener
from proxy.listening import Plan

Rest = Callable[[ListenAddress], list[socket.socket]]
"""The sockets beside the first that listen at an address already."""


class Sockets:
    """Of each TCP address a socket for each place, between which the kernel shares out what comes
    in (SO_REUSEPORT, socket(7)); of a unix socket, one for all."""

    def __init__(self, places: int, bind: Bind, rest: Rest) -> None:
        self.admin: Listener | None = None
        self._places = places
        self._bind = bind
        self._rest = rest
        self._data: dict[Listener, list[list[socket.socket]]] = {}
        """By place; a place may have several, of a proxy that had more workers."""

    @property
    def open(self) -> list[Listener]:
        """What is listened at now."""
        return [*self._data, *([] if self.admin is None else [self.admin])]

    @property
    def data_urls(self) -> list[str]:
        """Where clients connect."""
        return [listener.url for listener in self._data]

    @property
    def admin_url(self) -> str | None:
        """Where operators connect."""
        return None if self.admin is None else self.admin.url

    def plan(self, loaded: Loaded) -> "Planned":
        """Open what a configuration asks for and is not open. Raises ConfigError."""
        plan = Plan.make(loaded, self.open, self._bind)
        planned = Planned(plan, loaded)
        try:
            for listener in plan.data:
                if listener not in self._data:
                    planned.added[listener] = self._spread(listener)
        except BaseException:
            planned.drop()
            raise
        return planned

    def carry_out(self, planned: "Planned") -> Listener | None:
        """Have what was planned, and close what else clients connect to.

        Returns the listener of operators that is wanted no longer.
        """
        before, self._data = self._data, {}
        server = planned.loaded.settings.server
        for listener, config in zip(planned.plan.data, server.listen, strict=True):
            listener.tls = config.tls
            known = listener in before
            self._data[listener] = before.pop(listener) if known else planned.added[listener]
        for listener, socks in before.items():
            _close(listener, socks)
        admin, self.admin = self.admin, planned.plan.admin
        if self.admin is not None and server.admin_listen is not None:
            self.admin.tls = server.admin_listen.tls
        return None if admin is self.admin else admin

    def of(self, place: int) -> Iterator[tuple[ListenAddress, list[socket.socket]]]:
        """What the worker at a place accepts on."""
        for listener, socks in self._data.items():
            yield listener.address, socks[place]

    def every(self) -> Iterator[tuple[Listener, list[socket.socket]]]:
        """Every socket once, by what is listened at."""
        for listener, socks in self._data.items():
            yield listener, list({sock.fileno(): sock for some in socks for sock in some}.values())
        if self.admin is not None:
            yield self.admin, [self.admin.sock]

    def own(self) -> None:
        """Take the files of unix sockets away once they are closed."""
        for listener in self.open:
            listener.own()

    def leave(self) -> None:
        """Leave the files of unix sockets to another process that listens there, too."""
        for listener in self.open:
            listener.leave()

    def close(self) -> None:
        """Close what clients connect to; operators go on."""
        for listener, socks in self._data.items():
            _close(listener, socks)
        self._data.clear()

    def _spread(self, listener: Listener) -> list[list[socket.socket]]:
        """Sockets for each place at the address at which one is open."""
        socks = [listener.sock, *self._rest(listener.address)]
        if listener.sock.family != socket.AF_UNIX and sys.platform == "linux":
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # A socket of another user, handed to us, shares its address with nobody.
            with contextlib.suppress(OSError):
                while len(socks) < self._places:
                    socks.append(_another(listener.sock))
        return [
            socks[place :: self._places] or [socks[place % len(socks)]]
            for place in range(self._places)
        ]


class Planned:
    """A plan, with all the sockets of what it adds."""

    def __init__(self, plan: Plan, loaded: Loaded) -> None:
        self.plan = plan
        self.loaded = loaded
        self.added: dict[Listener, list[list[socket.socket]]] = {}

    def drop(self) -> None:
        """Close what was added."""
        for listener, socks in self.added.items():
            _close(listener, socks)
        self.plan.drop()


def _another(sock: socket.socket) -> socket.socket:
    """One more socket that is bound where this one is.

    It listens once somebody accepts on it: a start that fails must not have let anybody wait.
    """
    made = socket.socket(sock.family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(sock.getsockname())
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _close(listener: Listener, socks: list[list[socket.socket]]) -> None:
    for some in socks:
        for sock in some:
            sock.close()
    listener.close()
