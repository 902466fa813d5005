"""A test toolkit: providers that break on demand, clients that misbehave, bytes cut anywhere.

It is for this project's tests and for other people's (of their processors, dialects, deployments)
and opens sockets on 127.0.0.1 only.

An `Upstream` is a provider that plays a script, step by step; give its `url` to whatever is under
test. It records the requests that came and when its peers closed. `exchange` and `RawClient` send
exactly the bytes they are given and return exactly what came back:

    async def test_a_stream_that_breaks_is_not_passed_on_as_whole() -> None:
        script = [stream_head(), sse('{"delta":"Hel"}'), Sleep(0.1), Reset()]
        async with Upstream(script) as upstream, RawClient(upstream.url) as client:
            await client.send(request("/v1/chat/completions", {"model": "m", "stream": True}))
            assert (await client.read_head()).status == 200
            assert b"Hel" in await client.read_body()
            assert not client.clean_end
            assert upstream.requests[0].target == "/v1/chat/completions"

How soon a client's leaving reaches the provider, with a proxy between the two at `proxy_url`:

        async with Upstream([stream_head(), sse("first"), Stall()]) as upstream:
            async with RawClient(proxy_url) as client:
                await client.send(request("/v1/chat/completions", body))
                await client.read_until(b"first")
                left = time.monotonic()
            assert await upstream.closed(1, within=1.0) - left < 0.05

Several scripts answer one request each, the last one all that follow: `Upstream(answer(503),
answer(200, body))` fails once. A step is any async function of the `Connection`, so what the
vocabulary lacks is a function in the test. `cuts` gives a run of bytes in pieces, in the ways in
which decoders go wrong.

`serve` runs a whole proxy in the test, with its log at hand:

    config = '''
        [provider.fake]
        type = "openai_compatible"
        url = "%s/v1"
    '''
    async with Upstream([answer(503)]) as upstream, serve(config % upstream.url) as url:
        ...
        assert url.exchanges[-1]["error"] == "provider.overloaded"

`check_processor` and `check_dialect` put a member of a family through its contract.
"""

from proxy.testing.client import RawClient, exchange, request
from proxy.testing.connection import Connection, ReceivedRequest
from proxy.testing.contracts import check_dialect, check_processor
from proxy.testing.cuts import cuts
from proxy.testing.serving import ON_FREE_PORTS, ProxyURL, serve
from proxy.testing.steps import (
    END,
    Cut,
    Drip,
    Flood,
    Hold,
    OnAccept,
    ReadRequest,
    Reset,
    Script,
    Send,
    Sleep,
    Stall,
    Step,
    answer,
    chunks,
    sse,
    stream_head,
)
from proxy.testing.upstream import Upstream

__all__ = [
    "END",
    "ON_FREE_PORTS",
    "Connection",
    "Cut",
    "Drip",
    "Flood",
    "Hold",
    "OnAccept",
    "ProxyURL",
    "RawClient",
    "ReadRequest",
    "ReceivedRequest",
    "Reset",
    "Script",
    "Send",
    "Sleep",
    "Stall",
    "Step",
    "Upstream",
    "answer",
    "check_dialect",
    "check_processor",
    "chunks",
    "cuts",
    "exchange",
    "request",
    "serve",
    "sse",
    "stream_head",
]
