"""The admin edge: health and metrics for operators, on a listener of their own.

``/livez`` says that the loop turns, ``/readyz`` that requests are taken (never red because a
provider is), ``/healthz`` is ``/livez``, ``/metrics`` is Prometheus' text. On loopback and unix
sockets, ``POST /api/explain?path=/v1/…`` says what a request with this body would come to,
``POST /api/reload`` loads the configuration anew, and ``POST /api/drain?timeout=30s`` takes no
more requests and answers once those that run are over.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import web

from proxy.config.address import ListenAddress
from proxy.config.changes import Change
from proxy.downstream import CLOSE_SECONDS
from proxy.errors import ConfigError
from proxy.explain import DEFAULT_PATH, Explanation
from proxy.handshake import Gate, Terms
from proxy.listener import BACKLOG
from proxy.units import clock, parse_duration

_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]+)?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS_SECONDS = 1.0
"""How long a rendering serves further scrapes: some harnesses ask several times a second."""

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Operated(Protocol):
    """What operators ask and tell: a proxy, or several as one."""

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""

    async def render(self) -> bytes | None:
        """What was counted, as Prometheus' text; None: nothing is."""

    async def explain(self, path: str, body: bytes) -> Explanation | msgspec.Raw:
        """What the configuration at work does with such a request.

        Raises ConfigError: nobody is there to say.
        """

    async def reload(self) -> list[Change]:
        """Load the configuration anew; what changed. Raises ConfigError: nothing did."""

    async def drain(self, limit: float | None = None) -> int:
        """Take no more requests; how many still run, once that is none or the time is over."""


class Reloaded(msgspec.Struct, frozen=True):
    """The answer to a reload that worked."""

    changes: list[Change]


class Failed(msgspec.Struct, frozen=True):
    """The answer to what did not work: the configuration at work stays."""

    problems: list[str]


class Drained(msgspec.Struct, frozen=True):
    """The answer to a drain."""

    running: int


class Admin:
    """Answers operators and their probes."""

    def __init__(self, operated: Operated, *, trusted: bool) -> None:
        """`trusted`: whoever can connect may do what an operator may."""
        self._operated = operated
        self._rendered: bytes | None = None
        self._rendered_at = -METRICS_SECONDS
        self._rendering = asyncio.Lock()
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/healthz", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        if trusted:
            application.router.add_post("/api/explain", self._explain)
            application.router.add_post("/api/reload", _from_here(self._reload))
            application.router.add_post("/api/drain", _from_here(self._drain))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._gate = Gate(self._make, lambda: None, CLOSE_SECONDS)
        self._listener: asyncio.Server | None = None

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        if sock.family == getattr(socket, "AF_UNIX", None):
            self._listener = await loop.create_unix_server(self._gate, sock=sock, backlog=BACKLOG)
        else:
            self._listener = await loop.create_server(self._gate, sock=sock, backlog=BACKLOG)

    def change(self, tls: Terms | None) -> None:
        """`tls` is for those who connect from now on."""
        self._gate.terms = tls

    async def close(self) -> None:
        """Close the listener and its connections."""
        if self._listener is not None:
            self._listener.close()
        self._gate.abort()
        await self._runner.cleanup()

    def _make(self) -> asyncio.BaseProtocol:
        assert self._runner.server is not None
        return self._runner.server()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._operated.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="draining\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        async with self._rendering:
            if clock() - self._rendered_at >= METRICS_SECONDS:
                self._rendered = await self._operated.render()
                self._rendered_at = clock()
        if self._rendered is None:
            raise web.HTTPNotFound
        return web.Response(body=self._rendered, headers={"content-type": METRICS_TYPE})

    async def _explain(self, request: web.Request) -> web.Response:
        path = request.query.get("path", DEFAULT_PATH)
        if not path.startswith("/"):
            return web.Response(status=400, text=f"`path` is one such as {DEFAULT_PATH}\n")
        try:
            return _json(await self._operated.explain(path, await request.read()))
        except ConfigError as error:
            return _json(Failed(error.problems), status=503)

    async def _reload(self, request: web.Request) -> web.Response:
        try:
            return _json(Reloaded(await self._operated.reload()))
        except ConfigError as error:
            return _json(Failed(error.problems), status=422)

    async def _drain(self, request: web.Request) -> web.Response:
        limit = None
        if (text := request.query.get("timeout")) is not None:
            try:
                limit = parse_duration(text)
            except ValueError as error:
                return web.Response(status=400, text=f"`timeout`: {error}\n")
        return _json(Drained(await self._operated.drain(limit)))


def _json(answer: msgspec.Struct | msgspec.Raw, status: int = 200) -> web.Response:
    body = msgspec.json.encode(answer)
    return web.Response(status=status, body=body, content_type="application/json")


def _from_here(handler: Handler) -> Handler:
    """`handler`, but not for a page of another origin that has a browser send it requests.

    Browsers name the origin in each request that may change something (Fetch 3.2). A page may
    have had its own name point here, so that it matches the host: such a name is none of ours.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is not None:
            host = origin.partition("://")[2].lower()
            by_name = request.transport is None or request.transport.get_extra_info("peername")
            ours = host == request.headers.get("host", "").lower()
            ours = ours and (_is_local(host) or not by_name)
        else:
            ours = site in (None, "none", "same-origin")
        if not ours:
            return web.Response(status=403, text="not for pages of other origins\n")
        return await handler(request)

    return checked


def _is_local(host: str) -> bool:
    """Whether a browser that asks for this host asks the machine that it runs on."""
    name = _HOST.fullmatch(host)
    return name is not None and ListenAddress(name[1] or name[2]).loopback
