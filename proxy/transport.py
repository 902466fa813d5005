"""The upstream edge: makes connections to providers, and keeps them for the next request.

aiohttp's TCPConnector makes the connections (DNS with a bounded cache, happy eyeballs, TLS).
Once one stands, its protocol is ours (:class:`proxy.upstream.UpstreamConnection`), and idle ones
wait in a pool of ours.

What is used of aiohttp beyond its documented interface (tests/e2e/test_hooks.py holds each to it,
and aiohttp is pinned to the minor version they were tested with):

| hook | contract |
|---|---|
| ``TCPConnector.connect(req, traces, timeout)`` | a Connection, its protocol's transport open |
| ``ClientRequest(method, url, loop=…, ssl=…)`` | describes where to connect; nothing is sent |
| ``ClientRequest(…, server_hostname=…)`` | the name to ask for, and to verify |
| ``ClientRequest(…, proxy=…, proxy_headers=…)`` | through which HTTP proxy; to HTTPS by CONNECT |
| ``Connection.protocol``, ``.close()`` | the ResponseHandler; the connector forgets about it |
| ``ResponseHandler.transport`` | closed with it, unless it is None |
| ``ResponseHandler._tail`` | bytes that came before anything was asked |
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Awaitable
from random import uniform
from typing import Any

import aiohttp
import msgspec
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from prometheus_async import aio
from prometheus_async.types import Observer
from yarl import URL

from proxy.certificates import reason, refuses, system_context
from proxy.errors import BadCredentials, ConnectFailed, ProviderBroke
from proxy.exchange import Exchange, FinalRequest, Origin, Timeouts
from proxy.headers import line
from proxy.outbox import Outbox
from proxy.sockets import bound_tls
from proxy.timers import Sweep
from proxy.units import clock
from proxy.upstream import UpstreamConnection
from proxy.via import Via

IDLE_SECONDS = 60.0
"""How long an idle connection is kept: below the idle timeout of the providers we know of."""

IDLE_PER_ORIGIN = 1024
DNS_SECONDS = 30
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)

Dialled = tuple[asyncio.Transport, bytes]
"""A connection that was made, and what came on it before anything was asked."""


class Transport:
    """Sends final requests to providers, over connections that it keeps for the next one."""

    def __init__(self, sweep: Sweep, connect_seconds: Observer | None = None) -> None:
        """`connect_seconds` is told how long each connection took to make."""
        self.sweep = sweep
        self.outbox = Outbox()
        self._connect_seconds = connect_seconds
        self._idle: dict[Origin, deque[UpstreamConnection]] = {}
        self._dials: dict[Origin, ClientRequest] = {}
        self._connector: aiohttp.TCPConnector | None = None

    async def send(self, final: FinalRequest, exchange: Exchange) -> UpstreamConnection:
        """Send a request; returns when the response's head is here.

        A kept connection that turns out to have been closed by the provider, before a byte of
        the response came and before the provider can have read all of the request, is replaced
        once by a fresh one.
        Raises ConnectFailed, ProviderBroke, BadResponse or ProviderTimeout.
        """
        via = final.origin.via
        if via is not None and final.origin.scheme == "http":
            final = _for_proxy(final, via)
        connection = self._take_idle(final.origin)
        kept = connection is not None
        while True:
            if connection is None:
                started = clock()
                exchange.phase = "connecting"
                connection = await self._connect(final.origin, final.timeouts)
                exchange.phase = "waiting"
                exchange.connecting += clock() - started
            try:
                head = connection.ask(final)
                exchange.sent_at = connection.since
                await head
            except ProviderBroke as error:
                connection.drop()
                if not kept and refuses(error.__cause__):
                    # By TLS 1.3 that is told only once we have begun to speak.
                    why = reason(error.__cause__)
                    raise ConnectFailed(
                        f"cannot connect to {final.origin}: {why}"
                    ) from error.__cause__
                if not kept or connection.heard or not isinstance(final.body, bytes):
                    raise
                connection, kept = None, False
                continue
            except BaseException:
                connection.drop()
                raise
            if via is not None and connection.status == 407:
                connection.drop()
                raise ConnectFailed(f"cannot connect to {final.origin}: the proxy answered 407")
            exchange.head_at = connection.since
            return connection

    def keep(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose response was whole."""
        kept = self._idle.get(connection.origin)
        if kept is None:
            kept = self._idle[connection.origin] = deque()
            self.sweep.add(self)
        now = connection.idle_since = clock()
        if now >= connection.worn_at:
            connection.drop()
            return
        if kept and (len(kept) >= IDLE_PER_ORIGIN or kept[0].idle_since < now - IDLE_SECONDS):
            kept.popleft().drop()
        kept.append(connection)

    def check(self, now: float) -> None:
        """Close what has been idle for too long, and know no more of where nothing is left.

        A reload may have replaced who goes there, and a TLS context weighs megabytes.
        """
        oldest = now - IDLE_SECONDS
        for origin, kept in list(self._idle.items()):
            while kept and kept[0].idle_since < oldest:
                kept.popleft().drop()
            if not kept:
                del self._idle[origin]
                self._dials.pop(origin, None)
        if not self._idle:
            self.sweep.discard(self)

    def forget(self, connection: UpstreamConnection) -> None:
        """A kept connection is no longer good."""
        kept = self._idle.get(connection.origin)
        if kept is not None and connection in kept:
            kept.remove(connection)

    async def close(self) -> None:
        """Close every kept connection; those in use end with their exchange."""
        for kept in self._idle.values():
            while kept:
                kept.pop().drop()
        if self._connector is not None:
            await self._connector.close()
            self._connector = None

    def _take_idle(self, origin: Origin) -> UpstreamConnection | None:
        kept = self._idle.get(origin)
        oldest = clock() - IDLE_SECONDS
        while kept:
            connection = kept.pop()
            if connection.usable and connection.idle_since >= oldest:
                return connection
            connection.drop()
        return None

    async def _connect(self, origin: Origin, timeouts: Timeouts) -> UpstreamConnection:
        making: Awaitable[Dialled]
        making = self._dial(origin) if origin.socket is None else _dial_socket(origin.socket)
        if self._connect_seconds is not None:
            making = aio.time(self._connect_seconds, making)
        try:
            async with asyncio.timeout(timeouts.connect or None):
                transport, early = await making
        except TimeoutError as error:
            self._forget_address(origin)
            limit = timeouts.connect
            raise ConnectFailed(f"no connection to {origin} within {limit:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            self._forget_address(origin)
            raise ConnectFailed(f"cannot connect to {origin}: {_reason(error)}") from error
        # Those that were made together are not to end together.
        connection = UpstreamConnection(self, origin, transport, early)
        if timeouts.connection_age:
            connection.worn_at = clock() + timeouts.connection_age * uniform(0.9, 1.1)
        return connection

    def _forget_address(self, origin: Origin) -> None:
        """What the name stood for was no good: the next attempt asks again."""
        if self._connector is not None:
            self._connector.clear_dns_cache(origin.host, origin.port)

    async def _dial(self, origin: Origin) -> Dialled:
        if self._connector is None:
            self._connector = aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=DNS_SECONDS, force_close=True
            )
        dial = self._dials.get(origin)
        tls = origin.tls
        if dial is None or (tls is not None and dial.ssl is not tls.context):
            url = URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)
            loop = asyncio.get_running_loop()
            secured = _secured(origin)
            if origin.via is None:
                dial = self._dials[origin] = ClientRequest("GET", url, loop=loop, **secured)
            else:
                # Not kept: where the proxy is, and as whom to ask it, may change.
                proxy, fields = _proxy(origin, origin.via)
                dial = ClientRequest(
                    "GET", url, loop=loop, proxy=proxy, proxy_headers=fields, **secured
                )
        transport, early = _take_over(await self._connector.connect(dial, [], NO_TIMEOUT))
        bound_tls(transport)
        return transport, early


def _secured(origin: Origin) -> dict[str, Any]:
    tls = origin.tls
    if tls is None:
        # The system's authorities are loaded where somebody may have to be verified.
        plain = origin.scheme == "http" and origin.via is None
        return {"ssl": True if plain else system_context()}
    assert tls.context is not None  # what makes it was opened
    return {"ssl": tls.context, "server_hostname": tls.server_name}


class _Early(asyncio.Protocol):
    """Keeps what comes on a connection before it is anybody's."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


async def _dial_socket(path: str) -> Dialled:
    loop = asyncio.get_running_loop()
    transport, early = await loop.create_unix_connection(_Early, path)
    return transport, early.data


def _proxy(origin: Origin, via: Via) -> tuple[URL, dict[str, str]]:
    """Where the proxy to `origin` is, and the field that says as whom we ask it.

    Raises ConnectFailed.
    """
    try:
        proxy = via.url()
    except (ValueError, BadCredentials) as error:
        what = "is not known" if isinstance(error, BadCredentials) else str(error)
        raise ConnectFailed(f"cannot connect to {origin}: the proxy's URL {what}") from error
    return URL(proxy.base), proxy.fields()


def _for_proxy(final: FinalRequest, via: Via) -> FinalRequest:
    """The request as a proxy is to get it, and not its provider (RFC 9112 3.2.2)."""
    origin = final.origin
    _, fields = _proxy(origin, via)
    method, _, rest = final.head.partition(b" ")
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    host += f":{origin.port}" if origin.port != 80 else ""
    lines = b"".join(line(name, value) for name, value in fields.items())
    head = b"%b http://%b%b%b" % (method, host.encode("ascii"), rest, lines)
    return msgspec.structs.replace(final, head=head)


def _take_over(made: Connection) -> Dialled:
    """A connection's transport, and what came on it before anything was asked.

    The connector is to know no more of it: it would wait, at its end, for its own protocol to be
    told that the connection is lost.
    """
    protocol = made.protocol
    assert protocol is not None
    transport, protocol.transport = protocol.transport, None
    assert transport is not None
    made.close()
    return transport, protocol._tail


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words that hold no address twice."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy cannot be reached: {_reason(error.os_error)}"
    cause = getattr(error, "certificate_error", getattr(error, "os_error", None)) or error
    if isinstance(cause, ssl.SSLError):
        return reason(cause)
    if isinstance(cause, ConnectionResetError):
        return os.strerror(errno.ECONNRESET)  # by a handshake, without its number
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
