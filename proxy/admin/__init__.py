"""The admin edge: health and metrics for operators, on a listener of their own.

``/livez`` says that the loop turns, ``/readyz`` that requests are taken (never red because a
provider is), ``/healthz`` is ``/livez``, ``/metrics`` is Prometheus' text. On loopback and unix
sockets, ``POST /api/explain?path=/v1/…`` says what a request with this body would come to.
"""

import asyncio
import socket
from collections.abc import Callable

import msgspec
from aiohttp import web

from proxy.explain import DEFAULT_PATH, Explainer
from proxy.units import clock

METRICS_SECONDS = 1.0
"""How long a rendering serves further scrapes: some harnesses ask several times a second."""

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """Answers operators and their probes."""

    def __init__(
        self,
        *,
        ready: Callable[[], bool],
        render: Callable[[], bytes] | None,
        explainer: Explainer | None,
    ) -> None:
        """`render` makes the metrics' text, in a thread; None: there are no metrics.

        `explainer` tells whoever connects what the configuration does; None: nobody.
        """
        self._ready = ready
        self._render = render
        self._explainer = explainer
        self._rendered = b""
        self._rendered_at = -METRICS_SECONDS
        self._rendering = asyncio.Lock()
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/healthz", self._livez)
        application.router.add_get("/readyz", self._readyz)
        if render is not None:
            application.router.add_get("/metrics", self._metrics)
        if explainer is not None:
            application.router.add_post("/api/explain", self._explain)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Close the listener and its connections."""
        await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="draining\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        assert self._render is not None
        async with self._rendering:
            if clock() - self._rendered_at >= METRICS_SECONDS:
                self._rendered = await asyncio.to_thread(self._render)
                self._rendered_at = clock()
        return web.Response(body=self._rendered, headers={"content-type": METRICS_TYPE})

    async def _explain(self, request: web.Request) -> web.Response:
        assert self._explainer is not None
        path = request.query.get("path", DEFAULT_PATH)
        if not path.startswith("/"):
            return web.Response(status=400, text=f"`path` is one such as {DEFAULT_PATH}\n")
        explanation = await self._explainer.explain(path, await request.read())
        body = msgspec.json.encode(explanation)
        return web.Response(body=body, content_type="application/json")
