"""A response's way back: what of a provider's answer a client gets, and under which head."""

import msgspec

from proxy.client import Answered
from proxy.dialect import Dialect, Watch
from proxy.errors import BadCredentials, BadResponse, ProviderRefused, ProxyError
from proxy.exchange import Exchange, Timeouts
from proxy.headers import STREAM_FIELDS, line, returned
from proxy.relay import Downstream, Relay, Upstream, collect
from proxy.timers import Sweep
from proxy.translation import Translation, Translator
from proxy.units import clock

MAX_REFUSAL = 256 * 1024
"""Bytes of a provider's error that are read to understand it."""

MAX_WHOLE = 64 * 1024 * 1024
"""Bytes of a response that is translated as a whole."""

JSON_FIELD = b"content-type: application/json\r\n"

_NONE: frozenset[bytes] = frozenset()
_STREAM_DROPS = frozenset({b"cache-control", b"x-accel-buffering"})
_REFUSAL_DROPS = frozenset({b"content-type", b"content-encoding"})
_TRANSLATED_DROPS = _REFUSAL_DROPS

_MAX_NAMED = 1024
"""Combinations of names whose fields are remembered."""


class Kind(msgspec.Struct, frozen=True, gc=False):
    """What a content type says of a response."""

    page: bool
    """It is for people to read."""
    events: bool
    """It is a stream of server-sent events."""
    frames: bool
    """It comes in frames: as such events, or as Amazon's."""


_kinds: dict[bytes, Kind] = {}
_MAX_KINDS = 256
_MAX_KIND = 256
"""Bytes of a content type that is remembered."""


def _kind(content_type: bytes) -> Kind:
    plain = content_type.lower()
    events = plain.startswith(b"text/event-stream")
    frames = events or plain.startswith(b"application/vnd.amazon.eventstream")
    kind = Kind(plain.startswith(b"text/html"), events, frames)
    if len(_kinds) < _MAX_KINDS and len(plain) <= _MAX_KIND:
        _kinds[content_type] = kind
    return kind


class Responder:
    """Passes responses on to clients."""

    __slots__ = ("_named", "_sweep")

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._named: dict[tuple[str, str, str], bytes] = {}

    async def answer(
        self, exchange: Exchange, dialect: Dialect, answered: Answered, downstream: Downstream
    ) -> None:
        """Pass on what a provider answered to a request of `dialect`.

        Raises BadResponse for what no endpoint of the dialect answers, and whatever breaks it.
        """
        upstream, strip, translation = answered.upstream, answered.strip, answered.translation
        status = upstream.status
        fields = upstream.named
        if status >= 400:
            await self._refuse(exchange, dialect, answered, downstream)
            return
        said = fields.get(b"content-type", b"")
        kind = _kinds.get(said) or _kind(said)
        if status != 200 and not 201 <= status <= 203:
            raise BadResponse(f"the provider answered {status}, which is neither yes nor no")
        if upstream.length == 0:
            raise BadResponse(f"the provider answered {status} without a body")
        if kind.page:
            raise BadResponse(
                f"the provider answered {status} with a page of HTML: is its url right?"
            )
        coded = fields.get(b"content-encoding", b"identity") != b"identity"
        if coded and (
            strip or translation is not None or not _accepts(exchange, fields[b"content-encoding"])
        ):
            coding = fields[b"content-encoding"].decode("latin-1")
            raise BadResponse(f"the provider answered in {coding}, which nobody asked for")
        if translation is not None:
            await self._translate(exchange, answered, translation, downstream, kind)
            return
        exchange.events = kind.events
        strip = strip and exchange.events
        watch = None if coded else dialect.watch(stream=exchange.events, strip=strip)
        whole = upstream.whole()
        if whole is not None:
            self._pass_whole(exchange, dialect, upstream, downstream, watch, whole)
            return
        listens = exchange.events or (dialect.arrays and exchange.stream)
        relay = Relay(
            upstream,
            downstream,
            watch,
            sweep=self._sweep,
            send_timeout=answered.target.timeouts.send,
            timed=listens,
        )
        self._start(exchange, upstream, downstream, length=None if strip else upstream.length)
        try:
            await _move(relay, exchange)
        finally:
            if listens and not coded:
                _listen(exchange, dialect, relay.last_chunk)

    async def _translate(
        self,
        exchange: Exchange,
        answered: Answered,
        translation: Translation,
        downstream: Downstream,
        kind: "Kind",
    ) -> None:
        """Say to the client what a provider answered in another dialect."""
        upstream = answered.upstream
        events = kind.frames
        if translation.stream and events:
            exchange.events = _kind(translation.content_type()).frames
            self._start(
                exchange,
                upstream,
                downstream,
                length=None,
                also=_said(translation) + STREAM_FIELDS,
                drop=_TRANSLATED_DROPS | _STREAM_DROPS,
            )
            relay = Relay(
                upstream,
                downstream,
                Translator(translation),
                sweep=self._sweep,
                send_timeout=answered.target.timeouts.send,
                timed=True,
            )
            await _move(relay, exchange)
            return
        body = upstream.whole()
        if body is None:
            body = await collect(upstream, MAX_WHOLE)
        if len(body) > MAX_WHOLE:
            raise BadResponse(f"the provider's answer has more than {MAX_WHOLE} bytes")
        try:
            body = translation.whole(body, events=events)
        finally:
            exchange.usage = translation.usage
        said = _said(translation)
        if translation.native_stop:
            word = translation.native_stop.encode("ascii", "replace")[:64]
            said += b"x-llm-proxy-upstream-finish-reason: %b\r\n" % word
        self._start(
            exchange,
            upstream,
            downstream,
            body=body,
            also=said,
            drop=_TRANSLATED_DROPS,
        )
        exchange.first_at = exchange.last_at = exchange.started_at
        exchange.chunks = 1

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
            if exchange.events or (dialect.arrays and exchange.stream):
                _listen(exchange, dialect, body)
        self._start(exchange, upstream, downstream, body=body)
        exchange.first_at = exchange.last_at = exchange.started_at
        exchange.chunks = 1

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
        names = (exchange.route, exchange.provider, exchange.model)
        named = self._named.get(names) or self._name(names)
        upstream_ms = (exchange.head_at - exchange.sent_at) * 1000 if exchange.head_at else 0.0
        whole_ms = (exchange.started_at - exchange.received_at) * 1000
        return (
            b"%bx-llm-proxy-request-id: %b\r\nx-llm-proxy-attempts: %d\r\n"
            b"server-timing: proxy;dur=%.3f, upstream;dur=%.3f\r\n"
        ) % (
            named,
            exchange.id.encode("ascii"),
            exchange.attempts,
            max(whole_ms - upstream_ms, 0.0),
            upstream_ms,
        )

    def _name(self, names: tuple[str, str, str]) -> bytes:
        """The fields that are the same for many exchanges."""
        if len(self._named) >= _MAX_NAMED:
            self._named.clear()  # clients name models
        named = self._named[names] = b"".join(
            b"x-llm-proxy-%b: %b\r\n" % (name, value.encode("latin-1", "replace"))
            for name, value in zip((b"route", b"provider", b"model"), names, strict=True)
            if value
        )
        return named

    def _start(
        self,
        exchange: Exchange,
        upstream: Upstream,
        downstream: Downstream,
        *,
        length: int | None = None,
        body: bytes | None = None,
        drop: frozenset[bytes] = _NONE,
        also: bytes = b"",
        status: int | None = None,
    ) -> None:
        """Begin a response of `length`, or give all of it, if `body` is here."""
        exchange.status = status or upstream.status
        exchange.started_at = clock()
        exchange.phase = "streaming"
        if exchange.events and not also:
            drop, also = _STREAM_DROPS, STREAM_FIELDS
        theirs = upstream.named
        lines = returned(upstream.fields, upstream.lines, theirs, drop=drop)
        own = self.own_fields(exchange)
        if b"x-request-id" not in theirs:
            own += b"x-request-id: %b\r\n" % exchange.id.encode("ascii")
        if exchange.error is not None:
            own += b"x-llm-proxy-error: %b\r\n" % exchange.error.code.encode("ascii")
        lines.append(own + also)
        head = b"\r\n".join(lines)
        if body is None:
            downstream.start(exchange.status, head, length)
        else:
            exchange.bytes_out = len(body)
            downstream.answer(exchange.status, head, body)

    async def _refuse(
        self, exchange: Exchange, dialect: Dialect, answered: Answered, downstream: Downstream
    ) -> None:
        """Pass a provider's error on in its own words, or in ours where those do not fit."""
        upstream, translation = answered.upstream, answered.translation
        body = await collect(upstream, MAX_REFUSAL)
        spoken = dialect if translation is None else translation.spoken
        error, fit = spoken.refusal(upstream.status, body)
        if isinstance(error, BadCredentials):
            if answered.target.trusted:
                # The provider knows us by a token of ours, so its words are about our
                # credentials; they are not the client's to see.
                raise error
            error = ProviderRefused(str(error), status=upstream.status)
        exchange.error = error
        if translation is not None:
            said = [line(name, value) for name, value in (error.headers or {}).items()]
            said.append(b"x-llm-proxy-upstream-status: %d\r\n" % upstream.status)
            self._say(exchange, dialect, upstream, downstream, error, b"".join(said))
        elif fit and len(body) <= MAX_REFUSAL:
            self._start(exchange, upstream, downstream, body=body)
        else:
            self._say(exchange, dialect, upstream, downstream, error)

    def _say(
        self,
        exchange: Exchange,
        dialect: Dialect,
        upstream: Upstream,
        downstream: Downstream,
        error: ProxyError,
        also: bytes = b"",
    ) -> None:
        """Say a provider's error in our words, with what else it sent along."""
        body = dialect.error(error)
        self._start(
            exchange,
            upstream,
            downstream,
            body=body,
            drop=_REFUSAL_DROPS,
            also=JSON_FIELD + also,
            status=dialect.status(error) if also else None,
        )


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
    said = upstream.named.get(b"content-length", b"")
    return int(said) if said.isdigit() and upstream.status != 204 else None


def _accepts(exchange: Exchange, coding: bytes) -> bool:
    return coding.decode("latin-1").lower() in exchange.request.headers.get("accept-encoding", "")


def _said(translation: Translation) -> bytes:
    """What a translated response says of itself."""
    said = b"content-type: %b\r\n" % translation.content_type()
    if translation.dropped:
        said += line("x-llm-proxy-dropped", ", ".join(translation.dropped))
    return said
