"""The front: reads ordinary requests itself, and hands every other connection to aiohttp.

What applications send all day is one kind of request: a POST to an endpoint of a dialect, its
head in one piece, its body of a known length. Reading those here spares aiohttp's server objects
and one task wake-up per request, and two thirds of the memory of an idle stream. The first
request on a connection that is anything else is not touched: the connection is handed over with
every byte of it, for good.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol, cast

from proxy.downstream import BODY_PACE, CLOSE_SECONDS, Downstream, Limits
from proxy.errors import ClientLeft, ClientTimeout, ProxyError
from proxy.framing.request import OrdinaryHead, parse_ordinary
from proxy.outbox import Outbox
from proxy.pipeline import Pipeline
from proxy.sockets import has_left, unread
from proxy.units import clock

MAX_PIPELINED = 64 * 1024
"""Bytes of further requests that are held while one is at work."""


FRESH_SECONDS = 1.0
"""How soon a new connection is asked something: until then it is not idle."""


class Owner(Protocol):
    """The server behind the fronts."""

    limits: Limits
    closing: bool
    """Each response is the last one of its connection, and says so."""
    stopped: bool
    """Nothing more is expected of anybody."""
    outbox: Outbox

    def pipeline(self) -> Pipeline:
        """The pipeline to use for the next request."""

    def arrived(self, front: "Front") -> None:
        """The connection is open."""

    def hand_over(self, front: "Front", data: bytes) -> None:
        """Let aiohttp serve the connection from `data` on."""

    def gone(self, front: "Front") -> None:
        """The connection is closed."""


class Headers(Mapping[str, str]):
    """Header fields by name, decoded when somebody asks."""

    __slots__ = ("_by_name", "_decoded")

    def __init__(self, by_name: dict[bytes, bytes]) -> None:
        self._by_name = by_name
        self._decoded: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        value = self._find(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        try:
            value = self._decoded[name]
        except KeyError:
            value = self._decoded[name] = self._find(name)
        return default if value is None else value

    def _find(self, name: str) -> str | None:
        value = self._by_name.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1").strip()

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


class Known:
    """A head that a connection sent, and what was made of it: its next one is mostly the same."""

    __slots__ = ("endpoint", "forwarded", "head", "headers", "target")

    def __init__(self, head: OrdinaryHead, pipeline: Pipeline) -> None:
        self.head = head
        self.target = head.target.decode("ascii")
        self.endpoint = "#" not in self.target and pipeline.takes(self.target.partition("?")[0])
        """It asks a dialect's endpoint: any other path is aiohttp's to serve."""
        self.headers = Headers(head.by_name)
        self.forwarded: dict[object, bytes] = {}


class OrdinaryRequest(Downstream):
    """One ordinary request and its response."""

    __slots__ = ("_body", "_error")

    def __init__(
        self, connection: "Front", known: "Known", body: bytes, error: ProxyError | None = None
    ) -> None:
        """`error` is why the body is not whole."""
        super().__init__(
            connection,
            "POST",
            known.target,
            http11=True,
            keep_alive=True,
            outbox=connection.outbox,
        )
        self._body = body
        self._error = error
        self.headers = known.headers
        self.raw_headers = known.head.fields
        self.forwarded = known.forwarded
        self.length = len(body)

    @property
    def unread(self) -> bool:
        return self._error is not None

    async def body(self) -> bytes:
        """The whole body, handed over: it is asked for once."""
        if self._error is not None:
            raise self._error
        body, self._body = self._body, b""
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The whole body, in one piece."""
        yield self._body


class Front(asyncio.Protocol):
    """One client's connection, as long as it sends nothing but ordinary requests."""

    __slots__ = (
        "_arrived",
        "_asked",
        "_closed_at",
        "_drained",
        "_known",
        "_length",
        "_loop",
        "_marked",
        "_owner",
        "_parts",
        "_peer",
        "_rest",
        "_since",
        "_task",
        "transport",
        "writing_paused",
    )

    def __init__(self, owner: Owner) -> None:
        self.transport: asyncio.Transport | None = None
        self.writing_paused = False
        self._owner = owner
        self._loop = asyncio.get_running_loop()  # in Python 3.11 each asking is a system call
        self._peer = ""
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._asked = False
        """Whether there was a request."""
        self._known: Known | None = None
        """The last request's head."""
        self._length = -1
        """Bytes of the body that is coming; -1 while none is."""
        self._parts: list[bytes] = []
        self._arrived = self._marked = 0
        self._rest = b""
        """What came behind the request at work."""
        self._since = clock()
        """Idle since; while a body comes, when it last kept pace."""
        self._closed_at = 0.0

    # What a request asks of its connection.

    @property
    def limits(self) -> Limits:
        return self._owner.limits

    @property
    def closing(self) -> bool:
        return self._owner.closing

    @property
    def outbox(self) -> Outbox:
        """What gathers the responses' writes."""
        return self._owner.outbox

    @property
    def peer(self) -> str:
        if not self._peer and self.transport is not None:
            name = self.transport.get_extra_info("peername")
            self._peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
        return self._peer

    async def drain(self) -> None:
        if self.writing_paused and self.transport is not None:
            self._drained = self._loop.create_future()
            await self._drained
        if self.transport is None:
            raise ClientLeft("the client closed the connection")

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._owner.arrived(self)

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self._rest += data
            if len(self._rest) > MAX_PIPELINED and self.transport is not None:
                self.transport.pause_reading()
        elif self._length < 0:
            self._begin(data)
        else:
            self._parts.append(data)
            self._arrived += len(data)
            self._body_came()

    def eof_received(self) -> None:
        # A client that says no more is taken to want no more: whoever waits for an answer keeps
        # its side open, and nothing tells the others from those that left.
        if self.transport is not None:
            if self._task is not None:
                self.transport.abort()
            else:
                self.outbox.release(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._owner.gone(self)
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()
        elif self._length >= 0 and self._known is not None:
            left = ClientLeft("the client closed the connection")
            request = OrdinaryRequest(self, self._known, b"", left)
            self._owner.pipeline().refuse(request, request, left)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # One request after the other.

    def _begin(self, data: bytes) -> None:
        known = self._known
        body = None if known is None else known.head.again(data)
        if body is None:
            self._asked = True
            head = parse_ordinary(data)
            if head is None:
                self._hand_over(data)
                return
            known = self._known = Known(head, self._owner.pipeline())
            body = head.again(data)
        assert known is not None
        assert body is not None
        owner = self._owner
        start, length = body
        if not known.endpoint or length > owner.limits.max_body_size or owner.closing:
            self._hand_over(data)
        elif len(data) - start == length:
            self._answer(OrdinaryRequest(self, known, data[start:]))
        else:
            self._length = length
            self._parts = [data[start:]]
            self._arrived = self._marked = len(data) - start
            self._since = clock()
            self._body_came()

    def _hand_over(self, data: bytes) -> None:
        if self.transport is not None:
            self.outbox.release(self.transport)
            self._owner.hand_over(self, data)

    def _body_came(self) -> None:
        length = self._length
        if self._arrived >= length:
            body = b"".join(self._parts)
            self._parts = []
            self._length = -1
            if len(body) > length:
                body, self._rest = body[:length], body[length:]
            assert self._known is not None
            self._answer(OrdinaryRequest(self, self._known, body))
        elif self._arrived - self._marked >= BODY_PACE:
            self._marked = self._arrived
            self._since = clock()

    def _answer(self, request: OrdinaryRequest) -> None:
        self._task = asyncio.Task(self._run(request), loop=self._loop, name="exchange")

    async def _run(self, request: OrdinaryRequest) -> None:
        try:
            await self._owner.pipeline().run(request, request)
        except asyncio.CancelledError:
            self._close()
            raise
        finally:
            self._task = None
        transport = self.transport
        if transport is None:
            return
        if not request.keep_alive or self._owner.stopped:
            self._close()
            return
        self._since = clock()
        if self._rest:
            rest, self._rest = self._rest, b""
            transport.resume_reading()
            self._begin(rest)

    # Called by the server.

    def forget(self) -> None:
        """Make anew what was made of the last request: it may hold what a reload replaced."""
        if self._length < 0:
            self._known = None

    def close_if_idle(self, now: float) -> None:
        """Close a connection on which nothing was asked, and nothing is just being asked."""
        transport = self.transport
        if self._task is not None or self._length >= 0 or transport is None:
            return
        fresh = not self._asked and now - self._since < FRESH_SECONDS
        if not fresh and not unread(transport):
            self._close()

    def close(self) -> None:
        """Close the connection, whatever happens on it."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._close()

    def check(self, now: float) -> None:
        """Enforce the deadlines that no event would."""
        transport, limits = self.transport, self._owner.limits
        if transport is None:
            return
        if has_left(transport):
            transport.abort()
        elif self._task is not None:
            return
        elif transport.is_closing():
            self._closed_at = self._closed_at or now
            if now - self._closed_at > CLOSE_SECONDS:
                transport.abort()
        elif self._length >= 0 and self._known is not None:
            if 0 < limits.body_timeout <= now - self._since:
                slow = ClientTimeout(
                    f"the body did not keep coming: {limits.body_timeout:g} s brought "
                    f"less than {BODY_PACE} bytes"
                )
                self._length, self._parts = -1, []
                self._answer(OrdinaryRequest(self, self._known, b"", slow))
        elif 0 < limits.keepalive_timeout <= now - self._since:
            self._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.outbox.release(self.transport)
            self.transport.close()
