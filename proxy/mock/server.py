"""The mock provider's server: finds the endpoint, and does what the model's name asks for."""

import asyncio
import functools
import random
import socket
import struct
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import HttpVersion11, web

from proxy.dialect import Dialect, Endpoints
from proxy.mock import chat, completions, embeddings, openai, responses, translated
from proxy.mock.behaviour import Behaviour, behaviour_of
from proxy.mock.delay import parse_delay
from proxy.mock.errors import MockError
from proxy.mock.reply import Endpoint, Reply, Streamed, Whole
from proxy.mock.settings import MockSettings, for_request
from proxy.mock.text import date, fingerprint
from proxy.registry import find, names
from proxy.units import clock

ENDPOINTS: MappingProxyType[str, Endpoint] = MappingProxyType(
    {
        "/v1/chat/completions": chat.reply,
        "/v1/completions": completions.reply,
        "/v1/embeddings": embeddings.reply,
        "/v1/responses": responses.reply,
    }
)

MAX_BODY = 64 << 20
"""Bytes of a request body; more than a proxy before it lets through by default."""

_HEALTH = "/health"
_MODELS = "/v1/models"
_JSON = "application/json"
_BACKLOG = 1024
# Aborted connections end their handlers at once; this is for a loop that is busy.
_CLOSE_SECONDS = 5.0
# SO_LINGER with no time: closing the socket resets the connection.
_RESET = struct.pack("ii", 1, 0)


class Exchange(NamedTuple):
    """One request with what holds for it. `rng` is where its delays come from."""

    request: web.BaseRequest
    body: bytes
    settings: MockSettings
    rng: random.Random

    def headers(self, content_type: str) -> dict[str, str]:
        """The head of a response, which like all else follows from the seed and the request."""
        seed = self.settings.seed
        key = fingerprint(seed, self.request.path.encode(errors="replace"), self.body)
        return {
            "content-type": content_type,
            "x-request-id": f"req_{key.hex()}",
            "date": date(seed),
            "server": "llm-proxy-mock",
        }


class Mock:
    """A running mock provider; :func:`start_mock` makes one.

    `requests`, `events_sent` and `cancelled` (clients that left before their response was whole)
    only grow; `in_flight` is how many requests are being answered now.
    """

    def __init__(self, settings: MockSettings) -> None:
        self.settings = settings
        self.requests = 0
        self.in_flight = 0
        self.events_sent = 0
        self.cancelled = 0
        self._answered = 0
        self._closing = False
        # One source for the whole server: equal requests take different times, as they would.
        self._rng = random.Random(settings.seed)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """``HOST:PORT`` where it listens, with the real port."""
        return self._address

    @property
    def url(self) -> str:
        """The base URL that clients take, ``http://HOST:PORT/v1``."""
        return f"http://{self._address}/v1"

    async def listen(self, host: str, port: int) -> None:
        """Start to answer; raises OSError where that address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            request_factory=lambda message, payload, protocol, writer, task: web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY
            ),
        )
        self._listener = await loop.create_server(self._server, host, port, backlog=_BACKLOG)
        name, number, *_ = self._listener.sockets[0].getsockname()
        self._address = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"

    async def close(self) -> None:
        """Stop listening and break what is still open. May be called again."""
        self._closing = True
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.shutdown(timeout=_CLOSE_SECONDS)
        await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        self.in_flight += 1
        exchange = Exchange(request, b"", self.settings, self._rng)
        try:
            exchange = exchange._replace(body=await request.read())
            exchange = self._overridden(exchange)
            return await self._route(exchange)
        except MockError as error:
            return _refuse(exchange, error)
        except web.HTTPRequestEntityTooLarge:
            message = f"The body of your request is larger than {MAX_BODY} bytes"
            return _refuse(exchange, MockError(413, message))
        except web.RequestPayloadError as error:
            return _refuse(exchange, MockError(400, f"We could not read your request: {error}"))
        except ConnectionError:
            self.cancelled += not self._closing
            return web.Response()  # nobody is there to get it
        except asyncio.CancelledError:
            self.cancelled += not self._closing
            raise
        finally:
            self.in_flight -= 1

    def _overridden(self, exchange: Exchange) -> Exchange:
        headers = exchange.request.headers
        settings = for_request(self.settings, headers)
        rng = random.Random(settings.seed) if "x-mock-seed" in headers else self._rng
        return exchange._replace(settings=settings, rng=rng)

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        path, seed = exchange.request.path, exchange.settings.seed
        if endpoint := ENDPOINTS.get(path):
            _allow(exchange.request, "POST")
            return await self._answer(exchange, endpoint(exchange.body, exchange.settings))
        if dialect := _translated().find(path):
            _allow(exchange.request, "POST")
            query = exchange.request.query_string
            spoken = translated.reply(dialect, exchange.body, path, query, exchange.settings)
            return await self._answer(exchange, spoken)
        if path == _HEALTH:
            body = b'{"status":"ok"}'
        elif path == _MODELS:
            body = openai.models_body(seed)
        elif path.startswith(f"{_MODELS}/"):
            body = openai.model_body(path.removeprefix(f"{_MODELS}/"), seed)
        else:
            message = f"Unknown request URL: {exchange.request.method} {path}"
            raise MockError(404, message, code="unknown_url")
        _allow(exchange.request, "GET")
        return web.Response(body=body, headers=exchange.headers(_JSON))

    async def _answer(self, exchange: Exchange, reply: Reply) -> web.StreamResponse:
        most = self.settings.fail_after_requests
        if most is not None and self._answered >= most:
            raise _failure(503, f"to fail after {most} requests")
        self._answered += 1
        await _pause(parse_delay(exchange.settings.ttft).sample(exchange.rng))
        behaviour = behaviour_of(reply.model)
        if behaviour.kind == "status":
            raise _failure(behaviour.number, f"for status {behaviour.number}")
        if behaviour.kind == "refuse":
            return await _break(exchange.request, web.Response(), reset=True)
        if isinstance(reply, Streamed):
            return await self._stream(exchange, reply, behaviour)
        return await _send_whole(exchange, reply, behaviour)

    async def _stream(
        self, exchange: Exchange, reply: Streamed, behaviour: Behaviour
    ) -> web.StreamResponse:
        request, delay = exchange.request, parse_delay(exchange.settings.itl)
        head = exchange.headers(reply.content_type)
        head["cache-control"] = "no-cache"
        response = web.StreamResponse(headers=head)
        await response.prepare(request)
        # Each event is due at a time of its own: sleeping late once delays no later one.
        due = clock()
        for sent, event in enumerate(reply.events):
            if behaviour.kind != "answer" and sent == behaviour.number:
                return await self._break_off(request, response, reply, behaviour)
            if event.paced:
                due += delay.sample(exchange.rng)
                await _pause(due - clock())
            await response.write(event.data)
            self.events_sent += 1
        await response.write_eof()
        return response

    async def _break_off(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        reply: Streamed,
        behaviour: Behaviour,
    ) -> web.StreamResponse:
        if behaviour.kind == "stall":
            await _silence()
        if behaviour.kind == "error":
            await response.write(reply.failure(behaviour.number))
            self.events_sent += 1
        return await _break(request, response)


async def start_mock(settings: MockSettings, *, host: str = "127.0.0.1", port: int = 0) -> Mock:
    """A mock provider that listens; raises OSError where that address cannot be had."""
    mock = Mock(settings)
    await mock.listen(host, port)
    return mock


async def _send_whole(exchange: Exchange, reply: Whole, behaviour: Behaviour) -> web.StreamResponse:
    delay = parse_delay(exchange.settings.itl)
    await _pause(delay.total(exchange.rng, reply.tokens - 1))
    match behaviour.kind:
        case "error":
            raise _failure(500, "to fail")
        case "stall":
            await _silence()
        case "cut":
            half = web.StreamResponse(headers=exchange.headers(_JSON))
            half.content_length = len(reply.body)
            await half.prepare(exchange.request)
            await half.write(reply.body[: len(reply.body) // 2])
            return await _break(exchange.request, half)
    return web.Response(body=reply.body, headers=exchange.headers(_JSON))


def _allow(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise MockError(
            405,
            f"Not allowed to {request.method} on {request.path} (expected {method})",
            code="method_not_supported",
            headers={"allow": method},
        )


def _failure(status: int, asked: str) -> MockError:
    """The error of a mock that was told to give one."""
    headers = {"retry-after": "1"} if status in (429, 503) else None
    return MockError(status, f"The mock provider was asked {asked}", headers=headers)


def _refuse(exchange: Exchange, error: MockError) -> web.Response:
    headers = exchange.headers(_JSON) | error.headers
    dialect = _translated().find(exchange.request.path)
    spelled = openai.error_body(error) if dialect is None else translated.error_body(dialect, error)
    return web.Response(status=error.status, body=spelled, headers=headers)


@functools.cache
def _translated() -> Endpoints:
    """The endpoints of the dialects that the mock speaks by their codecs."""
    dialects: list[Dialect] = [find("dialects", name)() for name in names("dialects")]
    return Endpoints(each for each in dialects if each.form and each.path not in ENDPOINTS)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _silence() -> None:
    """Until the client leaves, or the server closes: either cancels the handler."""
    await asyncio.get_running_loop().create_future()


async def _break(
    request: web.BaseRequest, response: web.StreamResponse, *, reset: bool = False
) -> web.StreamResponse:
    """Close the connection under `response`, once what was written of it is on its way.

    The client sees that a part is missing, since there is a length or a last chunk to wait for;
    an HTTP/1.0 stream has neither, so that only a reset shows there.
    """
    if (transport := request.transport) is None:
        return response
    transport.set_write_buffer_limits(high=0)
    await request.writer.drain()
    if reset or request.version < HttpVersion11:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    return response
