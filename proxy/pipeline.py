"""The pipeline: one request's way, in the order of the lines.

It lets nothing out but cancellation: whatever goes wrong becomes an answer in the client's own
dialect while that is possible, and after that a response that visibly breaks. Every exchange
ends exactly once, in `_finish`.
"""

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import unquote

from proxy.client import Client
from proxy.dialect import Dialect
from proxy.errors import (
    BadRequest,
    ClientLeft,
    Draining,
    InternalError,
    NoRoute,
    ProcessorFailed,
    ProviderTimeout,
    ProxyError,
    Unsupported,
)
from proxy.exchange import Exchange, ParsedRequest, RawRequest
from proxy.headers import line, request_id
from proxy.models import Shape, asked, encode_list, encode_one, known_models, shape_for
from proxy.relay import Downstream
from proxy.response import JSON_FIELD, Responder
from proxy.router import Route, Router
from proxy.timers import Sweep
from proxy.units import clock

Observer = Callable[[Exchange], None]

_log = logging.getLogger("proxy")

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What passes through. TRACE would have a provider tell a client the token that it was sent."""

_TRICKS = ("//", "/./", "/../", "%2e", "%2f", "%5c", "%00", "\\", "#")
"""What one parser of paths reads differently from another, and so leads past a route's prefix."""


class Pipeline:
    """One configuration at work; a reload makes a new one beside it."""

    def __init__(
        self,
        router: Router,
        client: Client,
        observers: tuple[Observer, ...],
        *,
        dialect: Dialect,
        sweep: Sweep,
    ) -> None:
        """`dialect` words the errors on paths that are no dialect's endpoint."""
        self.running: dict[Exchange, Downstream] = {}
        self._idle: asyncio.Event | None = None
        self._router = router
        self._client = client
        self._observers = observers
        self._dialect = dialect
        self._responder = Responder(sweep)
        self._models = known_models(router)

    def takes(self, path: str) -> bool:
        """Whether the path is a dialect's endpoint."""
        return self._router.dialect(path) is not None

    async def run(self, request: RawRequest, downstream: Downstream) -> None:
        """Answer a request. Raises nothing but CancelledError, once the client has left."""
        exchange = Exchange(
            request=request,
            id=request_id(request.headers.get("x-request-id")),
            received_at=clock(),
        )
        dialect = self._router.dialect(request.path)
        self.running[exchange] = downstream
        try:
            if dialect is not None:
                await self._serve(exchange, dialect, downstream)
            else:
                await self._pass_on(exchange, downstream)
        except ProxyError as error:
            self._fail(exchange, dialect, downstream, error)
        except asyncio.CancelledError:
            if exchange.error is None:
                exchange.error = ClientLeft("the client closed the connection")
                exchange.status = exchange.error.status
            else:
                self._fail(exchange, dialect, downstream, exchange.error)
            raise
        except Exception as error:
            _log.exception("request %s failed", exchange.id)
            internal = InternalError("the proxy failed; its log says why")
            internal.__cause__ = error
            self._fail(exchange, dialect, downstream, internal)
        finally:
            self._finish(exchange)

    def refuse(self, request: RawRequest, downstream: Downstream, error: ProxyError) -> None:
        """Answer what could not be read as a request."""
        exchange = Exchange(request=request, id=request_id(None), received_at=clock())
        self.running[exchange] = downstream
        self._fail(exchange, None, downstream, error)
        self._finish(exchange)

    async def idle(self) -> None:
        """Return once nothing runs."""
        while self.running:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    def end(self) -> None:
        """End what is still running: each in an error that its client sees."""
        for exchange, downstream in list(self.running.items()):
            exchange.error = Draining("the proxy is shutting down")
            downstream.cancel()

    async def _serve(self, exchange: Exchange, dialect: Dialect, downstream: Downstream) -> None:
        request = exchange.request
        if request.method != "POST" and self._router.passing(request.path) is not None:
            # OpenAI lists at the same path what it stored: that is for whom a route names.
            await self._pass_on(exchange, downstream)
            return
        exchange.dialect, exchange.operation = dialect.name, dialect.operation
        if request.method != "POST":
            raise Unsupported(
                f"{request.path} takes POST, not {request.method}",
                status=405,
                headers={"allow": "POST"},
            )
        body = await request.body()
        exchange.read_at = clock()
        exchange.bytes_in = len(body)
        exchange.phase = "routing"
        parsed = exchange.parsed = dialect.parse(body, request.path, request.query)
        parsed.query = request.query
        del body
        route, exchange.pattern = self._router.route(dialect, parsed)
        exchange.route = route.name
        exchange.hooks = route.on_end
        if route.on_request:
            await self._process(exchange, route, parsed, dialect)
        total = route.targets[0].timeouts.total
        if total:
            try:
                async with asyncio.timeout(total):
                    await self._ask(exchange, route, dialect, parsed, downstream)
            except TimeoutError as error:
                raise ProviderTimeout(f"the exchange took more than {total:g} s") from error
        else:
            await self._ask(exchange, route, dialect, parsed, downstream)

    async def _ask(
        self,
        exchange: Exchange,
        route: Route,
        dialect: Dialect,
        parsed: ParsedRequest,
        downstream: Downstream,
    ) -> None:
        exchange.phase = "waiting"
        answered = await self._client.send(exchange, route, dialect, parsed)
        parsed.forget()
        try:
            await self._responder.answer(exchange, dialect, answered, downstream)
        finally:
            answered.upstream.close()

    async def _process(
        self, exchange: Exchange, route: Route, parsed: ParsedRequest, dialect: Dialect
    ) -> None:
        for hook in route.on_request:
            try:
                await hook(exchange, parsed, dialect)
            except ProxyError:
                raise
            except Exception as error:
                _log.exception("request %s: a processor failed", exchange.id)
                raise ProcessorFailed("a processor failed; the proxy's log says why") from error

    async def _pass_on(self, exchange: Exchange, downstream: Downstream) -> None:
        """A path that is no dialect's endpoint: as it is, body and all, if a route names it."""
        request = exchange.request
        path = request.path
        model = asked(path)
        if model is not None and self._models:
            self._answer_models(exchange, downstream, model)
            return
        plain = path.lower()
        if model is not None:
            plain = plain.replace("%2f", "/")  # SDKs encode the slash that a model's name may hold
        if not _is_plain(plain):
            raise BadRequest("the path is not in its plain form")
        # Where the routes know no model's name, the provider that takes them all does.
        route = self._router.passing(path, endpoint=model is not None)
        if route is None:
            raise NoRoute(f"no route takes {request.method} {path[:200]}")
        if request.method not in _METHODS:
            raise Unsupported(
                f"{request.method} does not pass through",
                status=405,
                headers={"allow": ", ".join(_METHODS)},
            )
        exchange.read_at = clock()
        exchange.bytes_in = request.length or 0
        exchange.route = exchange.pattern = route.name
        exchange.phase = "waiting"
        target, upstream = await self._client.pass_on(exchange, route)
        try:
            await self._responder.pass_on(
                exchange, self._dialect, upstream, downstream, target.timeouts
            )
        finally:
            upstream.close()

    def _answer_models(self, exchange: Exchange, downstream: Downstream, model: str) -> None:
        """Answer from what the routes know; `model` is which one, or "" for all."""
        request = exchange.request
        exchange.read_at = clock()
        exchange.operation = "models"
        if request.method not in ("GET", "HEAD"):
            raise Unsupported(
                f"{request.path[:200]} takes GET, not {request.method}",
                status=405,
                headers={"allow": "GET, HEAD"},
            )
        shape = shape_for(request.path, request.headers)
        if model:
            name = unquote(model)
            body = encode_one(self._models, name, shape)
            if body is None:
                raise NoRoute(f"no route takes model {name[:200]!r}", param="model")
        else:
            body = encode_list(self._models, shape)
        self._write(exchange, downstream, 200, b"", body)

    def _fail(
        self,
        exchange: Exchange,
        dialect: Dialect | None,
        downstream: Downstream,
        error: ProxyError,
    ) -> None:
        """Turn an error into bytes: the only place where that is done.

        Before the head is out it becomes an answer; after it, the last event of a stream and
        then a connection that breaks, so that nobody takes what came for the whole.
        """
        _untie(error)
        error.request_id = exchange.id
        if not exchange.told:
            exchange.error = error
        dialect = dialect or self._wording(exchange.request)
        if not downstream.started:
            fields = [line("x-llm-proxy-error", error.code)]
            fields.extend(line(name, value) for name, value in (error.headers or {}).items())
            status = dialect.status(error)
            self._write(exchange, downstream, status, b"".join(fields), dialect.error(error))
            return
        if exchange.events and not exchange.told:
            event = dialect.error_event(error)
            downstream.write(b"\n\n" + event if exchange.torn else event)
        elif dialect.arrays and exchange.stream and not exchange.told:
            # Within an element it makes no JSON, and neither would anything else.
            downstream.write(dialect.error_element(error, first=not exchange.bytes_out))
        downstream.abort()

    def _wording(self, request: RawRequest) -> Dialect:
        """Who words errors on paths that are no endpoint: the API that the client seems to use."""
        family: Shape = shape_for(request.path, request.headers)
        return self._router.family(family) or self._dialect

    def _write(
        self,
        exchange: Exchange,
        downstream: Downstream,
        status: int,
        fields: bytes,
        body: bytes,
    ) -> None:
        exchange.status = status
        exchange.started_at = clock()
        exchange.bytes_out = len(body)
        own = self._responder.own_fields(exchange)
        ours = b"x-request-id: %b\r\n" % exchange.id.encode("ascii")
        downstream.answer(status, b"".join((JSON_FIELD, own, ours, fields)), body)

    def _finish(self, exchange: Exchange) -> None:
        exchange.end(clock())
        del self.running[exchange]
        if self._idle is not None and not self.running:
            self._idle.set()
            self._idle = None
        for observer in (*exchange.hooks, *self._observers):
            try:
                observer(exchange)
            except Exception:
                # One observer's bug must not take the others' turn.
                _log.exception("request %s: an observer failed", exchange.id)


def _untie(error: BaseException | None) -> None:
    """Take the frames off an error: they hold the exchange, and that holds the error."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _is_plain(path: str) -> bool:
    if not path.startswith("/") or path.endswith(("/.", "/..")):
        return False
    return not any(trick in path for trick in _TRICKS)
