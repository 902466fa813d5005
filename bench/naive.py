"""The naive proxy: what one writes in half an hour with aiohttp. A contender, not an example.

Run as ``python -m bench.naive PORT UPSTREAM``.
"""

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

HOP_BY_HOP = {
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

UPSTREAM: web.AppKey[str] = web.AppKey("upstream", str)
SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


async def session(app: web.Application) -> AsyncIterator[None]:
    """Keep one client session for as long as the application runs."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as app[SESSION]:
        yield


async def proxy(request: web.Request) -> web.StreamResponse:
    """Pass a request on, and its response back as it comes."""
    app = request.app
    headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
    async with app[SESSION].request(
        request.method,
        app[UPSTREAM] + request.path_qs,
        headers=headers,
        data=request.content,
    ) as upstream:
        fields = {k: v for k, v in upstream.headers.items() if k.lower() not in HOP_BY_HOP}
        response = web.StreamResponse(status=upstream.status, headers=fields)
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def main() -> None:
    """Serve until a signal comes."""
    port, upstream = sys.argv[1:]
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app[UPSTREAM] = upstream
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", proxy)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
