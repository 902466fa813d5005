"""The non-public hooks of aiohttp that the edges use, each held to its contract.

The tables at the top of proxy/server.py and proxy/transport.py name them; a test here is for one
row. One that fails names its hook: the installed aiohttp moved it, and either the edge changes
with it or pyproject.toml keeps that version away.
"""

import asyncio
import functools
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web, web_protocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler
from yarl import URL

import proxy.server
import proxy.transport
from proxy.errors import ConfigError
from proxy.server import check_aiohttp
from proxy.testing import OnAccept, RawClient, ReadRequest, Send, Stall, Upstream, answer, request
from tests.authority import Authority

Test = Callable[..., Awaitable[None]]

TESTED: dict[str, Test] = {}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
GET = request(method="GET")


def holds(row: str) -> Callable[[Test], Test]:
    """A test of this row of a table: a failure of it names the row."""

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        async def named(*args: Any, **kwargs: Any) -> None:
            try:
                async with asyncio.timeout(10):
                    await test(*args, **kwargs)
            except Exception as error:
                raise AssertionError(
                    f"aiohttp {aiohttp.__version__} does not keep to the contract of {row}"
                ) from error

        TESTED[row] = named
        return named

    return decorate


def rows(module: Any) -> list[str]:
    """The hooks that the table at the top of a module names."""
    return re.findall(r"^\| (.*``.*?) \| ", module.__doc__, re.MULTILINE)


def test_every_hook_is_held_to_its_contract() -> None:
    tables = rows(proxy.server), rows(proxy.transport)
    assert all(tables)
    assert sorted(TESTED) == sorted(row for table in tables for row in table)


async def test_a_broken_contract_is_told_by_the_name_of_its_hook() -> None:
    async def broken() -> None:
        raise AttributeError("_moved")

    with pytest.raises(AssertionError, match=r"contract of ``Some\._hook``") as caught:
        await holds("``Some._hook``")(broken)()
    del TESTED["``Some._hook``"]
    assert isinstance(caught.value.__cause__, AttributeError)


class Spied:
    """Remembers which of its attributes were asked for, and which were set."""

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "__dict__").setdefault("asked", set()).add(name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        object.__getattribute__(self, "__dict__").setdefault("changed", set()).add(name)
        object.__setattr__(self, name, value)


class Request(Spied):
    """A request that has what RequestHandler is said to ask for, and nothing else."""

    def __init__(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> None:
        vars(self)["given"] = (message, payload, protocol, writer, task)
        vars(self)["calls"] = []

    def _finish(self) -> None:
        vars(self)["calls"].append("finish")

    def _cancel(self, exc: BaseException) -> None:
        vars(self)["calls"].append(exc)


class Response(Spied):
    """A response that has what RequestHandler is said to ask for, and nothing else."""

    keep_alive = True

    async def prepare(self, request: Request) -> None:
        vars(request)["given"][2].transport.write(OK)

    async def write_eof(self) -> None:
        pass


class Handler(RequestHandler):
    """A connection that remembers what happened to it."""

    __slots__ = ("happened",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.happened: list[Any] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.happened.append(data)

    def eof_received(self) -> None:
        self.happened.append("eof")

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Any:
        self.happened.append((request, status, exc, message))
        return Response()


class Served(web.Server):
    """aiohttp's server, made as the proxy makes it, and everything that it made."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]], **options: Any) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            request_factory=self._make,  # type: ignore[arg-type]
            handler_cancellation=True,
            access_log=None,
            **options,
        )
        self.url = ""
        self.protocols: list[Handler] = []
        self.requests: list[Request] = []
        self.kept: list[bool] = []
        """Whether a lost connection was known still: then, and once its task was over."""

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        task = handler._task_handler
        super().connection_lost(handler, exc)
        self.kept.append(handler in self._connections)
        if task is not None:
            task.add_done_callback(lambda _: self.kept.append(handler in self._connections))

    def _make(self, *given: Any) -> Request:
        self.requests.append(Request(*given))
        return self.requests[-1]

    def __call__(self) -> RequestHandler:
        self.protocols.append(Handler(self, loop=self._loop, **self._kwargs))
        return self.protocols[-1]


async def respond(request: Request) -> Response:
    return Response()


async def stall(request: Request) -> Response:
    await asyncio.get_running_loop().create_future()
    return Response()


@asynccontextmanager
async def serving(
    handler: Callable[[Request], Awaitable[Response]] = respond, **options: Any
) -> AsyncIterator[Served]:
    server = Served(handler, **options)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.shutdown(1.0)


async def until(happens: Callable[[], object]) -> None:
    """Waits for what happens elsewhere in this loop; the test's own time bounds it."""
    while not happens():  # noqa: ASYNC110 - what is looked at cannot tell of itself
        await asyncio.sleep(0.001)


# proxy/server.py


@holds("``web.Server.__call__``, ``_loop``, ``_kwargs``")
async def test_a_server_makes_the_protocol_of_each_connection() -> None:
    async with serving(keepalive_timeout=7.0, max_field_size=99) as server:
        assert server._loop is asyncio.get_running_loop()
        async with RawClient(server.url), RawClient(server.url):
            await until(lambda: len(server.protocols) == 2)
        assert [protocol.keepalive_timeout for protocol in server.protocols] == [7.0, 7.0]
        assert [protocol.max_field_size for protocol in server.protocols] == [99, 99]


@holds("``web.Server._connections``")
async def test_a_server_knows_the_transports_of_its_connections() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await until(lambda: server.protocols)
        [protocol] = server.protocols
        await until(lambda: protocol in server._connections)
        transport = server._connections[protocol]
        assert transport is protocol.transport
        # Closing, the protocol lets go of the transport; the server only once that is gone.
        protocol.force_close()
        assert server._connections[protocol] is transport
        assert transport.is_closing()
        assert await client.read_rest() == b""
        await until(lambda: not server._connections)


@holds("``web.Server.connection_lost(protocol, exc)``")
async def test_a_server_forgets_a_connection_once_its_task_is_over() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await client.send(request("/", b""))
        await client.read_head()
        client.reset()
        await until(lambda: len(server.kept) == 2)
        assert server.kept == [True, False]


@holds("``request_factory(message, payload, protocol, writer, task)``")
async def test_the_factory_makes_the_requests() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await client.send(request("/path?a=b", b"body"))
        assert (await client.read_head()).status == 200
        [made] = server.requests
        message, payload, protocol, writer, task = vars(made)["given"]
        assert isinstance(message, RawRequestMessage)
        assert (message.method, message.path, message.chunked) == ("POST", "/path?a=b", False)
        assert not message.should_close
        assert not message.upgrade
        assert message.version == aiohttp.HttpVersion11
        assert message.headers["Content-Length"] == "4"
        assert (b"content-length", b"4") in message.raw_headers
        assert isinstance(payload, StreamReader)
        assert protocol is server.protocols[0]
        assert isinstance(writer, StreamWriter)
        assert isinstance(task, asyncio.Task)


@holds("the request's ``_finish()``, ``_cancel(exc)``, ``_task``")
async def test_what_is_asked_of_a_request() -> None:
    async with serving() as server, RawClient(server.url) as client:
        for _ in range(2):
            await client.send(GET)
            assert (await client.read_head("GET")).status == 200
        for made in server.requests:
            assert vars(made)["calls"] == ["finish"]
            assert vars(made)["asked"] <= {"_finish", "__class__", "__dict__"}
        assert vars(server.requests[0])["changed"] == {"_task"}

    async with serving(stall) as server:
        async with RawClient(server.url) as client:
            await client.send(GET)
            await until(lambda: server.requests)
            [made] = server.requests
            working = server.protocols[0]
            await until(lambda: working._current_request)
            assert id(working._current_request) == id(made)
        await until(lambda: vars(made)["calls"])
        [left] = vars(made)["calls"]
        assert isinstance(left, ConnectionError)
        assert vars(made)["asked"] <= {"_cancel", "__class__", "__dict__"}


@holds("the response's ``prepare``, ``write_eof``, ``keep_alive``")
async def test_what_is_asked_of_a_response() -> None:
    made = []

    async def respond(request: Request) -> Response:
        made.append(Response())
        made[-1].keep_alive = len(made) < 2
        return made[-1]

    async with serving(respond) as server, RawClient(server.url) as client:
        await client.send(GET + GET)
        assert await client.read_rest() == OK + OK
        assert len(made) == 2
        for response in made:
            asked = vars(response)["asked"] - {"__dict__", "__class__", "__http_exception__"}
            assert asked == {"prepare", "write_eof", "keep_alive"}


@holds("``RequestHandler.data_received``, ``eof_received``")
async def test_a_connection_may_be_extended() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await client.send(GET)
        await client.read_head("GET")
        client.half_close()
        await until(lambda: len(server.protocols[0].happened) == 2)
        assert server.protocols[0].happened == [GET, "eof"]


@holds("``RequestHandler._request_count``")
async def test_heads_that_were_read_are_counted() -> None:
    async with serving() as server, RawClient(server.url) as client:
        for count in (1, 2):
            await client.send(GET)
            await client.read_head()
            assert server.protocols[0]._request_count == count


@holds("``RequestHandler._lingering_time``")
async def test_a_server_waits_so_long_for_a_body_that_nobody_reads() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await client.send(GET)
        await client.read_head()
        server.protocols[0]._lingering_time = 0.0
        await client.send(request(headers={"content-length": "5"}))
        await client.read_head()
        async with asyncio.timeout(10):
            await client.read_rest()


@holds("``RequestHandler._task_handler``")
async def test_what_serves_a_connection_can_be_cancelled() -> None:
    cancelled = asyncio.Event()

    async def respond(request: Request) -> Response:
        try:
            return await stall(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(respond) as server, RawClient(server.url) as client:
        await until(lambda: server.protocols)
        [protocol] = server.protocols
        await client.send(GET)
        await until(lambda: protocol._current_request)
        assert isinstance(protocol._task_handler, asyncio.Task)
        protocol._task_handler.cancel()
        await cancelled.wait()
        assert await client.read_rest() == b""


class Front(asyncio.Protocol):
    """Hands its connection over to aiohttp, once there is something to be read."""

    def __init__(self, server: Served) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        handler = self._server()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(data)


@holds("``RequestHandler.connection_made(transport)``")
async def test_a_connection_may_be_handed_over_later() -> None:
    server = Served(respond)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Front(server), "127.0.0.1", 0)
    async with RawClient(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as client:
        for _ in range(2):
            await client.send(GET)
            assert await client.read_until(OK) == OK
        assert list(server._connections) == server.protocols
    await until(lambda: not server._connections)
    listener.close()
    await server.shutdown(1.0)


@holds("``RequestHandler._messages``, ``_waiter``, ``_current_request``")
async def test_what_a_connection_is_doing_can_be_seen() -> None:
    go = asyncio.Event()

    async def respond(request: Request) -> Response:
        await go.wait()
        return Response()

    async with serving(respond) as server, RawClient(server.url) as client:
        await until(lambda: server.protocols)
        [protocol] = server.protocols

        def state() -> tuple[bool, object, int]:
            waits = protocol._waiter is not None and not protocol._waiter.done()
            return waits, protocol._current_request, len(protocol._messages)

        idle = (True, None, 0)
        await until(lambda: state() == idle)
        await client.send(GET[:20])
        await until(lambda: protocol.happened == [GET[:20]])
        assert state() == idle
        await client.send(GET[20:])
        await until(lambda: server.requests)
        await until(lambda: state() == (False, server.requests[0], 0))
        await client.send(GET)
        await until(lambda: state() == (False, server.requests[0], 1))
        assert isinstance(protocol._messages, deque)
        message, payload = protocol._messages[-1]
        assert isinstance(message, RawRequestMessage)
        assert isinstance(payload, StreamReader)
        go.set()
        await until(lambda: state() == idle)
        assert await client.read_some() == OK + OK


@holds("``RequestHandler.handle_error(request, status, exc, message)``")
async def test_what_cannot_be_parsed_is_answered() -> None:
    for raw, kind in (
        (b"nonsense\r\n\r\n", HttpProcessingError),
        (request(headers={"x-long": "x" * 200}), LineTooLong),
    ):
        async with serving(max_field_size=100) as server, RawClient(server.url) as client:
            await client.send(raw)
            assert await client.read_until(OK) == OK
            request_, status, exc, _ = server.protocols[0].happened[-1]
            assert request_ is server.requests[0]
            assert status == 400
            assert isinstance(exc, kind)


@holds("``web_protocol.ERROR``, ``_ErrInfo``")
async def test_what_stands_for_what_cannot_be_parsed() -> None:
    async with serving() as server, RawClient(server.url) as client:
        await client.send(b"nonsense\r\n\r\n")
        await client.read_until(OK)
        message, payload, *_ = vars(server.requests[0])["given"]
        assert message is web_protocol.ERROR
        assert payload is EMPTY_PAYLOAD
        assert message.path.startswith("/")
        assert (dict(message.headers), list(message.raw_headers), message.chunked) == (
            {},
            [],
            False,
        )

    # A chunk that is malformed, and comes later than the head: aiohttp keeps it for afterwards,
    # and whoever reads the body would wait for ever.
    async with serving(stall) as server, RawClient(server.url) as client:
        await client.send(request(headers={"transfer-encoding": "chunked"}))
        await until(lambda: server.requests)
        [protocol] = server.protocols
        await client.send(b"zz\r\n")
        await until(lambda: protocol._messages)
        broken, _ = protocol._messages[-1]
        assert isinstance(broken, web_protocol._ErrInfo)
        assert broken.status == 400
        assert isinstance(broken.exc, HttpProcessingError)


@holds("``StreamReader.set_exception``, ``read_nowait``, ``is_eof``, ``at_eof``")
async def test_how_a_body_is_read() -> None:
    async with serving(stall) as server, RawClient(server.url) as client:
        await client.send(
            [request("/", b"who", headers={"content-length": "5"}), b"le"], pause=0.01
        )
        await until(lambda: server.requests)
        body = vars(server.requests[0])["given"][1]
        await until(body.is_eof)
        assert not body.at_eof()
        assert body.exception() is None
        assert body.read_nowait() == b"whole"
        assert body.at_eof()

    async with serving(stall) as server, RawClient(server.url) as client:
        await client.send(GET)
        await until(lambda: server.requests)
        assert vars(server.requests[0])["given"][1].is_eof()

    async with serving(stall) as server, RawClient(server.url) as client:
        await client.send(request("/", b"par", headers={"content-length": "5"}))
        await until(lambda: server.requests)
        body = vars(server.requests[0])["given"][1]
        assert await body.readany() == b"par"
        assert not body.is_eof()
        reading = asyncio.create_task(body.readany())
        await asyncio.sleep(0)
        body.set_exception(HttpProcessingError(message="told"))
        with pytest.raises(HttpProcessingError, match="told"):
            await reading


# proxy/transport.py


@asynccontextmanager
async def connected(upstream: Upstream) -> AsyncIterator[tuple[Connection, aiohttp.TCPConnector]]:
    """A connection made as the proxy makes it."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, force_close=True)
    loop = asyncio.get_running_loop()
    url = URL.build(scheme="http", host=upstream.host, port=upstream.port)
    dial = ClientRequest("GET", url, loop=loop, ssl=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
    made = await connector.connect(dial, [], timeout)
    try:
        yield made, connector
    finally:
        made.close()
        await connector.close()


class Sink(asyncio.Protocol):
    """What the proxy sets in the place of aiohttp's protocol."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@holds("``TCPConnector.connect(req, traces, timeout)``")
async def test_a_connector_makes_connections() -> None:
    async with Upstream(Stall()) as upstream, connected(upstream) as (made, _):
        assert isinstance(made, Connection)
        assert made.protocol is not None
        assert made.protocol.transport is not None
        assert not made.protocol.transport.is_closing()
        await until(lambda: upstream.connections == 1)

    async with Upstream() as gone:
        pass
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        async with connected(gone):
            pass
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.os_error, OSError)


@holds("``ClientRequest(method, url, loop=…, ssl=…)``")
async def test_a_request_says_where_to_connect_and_is_not_sent() -> None:
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
    early = [OnAccept(), Send(b"early"), ReadRequest(), answer()]
    async with Upstream(early) as upstream:
        url = URL.build(scheme="http", host=upstream.host, port=upstream.port)
        dial = ClientRequest("GET", url, loop=loop, ssl=True)
        # The same one serves for any number of connections.
        for _ in range(2):
            (await connector.connect(dial, [], timeout)).close()
        await until(lambda: upstream.connections == 2)
        await until(lambda: not upstream.open_connections)
        assert upstream.requests == []
    await connector.close()


@holds("``ClientRequest(…, server_hostname=…)``")
async def test_the_name_to_ask_for_may_be_another(authority: Authority) -> None:
    asked: list[str | None] = []
    context = authority.server(authority.issue("llm.example.com"))
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with Upstream(Stall(), tls=context) as upstream:
        url = URL(upstream.url)
        loop = asyncio.get_running_loop()
        trusting = authority.client()
        dial = ClientRequest("GET", url, loop=loop, ssl=trusting, server_hostname="llm.example.com")
        assert dial.ssl is trusting
        made = await connector.connect(dial, [], aiohttp.ClientTimeout())
        assert made.transport is not None
        assert made.transport.get_extra_info("sslcontext") is trusting
        made.close()
        await connector.close()
    assert asked == ["llm.example.com"]


@holds("``ClientRequest(…, proxy=…, proxy_headers=…)``")
async def test_a_request_says_through_which_proxy_to_connect() -> None:
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)

    def dial(scheme: str, via: Upstream) -> ClientRequest:
        return ClientRequest(
            "GET",
            URL.build(scheme=scheme, host="nowhere.invalid", port=1234),
            loop=loop,
            ssl=True,
            proxy=URL(via.url),
            proxy_headers={"proxy-authorization": "Basic eA=="},
        )

    # To HTTP the proxy itself is connected to, and nothing is sent.
    early = [OnAccept(), Send(b"early"), ReadRequest(), answer()]
    async with Upstream(early) as via:
        made = await connector.connect(dial("http", via), [], timeout)
        assert made.protocol is not None
        assert made.protocol.transport is not None
        made.close()
        assert via.requests == []
    # To HTTPS it is asked for a tunnel, and what it answers can be told.
    async with Upstream(answer(503)) as via:
        with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
            await connector.connect(dial("https", via), [], timeout)
        assert caught.value.status == 503
        [asked] = via.requests
        assert (asked.method, asked.target) == ("CONNECT", "nowhere.invalid:1234")
        assert asked.header("proxy-authorization") == "Basic eA=="
        await until(lambda: not via.open_connections)
    with pytest.raises(aiohttp.ClientProxyConnectionError) as refused:
        await connector.connect(dial("https", via), [], timeout)
    assert isinstance(refused.value.os_error, OSError)
    await connector.close()


@holds("``Connection.protocol``, ``.close()``")
async def test_the_connector_forgets_a_connection_that_is_closed() -> None:
    async with Upstream(answer(body=b"{}")) as upstream, connected(upstream) as (made, connector):
        protocol = made.protocol
        assert isinstance(protocol, ResponseHandler)
        transport, protocol.transport = protocol.transport, None
        assert transport is not None
        made.close()
        sink = Sink()
        transport.set_protocol(sink)
        # It has nothing left to wait for, whatever becomes of the transport.
        async with asyncio.timeout(10):
            await connector.close()
        transport.write(GET)
        await until(lambda: sink.data.endswith(b"{}"))
        transport.abort()
        await until(lambda: sink.lost)


@holds("``ResponseHandler.transport``")
async def test_a_protocol_closes_the_transport_that_it_has() -> None:
    async with Upstream(Stall()) as upstream:
        for taken in (False, True):
            async with connected(upstream) as (made, _):
                protocol = made.protocol
                assert protocol is not None
                transport = protocol.transport
                assert transport is not None
                if taken:
                    protocol.transport = None
                made.close()
                assert transport.is_closing() is not taken
                transport.abort()


@holds("``ResponseHandler._tail``")
async def test_what_came_before_anything_was_asked_is_kept() -> None:
    early = [OnAccept(), Send(b"HTTP/1.1 200 OK\r\n\r\n"), Stall()]
    async with Upstream(early) as upstream, connected(upstream) as (made, _):
        protocol = made.protocol
        assert protocol is not None
        await until(lambda: protocol._tail)
        assert protocol._tail == b"HTTP/1.1 200 OK\r\n\r\n"
    async with Upstream(Stall()) as upstream, connected(upstream) as (made, _):
        assert made.protocol is not None
        assert made.protocol._tail == b""


@pytest.mark.parametrize("version", ["3.13.9", "3.15.0", "4.0.0a1"])
def test_an_aiohttp_that_the_hooks_were_not_tested_with_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"3\.14\.x"):
        check_aiohttp(version)
