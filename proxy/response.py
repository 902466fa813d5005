"""A response's way back: what of a provider's answer a client gets, and under which head."""

from proxy.dialect import Dialect, Watch
from proxy.errors import BadCredentials, BadResponse, ProviderRefused
from proxy.exchange import Exchange, Timeouts
from proxy.headers import STREAM_FIELDS, returned
from proxy.relay import Downstream, Relay, Upstream, collect
from proxy.timers import Sweep
from proxy.units import clock

MAX_REFUSAL = 256 * 1024
"""Bytes of a provider's error that are read to understand it."""

JSON_FIELD = b"content-type: application/json\r\n"

_STREAM_DROPS = frozenset({b"cache-control", b"x-accel-buffering"})
_REFUSAL_DROPS = frozenset({b"content-type", b"content-encoding"})


class Responder:
    """Passes responses on to clients."""

    __slots__ = ("_named", "_sweep")

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._named: dict[tuple[str, str], bytes] = {}

    async def answer(
        self,
        exchange: Exchange,
        dialect: Dialect,
        upstream: Upstream,
        downstream: Downstream,
        timeouts: Timeouts,
        *,
        strip: bool,
        trusted: bool,
    ) -> None:
        """Pass on what a provider answered to a request of `dialect`.

        `trusted`: the provider knows us by a token of ours, so a 401 is not about the client.
        Raises BadResponse for what no endpoint of the dialect answers, and whatever breaks it.
        """
        status = upstream.status
        fields = dict(upstream.fields)
        if status >= 400:
            await self._refuse(exchange, dialect, upstream, downstream, trusted=trusted)
            return
        kind = fields.get(b"content-type", b"").lower()
        if status != 200 and not 201 <= status <= 203:
            raise BadResponse(f"the provider answered {status}, which is neither yes nor no")
        if upstream.length == 0:
            raise BadResponse(f"the provider answered {status} without a body")
        if kind.startswith(b"text/html"):
            raise BadResponse(
                f"the provider answered {status} with a page of HTML: is its url right?"
            )
        coded = fields.get(b"content-encoding", b"identity") != b"identity"
        if coded and (strip or not _accepts(exchange, fields[b"content-encoding"])):
            coding = fields[b"content-encoding"].decode("latin-1")
            raise BadResponse(f"the provider answered in {coding}, which nobody asked for")
        exchange.events = kind.startswith(b"text/event-stream")
        strip = strip and exchange.events
        watch = None if coded else dialect.watch(stream=exchange.events, strip=strip)
        whole = upstream.whole()
        if whole is not None:
            self._pass_whole(exchange, dialect, upstream, downstream, watch, whole)
            return
        relay = Relay(
            upstream,
            downstream,
            watch,
            sweep=self._sweep,
            send_timeout=timeouts.send,
            timed=exchange.events,
        )
        self._start(exchange, upstream, downstream, length=None if strip else upstream.length)
        try:
            await _move(relay, exchange)
        finally:
            if exchange.events and not coded:
                _listen(exchange, dialect, relay.last_chunk)

    def _pass_whole(
        self,
        exchange: Exchange,
        dialect: Dialect,
        upstream: Upstream,
        downstream: Downstream,
        watch: Watch | None,
        body: bytes,
    ) -> None:
        """Pass on a response all of which came with its head: nothing is left to wait for."""
        if watch is not None:
            body = watch.feed(body) + watch.close()
            exchange.usage = watch.usage
            if exchange.events:
                _listen(exchange, dialect, body)
        self._start(exchange, upstream, downstream, length=len(body))
        exchange.first_at = exchange.last_at = exchange.started_at
        exchange.chunks = 1
        exchange.bytes_out = len(body)
        downstream.write(body)
        downstream.finish()

    async def pass_on(
        self,
        exchange: Exchange,
        dialect: Dialect,
        upstream: Upstream,
        downstream: Downstream,
        timeouts: Timeouts,
    ) -> None:
        """Pass on what a provider answered to a request that passed through as it was."""
        if upstream.status >= 400:
            exchange.error, _ = dialect.refusal(upstream.status, b"")
        relay = Relay(
            upstream,
            downstream,
            None,
            sweep=self._sweep,
            send_timeout=timeouts.send,
            timed=False,
        )
        self._start(exchange, upstream, downstream, length=_length(exchange, upstream))
        await _move(relay, exchange)

    def own_fields(self, exchange: Exchange) -> bytes:
        """The fields that each response carries from us."""
        named = self._named.get((exchange.route, exchange.provider))
        if named is None:
            named = self._named[exchange.route, exchange.provider] = b"".join(
                b"x-llm-proxy-%b: %b\r\n" % (name, value.encode("latin-1", "replace"))
                for name, value in ((b"route", exchange.route), (b"provider", exchange.provider))
                if value
            )
        upstream_ms = (exchange.head_at - exchange.sent_at) * 1000 if exchange.head_at else 0.0
        whole_ms = (exchange.started_at - exchange.received_at) * 1000
        return (
            b"%bx-llm-proxy-request-id: %b\r\nx-llm-proxy-attempts: %d\r\n%b"
            b"server-timing: proxy;dur=%.3f, upstream;dur=%.3f\r\n"
        ) % (
            named,
            exchange.id.encode("ascii"),
            exchange.attempts,
            b"x-llm-proxy-model: %b\r\n" % exchange.model.encode("latin-1", "replace")
            if exchange.model
            else b"",
            max(whole_ms - upstream_ms, 0.0),
            upstream_ms,
        )

    def _start(
        self,
        exchange: Exchange,
        upstream: Upstream,
        downstream: Downstream,
        *,
        length: int | None,
        drop: frozenset[bytes] = frozenset(),
        also: bytes = b"",
    ) -> None:
        exchange.status = upstream.status
        exchange.started_at = clock()
        exchange.phase = "streaming"
        if exchange.events:
            drop, also = _STREAM_DROPS, STREAM_FIELDS
        theirs = dict(upstream.fields)
        lines = returned(upstream.fields, theirs.get(b"connection"), drop=drop)
        lines.append(self.own_fields(exchange))
        if b"x-request-id" not in theirs:
            lines.append(b"x-request-id: %b\r\n" % exchange.id.encode("ascii"))
        if exchange.error is not None:
            lines.append(b"x-llm-proxy-error: %b\r\n" % exchange.error.code.encode("ascii"))
        lines.append(also)
        downstream.start(upstream.status, b"".join(lines), length)

    async def _refuse(
        self,
        exchange: Exchange,
        dialect: Dialect,
        upstream: Upstream,
        downstream: Downstream,
        *,
        trusted: bool,
    ) -> None:
        """Pass a provider's error on in its own words, or in ours where those do not fit."""
        body = await collect(upstream, MAX_REFUSAL)
        error, fit = dialect.refusal(upstream.status, body)
        if isinstance(error, BadCredentials):
            if trusted:
                # The provider's words are about our credentials; they are not the client's to see.
                raise error
            error = ProviderRefused(str(error), status=upstream.status)
        exchange.error = error
        if fit and len(body) <= MAX_REFUSAL:
            self._start(exchange, upstream, downstream, length=len(body))
        else:
            body = dialect.error(error)
            self._start(
                exchange,
                upstream,
                downstream,
                length=len(body),
                drop=_REFUSAL_DROPS,
                also=JSON_FIELD,
            )
        exchange.bytes_out = len(body)
        downstream.write(body)
        downstream.finish()


async def _move(relay: Relay, exchange: Exchange) -> None:
    try:
        await relay.run()
    finally:
        relay.settle(exchange)


def _listen(exchange: Exchange, dialect: Dialect, last: bytes) -> None:
    """Hear whether the stream ended in an error that the provider told of."""
    said = dialect.failure(last)
    if said is not None:
        exchange.error, exchange.told = said, True


def _length(exchange: Exchange, upstream: Upstream) -> int | None:
    """The length to tell: without a body, that of the one it stands for (RFC 9110 8.6)."""
    if exchange.request.method != "HEAD" and upstream.status not in (204, 304):
        return upstream.length
    said = dict(upstream.fields).get(b"content-length", b"")
    return int(said) if said.isdigit() and upstream.status != 204 else None


def _accepts(exchange: Exchange, coding: bytes) -> bool:
    return coding.decode("latin-1").lower() in exchange.request.headers.get("accept-encoding", "")
