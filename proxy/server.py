"""The data edge: ordinary requests through a front of our own, all others through aiohttp.

Behind the front stands aiohttp's low-level server, without application, router or middleware.
What that leaves open is closed here: a deadline and a size for whole heads, framing errors that
come later than the head, and connections whose client never takes the rest of what it was sent.

What is used of aiohttp beyond its documented interface (tests/e2e/test_hooks.py holds each to it,
and aiohttp is pinned to the minor version they were tested with):

| hook | contract |
|---|---|
| ``web.Server.__call__``, ``_loop``, ``_kwargs`` | makes the protocol of each connection |
| ``web.Server._connections`` | protocol -> transport, until it is lost and its task over |
| ``web.Server.connection_lost(protocol, exc)`` | may be extended; what forgets a connection |
| ``request_factory(message, payload, protocol, writer, task)`` | makes the request object |
| the request's ``_finish()``, ``_cancel(exc)``, ``_task`` | all that RequestHandler asks of it |
| the response's ``prepare``, ``write_eof``, ``keep_alive`` | all that RequestHandler asks of it |
| ``RequestHandler.data_received``, ``eof_received`` | may be extended |
| ``RequestHandler._messages``, ``_waiter``, ``_current_request`` | heads read; idle; at work |
| ``RequestHandler._request_count`` | heads read so far |
| ``RequestHandler._lingering_time`` | seconds to wait for the rest of a body nobody reads |
| ``RequestHandler._task_handler`` | what serves the connection; cancelled, the handler is |
| ``RequestHandler.connection_made(transport)`` | may come after ``transport.set_protocol`` |
| ``RequestHandler.handle_error(request, status, exc, message)`` | answers what cannot be parsed |
| "Too many headers received" | the message of that error |
| ``web_protocol.ERROR``, ``_ErrInfo`` | stand for a request that cannot be parsed |
| ``StreamReader.set_exception``, ``read_nowait``, ``is_eof``, ``at_eof`` | of a request's body |
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong, TransferEncodingError
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo

from proxy.downstream import CLOSE_SECONDS, Limits
from proxy.errors import BadRequest, ClientLeft, ClientTimeout, ConfigError, ProxyError
from proxy.front import FRESH_SECONDS, Front
from proxy.handshake import Gate, Terms
from proxy.listener import BACKLOG
from proxy.outbox import Outbox
from proxy.pipeline import Pipeline
from proxy.request import MAX_FIELD, MAX_FIELDS, MAX_HEAD, Request, fault, head_too_large
from proxy.sockets import bound, has_left, unread
from proxy.tasks import spawn
from proxy.units import clock

SWEEP_SECONDS = 1.0

_TOO_MANY_FIELDS = "Too many headers received"

TESTED = "3.14."
"""The minor version of aiohttp whose hooks the edges were tested with."""


def check_aiohttp(version: str) -> None:
    """Raise ConfigError for an aiohttp whose hooks may have moved."""
    if not version.startswith(TESTED):
        raise ConfigError(
            [f"aiohttp {version} is installed; the edges are made for {TESTED}x (>=3.14.5,<3.15)"]
        )


class Server:
    """Listens for clients and hands their requests to the pipeline."""

    def __init__(self, pipeline: Callable[[], Pipeline], limits: Limits) -> None:
        """`pipeline` gives the one to use for the next request. Raises ConfigError."""
        check_aiohttp(aiohttp.__version__)
        self.limits = limits
        self.closing = False
        self.stopped = False
        self.outbox = Outbox()
        self.pipeline = pipeline
        self._gate = Gate(self._front, self.left, CLOSE_SECONDS)
        self._web = _WebServer(self)
        self._fronts: set[Front] = set()
        self._listeners: list[tuple[asyncio.Server, socket.socket]] = []
        self._accepting: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._emptied: asyncio.Event | None = None
        self._lingers_until = 0.0

    async def listen(self, sock: socket.socket) -> Callable[[], None]:
        """Accept connections on a listening socket; what is returned ends that, and no more."""
        loop = asyncio.get_running_loop()
        if sock.family == getattr(socket, "AF_UNIX", None):
            listener = await loop.create_unix_server(self._gate, sock=sock, backlog=BACKLOG)
        else:
            listener = await loop.create_server(self._gate, sock=sock, backlog=BACKLOG)
        self._listeners.append((listener, sock))
        if self._sweeper is None:
            self._sweeper = spawn(self._sweep(), "server sweep")
        return listener.close

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        opening = len(self._accepting) + len(self._gate.opening)
        return len(self._fronts) + len(self._web.connections) + opening

    async def emptied(self) -> None:
        """Return once no client is connected."""
        while self.connections:
            self._emptied = self._emptied or asyncio.Event()
            await self._emptied.wait()

    def change(self, limits: Limits, tls: Terms | None = None) -> None:
        """Allow clients this from now on, and forget what was made of their last requests.

        `tls` is for those who connect from now on.
        """
        self.limits = limits
        self._gate.terms = tls
        self._web._kwargs["keepalive_timeout"] = limits.keepalive_timeout
        for front in self._fronts:
            front.forget()

    def wind_down(self) -> None:
        """Have each connection close after its response, which tells the client so."""
        self.closing = True

    def stop_listening(self, linger: float = 0.0) -> None:
        """Accept no more; busy connections close after their response, others after `linger` s."""
        self.wind_down()
        self.stopped = not linger
        self._lingers_until = clock() + linger
        for listener, sock in self._listeners:
            self._accept_waiting(sock)
            listener.close()
        self._listeners.clear()
        if not linger:
            self._close_idle(clock())

    async def close(self, limit: float) -> None:
        """Close every connection; what is still to be sent may take `limit` seconds."""
        self.stop_listening()
        self._gate.abort()
        for front in tuple(self._fronts):
            front.close()
        await self._web.shutdown(limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self.emptied()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _accept_waiting(self, sock: socket.socket) -> None:
        """Accept those that are connected already, as far as they know."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                waiting, _ = sock.accept()
            except OSError:
                return
            waiting.setblocking(False)
            accepting = loop.connect_accepted_socket(self._gate, waiting)
            task = spawn(accepting, "accept one of the last")
            self._accepting.add(task)
            task.add_done_callback(self._accepted)

    def _accepted(self, task: asyncio.Task[Any]) -> None:
        self._accepting.discard(task)
        self.left()

    def _close_idle(self, now: float) -> None:
        self._gate.abort(now - FRESH_SECONDS)
        for front in tuple(self._fronts):
            front.close_if_idle(now)
        for connection in self._web.connections:
            cast(Connection, connection).close_if_idle()

    # What the fronts ask.

    def arrived(self, front: Front) -> None:
        assert front.transport is not None
        bound(front.transport)
        self._fronts.add(front)

    def gone(self, front: Front) -> None:
        self._fronts.discard(front)
        self.left()

    def left(self) -> None:
        """A connection is closed."""
        if self._emptied is not None and not self.connections:
            self._emptied.set()
            self._emptied = None

    def hand_over(self, front: Front, data: bytes) -> None:
        transport = front.transport
        assert transport is not None
        self._fronts.discard(front)
        connection = self._web()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if front.writing_paused:
            connection.pause_writing()
        connection.data_received(data)

    # What aiohttp's server asks.

    async def answer(self, request: Request) -> Request:
        """Answer one request; what aiohttp calls its handler."""
        await self.pipeline().run(request, request)
        return request

    def refuse(self, request: Request, error: ProxyError) -> Request:
        """Answer what is not even a request."""
        self.pipeline().refuse(request, request, error)
        return request

    def _front(self) -> Front:
        return Front(self)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = clock()
            if 0 < self._lingers_until <= now:
                self.stopped = True
                self._close_idle(now)
            for front in tuple(self._fronts):
                front.check(now)
            for connection, transport in list(self._web._connections.items()):
                cast(Connection, connection).check(now, transport)


class _WebServer(web.Server):
    """aiohttp's server, with our connections."""

    def __init__(self, owner: Server) -> None:
        super().__init__(
            cast(Any, owner.answer),
            request_factory=cast(Any, Request),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
            keepalive_timeout=owner.limits.keepalive_timeout,
        )
        self._owner = owner

    def __call__(self) -> RequestHandler:
        return Connection(self._owner, self, loop=self._loop, **self._kwargs)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        task = handler._task_handler
        super().connection_lost(handler, exc)
        self._owner.left()
        if task is not None:  # until that is over, what is lost counts as a connection
            task.add_done_callback(lambda _: self._owner.left())


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_closed_at", "_head_at", "_head_bytes", "_owner", "_peer")

    def __init__(self, owner: Server, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._owner = owner
        self._head_at = 0.0
        """When the first byte of a head came whose last has not."""
        self._head_bytes = 0
        self._closed_at = 0.0
        self._peer = ""

    @property
    def limits(self) -> Limits:
        """What this connection may ask for."""
        return self._owner.limits

    @property
    def closing(self) -> bool:
        """Whether the server takes no further requests."""
        return self._owner.closing

    @property
    def peer(self) -> str:
        """The client's address; "unix" for a client on this machine's socket."""
        if not self._peer:
            name: Any = self.peername
            self._peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
        return self._peer

    async def drain(self) -> None:
        """Return when the transport has room again. Raises ClientLeft."""
        try:
            await StreamWriter(self, self._loop).drain()
        except ConnectionError as error:
            raise ClientLeft("the client closed the connection") from error

    def cancel(self) -> None:
        """Cancel whoever answers the request at work."""
        if self._task_handler is not None:
            self._task_handler.cancel()

    def data_received(self, data: bytes) -> None:
        known = len(self._messages)
        expects_head = self._expects_head()
        super().data_received(data)
        current = cast(Request | None, self._current_request)
        if len(self._messages) > known:
            self._head_at, self._head_bytes = 0.0, 0
            for index in range(known, len(self._messages)):
                message = self._messages[index][0]
                if isinstance(message, _ErrInfo):
                    message.exc.__traceback__ = None  # it holds the request at work
                    continue
                wrong = fault(message)
                if wrong is not None:
                    self._messages[index] = (_ErrInfo(400, wrong, str(wrong)), EMPTY_PAYLOAD)
            if current is not None and isinstance(self._messages[-1][0], _ErrInfo):
                # The body of the request at work is broken, and aiohttp would neither tell it
                # nor stop waiting for the rest.
                current._cancel(TransferEncodingError("a chunk is malformed"))
                self._lingering_time = 0.0
        elif data and expects_head:  # aiohttp reads on with nothing, too
            self._head_at = self._head_at or clock()
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                if self._waiter is not None:
                    self._refuse(head_too_large())
                else:
                    self.close()

    def eof_received(self) -> None:
        # A client that says no more is taken to want no more: whoever waits for an answer keeps
        # its side open, and nothing tells the others from those that left.
        if self._current_request is not None and self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Any:
        """Answer a request that could not be parsed."""
        error: ProxyError
        if status >= 500:
            # The pipeline lets nothing out, and logged what happened.
            request.abort()
            return request
        if isinstance(exc, ProxyError):
            error = exc
        elif isinstance(exc, LineTooLong) or message == _TOO_MANY_FIELDS:
            error = head_too_large()
        else:
            error = BadRequest("the request is not valid HTTP")
            error.__cause__ = exc
        return self._owner.refuse(request, error)

    def close_if_idle(self) -> None:
        """Close a connection on which nothing was asked."""
        transport = self.transport
        if self._waiter is None or self._messages or self._head_at or transport is None:
            return
        if not unread(transport):
            self.force_close()

    def check(self, now: float, transport: asyncio.Transport) -> None:
        """Enforce the deadlines that no event would."""
        if has_left(transport):
            transport.abort()
        elif transport.is_closing():
            if not self._closed_at:
                self._closed_at = now
            elif now - self._closed_at > CLOSE_SECONDS:
                transport.abort()
        elif self._head_at and self._waiter is not None:
            limit = self.limits.head_timeout
            if limit and now - self._head_at >= limit:
                self._refuse(ClientTimeout(f"the head was not whole after {limit:g} s"))

    def _expects_head(self) -> bool:
        """Whether what comes belongs to no body."""
        if self._messages:
            return False
        if self._current_request is not None:
            return not cast(Request, self._current_request).unread
        return self._waiter is not None or not self._request_count

    def _refuse(self, error: ProxyError) -> None:
        writer = StreamWriter(self, self._loop)
        self._owner.refuse(Request(ERROR, EMPTY_PAYLOAD, self, writer, cast(Any, None)), error)
        self.force_close()
