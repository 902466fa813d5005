"""Listening: which sockets are open, and who serves the connections that come in there.

A reload keeps the sockets whose address is unchanged, with all their connections. Each socket for
clients has a server of its own, so that one can go while the others stay.
"""

import asyncio
import socket
from collections.abc import Callable

from proxy.admin import Admin, Operated
from proxy.config.address import ListenAddress
from proxy.config.load import Loaded
from proxy.config.sections import ServerConfig
from proxy.downstream import Limits
from proxy.errors import ConfigError
from proxy.listener import Bind, Listener
from proxy.pipeline import Pipeline
from proxy.server import Server
from proxy.tasks import spawn


class Plan:
    """The sockets that a configuration asks for; the new ones wait for somebody to serve them."""

    __slots__ = ("_bind", "_changed", "_opened", "_shared", "admin", "data")

    def __init__(self, bind: Bind) -> None:
        """:meth:`make` makes one."""
        self.data: list[Listener] = []
        self.admin: Listener | None = None
        self._bind = bind
        self._opened: list[Listener] = []
        self._changed: list[tuple[Listener, ListenAddress]] = []
        self._shared: list[Listener] = []

    @classmethod
    def make(cls, loaded: Loaded, there: list[Listener], bind: Bind) -> "Plan":
        """Open what a configuration asks for and is not `there`. Raises ConfigError."""
        server, security = loaded.settings.server, loaded.settings.security
        there = list(there)
        wanted = [("listen", config, config.parsed()) for config in server.listen]
        if server.admin_listen is not None:
            wanted.append(("admin_listen", server.admin_listen, server.admin_listen.parsed()))
        plan = cls(bind)
        found: list[Listener | None] = []
        try:
            for key, _, address in wanted:
                known = next((one for one in there if one.address.place == address.place), None)
                found.append(known)
                if known is not None:
                    there.remove(known)
                    plan._keep(known, address, loaded.at("server", key))
            for (key, config, address), known in zip(wanted, found, strict=True):
                place = loaded.at("server", key)
                listener = known or plan._open(address, place, there)
                if key == "admin_listen":
                    plan.admin = listener
                    continue
                plan.data.append(listener)
                open_to_all = not (listener.loopback or config.identifies)
                if open_to_all and not security.allow_unauthenticated:
                    what = f"{address} is {listener.url}, and clients are not authenticated"
                    raise ConfigError([f"{place}: {what}"])
        except BaseException:
            plan.drop()
            raise
        return plan

    def drop(self) -> None:
        """Close the new ones, and have all others as they were: this comes to nothing."""
        for listener in self._opened:
            listener.close()
        for listener in self._shared:
            listener.share(False)
        for listener, address in self._changed:
            listener.permit(address, str(address))

    def _keep(self, listener: Listener, address: ListenAddress, key: str) -> None:
        """Go on with a socket that is open; who may connect may have changed."""
        if listener.address != address:
            self._changed.append((listener, listener.address))
            listener.permit(address, key)

    def _open(self, address: ListenAddress, key: str, leaving: list[Listener]) -> Listener:
        """A new socket; those that are `leaving` may still have a part of its address."""
        overlaps = [one for one in leaving if address.port and one.address.port == address.port]
        for one in overlaps:
            one.share(True)
        self._shared += overlaps
        listener = self._bind(address, key, share=bool(overlaps))
        self._opened.append(listener)
        return listener


class Listening:
    """The open sockets of one proxy."""

    def __init__(self, pipeline: Callable[[], Pipeline], operated: Operated, bind: Bind) -> None:
        """`pipeline` gives the one to use for the next request, `operated` is for operators."""
        self._pipeline = pipeline
        self._operated = operated
        self._bind = bind
        self._servers: dict[Listener, Server] = {}
        self._leaving: set[Server] = set()
        """Whose socket is closed."""
        self._admins: dict[Listener, Admin] = {}

    @property
    def servers(self) -> list[Server]:
        """Those that serve clients, to their end."""
        return [*self._servers.values(), *self._leaving]

    @property
    def open(self) -> list[Listener]:
        """The sockets that are served."""
        return [*self._servers, *self._admins]

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(server.connections for server in self.servers)

    @property
    def data_urls(self) -> list[str]:
        """Where clients connect."""
        return [listener.url for listener in self._servers]

    @property
    def admin_url(self) -> str | None:
        """Where operators connect."""
        return next((listener.url for listener in self._admins), None)

    def plan(self, loaded: Loaded) -> Plan:
        """Open what a configuration asks for and is not open. Raises ConfigError."""
        return Plan.make(loaded, self.open, self._bind)

    async def serve(self, plan: Plan, settings: ServerConfig) -> None:
        """Serve on the sockets of the plan, and soon on no others."""
        limits = Limits(
            max_body_size=settings.max_body_size,
            head_timeout=settings.head_timeout,
            body_timeout=settings.body_timeout,
            keepalive_timeout=settings.keepalive_timeout,
        )
        servers, self._servers = self._servers, {}
        for listener, config in zip(plan.data, settings.listen, strict=True):
            listener.tls = config.tls
            known = servers.pop(listener, None)
            self._servers[listener] = server = known or Server(self._pipeline, limits)
            server.change(limits, listener.tls)
            if known is None:
                await server.listen(listener.sock)
        admins, self._admins = self._admins, {}
        if plan.admin is not None and settings.admin_listen is not None:
            plan.admin.tls = settings.admin_listen.tls
            there = admins.pop(plan.admin, None)
            admin = there or Admin(self._operated, trusted=plan.admin.loopback)
            self._admins[plan.admin] = admin
            admin.change(plan.admin.tls)
            if there is None:
                await admin.listen(plan.admin.sock)
        for listener, gone in servers.items():
            gone.stop_listening()
            listener.close()
            self._leaving.add(gone)
            spawn(self._retire(gone), f"close {listener.url}")
        for listener, old in admins.items():
            spawn(_close(listener, old), f"close {listener.url}")

    async def accept(self, address: ListenAddress, sock: socket.socket) -> Callable[[], None]:
        """Accept on a further socket what comes in for an address that is served.

        What is returned ends that. The socket is closed at once where nobody serves the address.
        """
        for listener, server in self._servers.items():
            if listener.address.place == address.place:
                return await server.listen(sock)
        sock.close()
        return sock.close

    async def hand_over(self) -> None:
        """Leave the sockets, and operators, to another process that has the sockets, too."""
        for listener in (*self._servers, *self._admins):
            listener.leave()
        admins, self._admins = self._admins, {}
        for listener, admin in admins.items():
            await _close(listener, admin)

    def wind_down(self) -> None:
        """Have each connection of a client close after its response."""
        for server in self._servers.values():
            server.wind_down()

    def stop(self, linger: float = 0.0) -> None:
        """Accept no client any more; connections on which nothing was asked are closed.

        For `linger` seconds such a connection may still be used, once.
        """
        for listener, server in self._servers.items():
            server.stop_listening(linger)
            listener.close()

    async def emptied(self) -> None:
        """Return once no client is connected."""
        while self.connections:
            for server in self.servers:
                await server.emptied()

    async def close(self, limit: float) -> None:
        """Close every socket and every connection; what is still to be sent may take `limit` s."""
        await asyncio.gather(*(server.close(limit) for server in self.servers))
        for listener in self._servers:
            listener.close()
        for listener, admin in self._admins.items():
            await _close(listener, admin)
        self._servers, self._admins = {}, {}

    async def _retire(self, server: Server) -> None:
        """Wait for the connections to end that came by a socket which is closed."""
        await server.emptied()
        self._leaving.discard(server)
        await server.close(0.0)


async def _close(listener: Listener, admin: Admin) -> None:
    await admin.close()
    listener.close()
