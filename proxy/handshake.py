"""TLS for connections that are accepted: their protocols, each with the certificate of then.

What asyncio does for ``create_server(ssl=…)`` lacks three things: the certificate cannot be
changed while it listens, a client that is refused is not told why (the alert stays unsent), and
nobody hears of it. So a gate makes uvloop's own TLS protocol for each connection itself.

What is used of uvloop beyond its documented interface (tests/e2e/test_tls_hooks.py holds it to
that):

| hook | contract |
|---|---|
| ``loop.SSLProtocol(loop, protocol, context, waiter, server_side, …)`` | may be extended |
| ``SSLProtocol.connection_made(transport)`` | calls ``context.wrap_bio(incoming, outgoing, …)`` |
| ``do_handshake()`` of what that returns | is called while the connection is open |
| ``unwrap()`` of what that returns | is called once all is sent; then the connection is closed |
| ``get_extra_info("uvloop.sslproto")`` of the TLS transport | that protocol |
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol, cast

from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # has no type there

from proxy.certificates import ServerContext, reason
from proxy.units import clock

_log = logging.getLogger("proxy")


class Terms(Protocol):
    """On what terms connections are accepted, looked at for each."""

    @property
    def context(self) -> ServerContext:
        """The certificate, and what is asked of clients."""

    @property
    def handshake_timeout(self) -> float:
        """Seconds until a connection has to be open."""


class Gate:
    """Makes the protocol of each connection that is accepted, behind TLS if there are terms."""

    __slots__ = ("_closing_seconds", "_factory", "_over", "opening", "terms")

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        over: Callable[[], None],
        closing_seconds: float,
    ) -> None:
        """`factory` makes what is inside, `over` is called behind each handshake.

        `closing_seconds` is how long a close may take.
        """
        self.terms: Terms | None = None
        """Of the next connection; None: it is plain."""
        self._factory = factory
        self._over = over
        self._closing_seconds = closing_seconds
        self.opening: set[Accepted] = set()
        """Those whose handshake is not over."""

    def __call__(self) -> asyncio.BaseProtocol:
        terms = self.terms
        if terms is None:
            return self._factory()
        made = Accepted(self._factory(), terms, self._closing_seconds, self._opened)
        self.opening.add(made)
        return made

    def abort(self, before: float = math.inf) -> None:
        """Cut off those whose handshake is not over, if it began `before` then."""
        for accepted in tuple(self.opening):
            if accepted.since < before:
                accepted.abort()

    def _opened(self, accepted: "Accepted") -> None:
        self.opening.discard(accepted)
        self._over()


class Accepted(SSLProtocol):  # type: ignore[misc]  # has no type there
    """The TLS of a connection that was accepted."""

    below: asyncio.Transport | None
    """The connection itself."""

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        terms: Terms,
        closing_seconds: float,
        opened: "Callable[[Accepted], None]",
    ) -> None:
        """`opened` is called once the handshake is over, however it ended."""
        loop, context = asyncio.get_running_loop(), terms.context
        handshake: asyncio.Future[None] = loop.create_future()
        super().__init__(
            loop,
            protocol,
            context,
            handshake,
            server_side=True,
            ssl_handshake_timeout=terms.handshake_timeout,
            ssl_shutdown_timeout=closing_seconds,
        )
        self.below = None
        self.since = clock()
        self._context = context
        self._aborted = False
        self._opened = opened
        handshake.add_done_callback(self._over)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.below = self._context.below = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        if self._aborted:
            self.below.abort()

    def abort(self) -> None:
        """Cut the connection off."""
        self._aborted = True
        if self.below is not None:
            self.below.abort()

    def _over(self, handshake: "asyncio.Future[None]") -> None:
        self._opened(self)
        error = handshake.exception()
        if error is not None:
            peer = None if self.below is None else self.below.get_extra_info("peername")
            left = isinstance(error, (ConnectionResetError, BrokenPipeError))
            level = logging.DEBUG if left else logging.INFO
            _log.log(level, "no TLS with %s: %s", _spelled(peer), reason(error))


def _spelled(peer: object) -> str:
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "a client"
