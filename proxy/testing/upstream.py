"""A scripted provider, on 127.0.0.1 or a unix socket: it answers, and breaks, as a test says."""

import asyncio
import contextlib
import os
import ssl
from collections import defaultdict
from types import TracebackType
from typing import Self

from proxy.tasks import spawn
from proxy.testing.connection import Connection, ReceivedRequest
from proxy.testing.steps import OnAccept, Script, Step, answer


class Upstream:
    """A raw HTTP/1.1 server that plays scripts: `async with Upstream(answer()) as upstream`.

    Each request takes the next script, and the last one repeats; a script is played when its
    request was read whole. Where the next script begins with `OnAccept()`, the next connection
    takes it instead, as soon as it is accepted. (If a request on an open connection comes first,
    it takes that script as well, and a `ReadRequest` in it finds this request.) After a script its
    connection waits for another request, unless the script or the peer closed it. When a script or
    a request was faulty, leaving the `async with` raises an ExceptionGroup.

    Once left it refuses connections; entered again it listens on the same port, and goes on with
    its scripts and records: a provider that comes back.

    With `socket` it listens on that path instead. With `tls`, its certificate in it, it speaks
    HTTPS.
    """

    def __init__(
        self, *scripts: Script, socket: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._scripts: list[tuple[Step, ...]] = [
            (script,) if callable(script) else tuple(script) for script in scripts or [answer()]
        ]
        self._taken = 0
        self._server: asyncio.Server
        self._all: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._arrivals: defaultdict[int, asyncio.Future[ReceivedRequest]] = defaultdict(
            lambda: asyncio.get_running_loop().create_future()
        )
        self._ends: defaultdict[int, asyncio.Future[float | None]] = defaultdict(
            lambda: asyncio.get_running_loop().create_future()
        )
        self.requests: list[ReceivedRequest] = []
        self.host = "127.0.0.1"
        self.port = 0
        self._socket = socket
        self._tls = tls

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or `unix:PATH:`, to which a path can be added."""
        if self._socket is not None:
            return f"unix:{self._socket}:"
        return f"{'http' if self._tls is None else 'https'}://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return len(self._all)

    @property
    def open_connections(self) -> int:
        """How many of them neither side has closed, as far as was seen."""
        return sum(connection.is_open for connection in self._all)

    @property
    def sent(self) -> int:
        """How many bytes the kernel took from the scripts of all connections."""
        return sum(connection.sent for connection in self._all)

    async def received(self, n: int = 1, *, within: float = 10.0) -> ReceivedRequest:
        """The n-th request, as soon as it was read; TimeoutError after `within` seconds."""
        arrival = self._arrivals[n]
        await asyncio.wait([arrival], timeout=within)
        if not arrival.done():
            raise TimeoutError(
                f"request {n} did not come within {within} s ({len(self.requests)} came)"
            )
        return arrival.result()

    async def closed(self, n: int = 1, *, within: float = 10.0) -> float:
        """When the peer closed or reset the n-th connection (`time.monotonic`).

        It is noticed whatever the script is doing, save for `Hold`.

        Raises TimeoutError if that was not seen within so many seconds from now, and RuntimeError
        if the script closed the connection first.
        """
        end = self._ends[n]
        await asyncio.wait([end], timeout=within)
        if not end.done():
            raise TimeoutError(
                f"connection {n} was not closed within {within} s ({self.connections} accepted)"
            )
        if (at := end.result()) is None:
            raise RuntimeError(f"connection {n} was closed by its script, not by the peer")
        return at

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._socket is not None:
            self._server = await loop.create_unix_server(self._connection, self._socket)
            return self
        self._server = await loop.create_server(
            self._connection, self.host, self.port, backlog=4096, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._all:
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._socket is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._socket)
        if self._failures and error is None:
            raise ExceptionGroup("the upstream's scripts failed", self._failures)

    def _connection(self) -> Connection:
        return Connection(self._accept, self._receive, self._end)

    def _accept(self, connection: Connection) -> int:
        self._all.append(connection)
        number = len(self._all)
        task = spawn(self._serve(connection), f"upstream connection {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return number

    def _receive(self, request: ReceivedRequest) -> None:
        self.requests.append(request)
        self._arrivals[len(self.requests)].set_result(request)

    def _end(self, connection: Connection, at: float | None) -> None:
        self._ends[connection.number].set_result(at)

    async def _serve(self, connection: Connection) -> None:
        try:
            if self._next_is_on_accept():
                await self._play(connection)
            while not connection.closing and await connection.read_request():
                if self._next_is_on_accept():
                    connection.unread()
                await self._play(connection)
                connection.skip_unread()
        except Exception as error:
            self._failures.append(error)
        finally:
            connection.cut()

    def _next_script(self) -> tuple[Step, ...]:
        return self._scripts[min(self._taken, len(self._scripts) - 1)]

    def _next_is_on_accept(self) -> bool:
        return isinstance(next(iter(self._next_script()), None), OnAccept)

    async def _play(self, connection: Connection) -> None:
        script = self._next_script()
        self._taken += 1
        for step in script:
            await step(connection)
