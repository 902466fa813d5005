"""The relay: moves a response from upstream to the client, as fast as the client takes it.

Bytes are moved in the upstream connection's own data callback: no task wakes up per chunk and
no queue stands anywhere. When the client's transport says stop, reading from upstream is paused
and the writer's `drain()` is awaited before it goes on: that is the whole of backpressure, and
what an exchange can hold is the two socket buffers, one read, and at most one frame.

What arrives in one read leaves in one write, unless it is large. Nothing is held back to be
coalesced, and a frame waits for no other.
"""

import asyncio
from bisect import bisect_left
from typing import Protocol

from proxy.dialect import StreamFailed, Watch
from proxy.errors import BadResponse, ClientTimeout, ProxyError
from proxy.exchange import Exchange
from proxy.framing import FramingError
from proxy.timers import Sweep

GAPS_PER_SECOND = 4096
GAP_BUCKETS = 32
GAP_BOUNDS = tuple(2**k / GAPS_PER_SECOND for k in range(GAP_BUCKETS - 1))
"""Upper bounds, in seconds, of the buckets that Exchange.gaps counts in."""

MAX_OPEN = 16 * 1024
"""Bytes of an open frame's beginning that are kept, to tell what it was when it has ended."""

_FRAME_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Sink(Protocol):
    """Who takes a response's body, called from the upstream connection's callbacks."""

    def data(self, payload: bytes, framed: bytes | None) -> None:
        """Some of the body; `framed` is the same, in whole chunks as they came, if it did."""

    def end(self) -> None:
        """The body is whole."""

    def broke(self, error: ProxyError) -> None:
        """There will be no more of the body."""


class Upstream(Protocol):
    """A response that has begun: its head is here, its body comes when a sink is attached."""

    status: int
    fields: list[tuple[bytes, bytes]]
    """Names in lower case."""
    lines: list[bytes]
    """The same fields as they came."""
    named: dict[bytes, bytes]
    """The same fields by name; of repeated ones, the last."""
    length: int | None
    """Bytes of the body; None when only its end will tell."""

    def whole(self) -> bytes | None:
        """The body, if all of it is here already; it is handed over by that."""

    @property
    def since(self) -> float:
        """When the last of it came (:func:`proxy.units.clock`)."""

    def attach(self, sink: Sink) -> None:
        """Hand over what has arrived and whatever arrives from now on."""

    def pause(self) -> None:
        """Read no more until `resume`; the idle timer stands still."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Done with it: keep the connection if the body was whole, else cut it off at once."""


class Downstream(Protocol):
    """Where a response goes."""

    started: bool
    """The head is out: what fails from now on can only break the response."""
    chunked: bool
    """The body goes out in chunked framing."""

    @property
    def writing_paused(self) -> bool:
        """The client takes less than it is sent: `drain` before writing more."""

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send a response that is whole."""

    def start(self, status: int, fields: bytes, length: int | None) -> None:
        """Begin a response; its head leaves with the first write, or at `flush`."""

    def write(self, data: bytes) -> bool:
        """Send some of the body; returns `writing_paused`."""

    def write_framed(self, data: bytes) -> bool:
        """Send some of the body that already is in chunked framing; returns `writing_paused`."""

    def flush(self) -> None:
        """Send the head if nothing has taken it along yet."""

    async def drain(self) -> None:
        """Return when there is room again."""

    def unsent(self) -> int:
        """Bytes that the client has not taken yet, in this process and in the kernel."""

    def finish(self) -> None:
        """End the response well."""

    def cancel(self) -> None:
        """Cancel whoever answers."""

    def abort(self) -> None:
        """End the response so that the client sees that it is not whole."""


class Relay:
    """Moves one body; `run` returns when it is whole and raises what broke it."""

    __slots__ = (
        "_downstream",
        "_finished",
        "_gaps",
        "_last",
        "_loose",
        "_open",
        "_paused",
        "_stuck_since",
        "_sweep",
        "_timed",
        "_unsent",
        "_upstream",
        "_wake",
        "_watch",
        "bytes_out",
        "error",
        "first_at",
        "last_at",
        "send_timeout",
    )

    def __init__(
        self,
        upstream: Upstream,
        downstream: Downstream,
        watch: Watch | None,
        *,
        sweep: Sweep,
        send_timeout: float,
        timed: bool,
    ) -> None:
        self._upstream = upstream
        self._downstream = downstream
        self._watch = watch
        self._sweep = sweep
        self.send_timeout = send_timeout
        self._timed = timed
        self._gaps = [0] * GAP_BUCKETS
        self.first_at = self.last_at = 0.0
        self.bytes_out = 0
        self._last = b""
        self._loose = timed and not (watch is not None and watch.whole_frames)
        self._open = False  # whether `_last` is the beginning of a frame
        self._paused = False
        self._finished = False
        self.error: ProxyError | None = None
        self._wake: asyncio.Future[None] | None = None
        self._stuck_since = 0.0
        self._unsent = 0

    async def run(self) -> None:
        """Move the body; raises the ProxyError that ended it before it was whole."""
        self._upstream.attach(self)
        self._downstream.flush()
        try:
            while self.error is None and (self._paused or not self._finished):
                if self._paused:
                    await self._drain()
                else:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
        except asyncio.CancelledError:
            # Cutting a stuck client off cancels whoever serves it.
            if self.error is None:
                raise
        finally:
            self._finished = True
        if self.error is not None:
            raise self.error
        if self._watch is not None:
            try:
                self._send(self._watch.close())
            except StreamFailed as failed:
                self._send(failed.rest)
                raise failed.error from None
        self._downstream.finish()

    @property
    def between_frames(self) -> bool:
        """Whether what the client has so far ends where a frame ends."""
        return not self._last or self._last.endswith(_FRAME_ENDS)

    @property
    def last_chunk(self) -> bytes:
        """The last of the body that was sent on."""
        return self._last

    def settle(self, exchange: Exchange) -> None:
        """Write what was counted into the exchange, however it ended."""
        exchange.first_at = self.first_at
        exchange.last_at = self.last_at
        exchange.chunks = sum(self._gaps) + bool(self.first_at)
        exchange.bytes_out += self.bytes_out
        exchange.torn = not self.between_frames
        exchange.gaps = self._gaps if self._timed else None
        if self._watch is not None:
            exchange.usage = self._watch.usage

    # Called by the upstream connection.

    def data(self, payload: bytes, framed: bytes | None) -> None:
        if self._finished:
            return
        now, last_at = self._upstream.since, self.last_at
        if last_at:
            self._gaps[bisect_left(GAP_BOUNDS, now - last_at)] += 1
        else:
            self.first_at = now
        self.last_at = now
        watch = self._watch
        try:
            out = payload if watch is None else watch.feed(payload)
        except FramingError as error:
            self.broke(BadResponse(f"the provider's stream cannot be read: {error}"))
            return
        except StreamFailed as failed:
            self._send(failed.rest)
            self.broke(failed.error)
            return
        downstream = self._downstream
        if out is payload and framed is not None and downstream.chunked:
            stuck = downstream.write_framed(framed)
        elif out:
            stuck = downstream.write(out)
        else:
            return
        self.bytes_out += len(out)
        if self._loose and (self._open or not out.endswith(b"\n\n")):
            # Where a frame ends shows what it was only together with its beginning.
            self._last = last = self._last[-MAX_OPEN:] + out if self._open else out
            self._open = not last.endswith(_FRAME_ENDS)
        else:
            self._last = out
        if stuck and not self._paused:
            self._paused = True
            self._upstream.pause()
            self._wake_up()

    def end(self) -> None:
        self._finished = True
        self._wake_up()

    def broke(self, error: ProxyError) -> None:
        if not self._finished:
            self.error = error
            self._finished = True
            self._wake_up()

    # Called by the sweep, while the client takes nothing.

    def check(self, now: float) -> None:
        unsent = self._downstream.unsent()
        if unsent != self._unsent:
            self._unsent = unsent
            self._stuck_since = now
        elif now - self._stuck_since >= self.send_timeout:
            self._sweep.discard(self)
            self.error = ClientTimeout(f"the client took nothing for {self.send_timeout:g} s")
            self._finished = True
            self._wake_up()
            self._downstream.abort()

    def _send(self, rest: bytes) -> None:
        if rest:
            self._downstream.write(rest)
            self.bytes_out += len(rest)
            self._last = rest

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _drain(self) -> None:
        self._unsent = -1
        if self.send_timeout:
            self._sweep.add(self)
        try:
            await self._downstream.drain()
        finally:
            self._sweep.discard(self)
        self._paused = False
        self._upstream.resume()


class _Collector:
    __slots__ = ("_limit", "_size", "done", "parts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.parts: list[bytes] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data(self, payload: bytes, framed: bytes | None) -> None:
        self.parts.append(payload)
        self._size += len(payload)
        if self._size > self._limit:
            self.end()

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def broke(self, error: ProxyError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def collect(upstream: Upstream, limit: int) -> bytes:
    """The body of a short response, or what came of it once that was more than `limit` bytes.

    Raises the ProxyError that broke it.
    """
    collector = _Collector(limit)
    upstream.attach(collector)
    await collector.done
    return b"".join(collector.parts)
