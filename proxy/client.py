"""The client: attempts over a route's targets, until one of them answers.

Targets are tried in order, and of a target's addresses as many as there are, within bounds; the
next one only where the one before it cannot have acted: no connection to it could be made.
Whatever a provider may have heard is not said twice.
"""

import logging
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from proxy.chat import Ask
from proxy.dialect import Dialect
from proxy.errors import ProxyError, TooLarge, Unsupported
from proxy.exchange import Exchange, FinalRequest, Outcome, ParsedRequest
from proxy.headers import retry_after
from proxy.provider import without_key
from proxy.relay import Upstream
from proxy.router import Route, Target
from proxy.token import Token
from proxy.translation import Translation, read
from proxy.url import Address

MAX_SIGNED = 32 << 20
"""Bytes of a body that passes through and must be read to be signed."""

FURTHER_ADDRESSES = 2
"""How many more of a provider's addresses are tried where no connection could be made."""

_log = logging.getLogger("proxy")


class Transport(Protocol):
    """Carries final requests to providers."""

    async def send(self, final: FinalRequest, exchange: Exchange) -> Upstream:
        """Send a request; returns when the response's head is here. Raises ProviderError."""


class Answered(msgspec.Struct):
    """A response that has begun."""

    target: Target
    upstream: Upstream
    strip: bool
    """The client is to be spared the usage chunk: it was not the client that asked for it."""
    translation: Translation | None
    """How it is to be said to the client, if that speaks another dialect."""


class Client:
    """Sends what clients asked for to providers."""

    __slots__ = ("_counts_usage", "_transport")

    def __init__(self, transport: Transport, *, counts_usage: bool) -> None:
        self._transport = transport
        self._counts_usage = counts_usage

    async def send(
        self, exchange: Exchange, route: Route, dialect: Dialect, parsed: ParsedRequest
    ) -> Answered:
        """Send a parsed request; returns once a response has begun.

        Raises what the last target failed with, or Unsupported where none could be asked.
        """
        failed: ProxyError | None = None
        ask: Ask | None = None
        last = route.targets[-1]
        for target in route.targets:
            try:
                prepared = prepare(
                    route,
                    target,
                    dialect,
                    parsed if target is last else parsed.branch(),
                    counts_usage=self._counts_usage,
                    headers=exchange.request.raw_headers,
                    ask=ask,
                )
            except Unsupported as error:
                failed = failed or error
                continue
            translation = prepared.translation
            if translation is not None:
                ask = translation.ask
            exchange.model = target.model or parsed.model or ""
            try:
                upstream = await self._reach(exchange, target, prepared)
            except ProxyError as error:
                failed = error
                if not error.retry:
                    break
            else:
                return Answered(target, upstream, prepared.strip, translation)
        assert failed is not None
        raise failed

    async def pass_on(self, exchange: Exchange, route: Route) -> tuple[Target, Upstream]:
        """Send a request as it is, to the route's first target, its body as it comes."""
        target = route.targets[0]
        return target, await self._reach(exchange, target, None)

    async def _reach(
        self, exchange: Exchange, target: Target, prepared: "Prepared | None"
    ) -> Upstream:
        """Send what was prepared, or what passes as it comes, to a target.

        Where no connection could be made, to the next of its addresses.
        """
        request, provider = exchange.request, target.provider
        body = b"" if prepared is None else prepared.request.body()
        address = provider.url.pick(exchange)
        tried: list[Address] = []
        passing: AsyncIterator[bytes] | bytes | None = None
        while True:
            token: Token | None = None
            try:
                exchange.attempts += 1
                exchange.provider = provider.name
                exchange.target_model = target.model or ""
                if target.token is not None:
                    token = target.token.pick(exchange)
                if prepared is not None:
                    final = provider.final(
                        request,
                        address,
                        token,
                        target.timeouts,
                        body,
                        prepared.path,
                        translated=prepared.translation is not None,
                    )
                else:
                    if passing is None:
                        passing = b"" if request.length == 0 else request.chunks()
                    if token is not None and token.signs and not isinstance(passing, bytes):
                        passing = await _collect(passing)
                    final = provider.passed(request, address, token, target.timeouts, passing)
                upstream = await self._transport.send(final, exchange)
            except BaseException as error:
                if target.heeds:
                    _failed(target, address, token, error)
                if not isinstance(error, ProxyError) or not error.retry:
                    raise
                tried.append(address)
                another = None
                if len(tried) <= FURTHER_ADDRESSES:
                    another = provider.url.again(exchange, tried)
                if another is None:
                    raise
                address = another
            else:
                if target.heeds:
                    _began(exchange, target, address, token, upstream)
                return upstream


class Prepared(msgspec.Struct):
    """A request as one target is to get it."""

    request: ParsedRequest
    path: str
    """After the base URL, with its query."""
    strip: bool
    """The client is to be spared the usage chunk."""
    translation: Translation | None


def prepare(
    route: Route,
    target: Target,
    dialect: Dialect,
    request: ParsedRequest,
    *,
    counts_usage: bool,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    ask: Ask | None = None,
) -> Prepared:
    """Make of a request, which is changed by that, what `target` is asked.

    `counts_usage`: something needs the usage of streams; `headers` are the client's fields; `ask`
    is the request in the neutral form, if it has been read before. Raises Unsupported if the
    target cannot be asked that.
    """
    provider = target.provider
    model = target.model or request.model or ""
    spoken = provider.speaks(dialect, model)
    if spoken.dialect.name != dialect.name:
        ask = read(dialect, request, headers) if ask is None else ask
        translation = Translation(dialect, spoken, ask)
        rendered = translation.render(provider, model, reject=route.reject_hints)
        query = spoken.dialect.stream_query if rendered.stream else ""
        path = spoken.target(model, stream=rendered.stream, query=query)
        return Prepared(rendered, path, False, translation)
    if target.model is not None and target.model != request.model:
        dialect.name_model(request, target.model)
    strip = False
    if request.stream and (
        route.usage == "always"
        or (route.usage == "auto" and counts_usage and provider.stream_usage)
    ):
        strip = dialect.ask_usage(request)
    if spoken.values or spoken.dropped:
        spoken.edit(request)
    # A provider that has the endpoint elsewhere, by model, has another API around it.
    keeps = request.query and (dialect.model_in_path or not spoken.named)
    query = without_key(request.query) if keeps else ""
    path = spoken.target(model, stream=request.stream, query=query)
    return Prepared(request, path, strip, None)


async def _collect(chunks: AsyncIterator[bytes]) -> bytes:
    """A body that is to be signed, and so must be whole before it can be sent."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_SIGNED:
            raise TooLarge(f"a body that is to be signed has at most {MAX_SIGNED >> 20} MiB")
    return bytes(body)


def _failed(target: Target, address: Address, token: Token | None, error: BaseException) -> None:
    """Tell those who want to know that no response came."""
    if isinstance(error, ProxyError):
        _report(target, address, token, Outcome(error=error))
    _release(target, address, token)


def _began(
    exchange: Exchange, target: Target, address: Address, token: Token | None, upstream: Upstream
) -> None:
    """Tell those who want to know that a response began, and have them told of its end."""
    outcome = Outcome(
        status=upstream.status,
        retry_after=retry_after(upstream.fields) if upstream.status >= 400 else None,
        seconds=exchange.head_at - exchange.sent_at,
    )
    _report(target, address, token, outcome)
    exchange.hooks = (*exchange.hooks, lambda _: _release(target, address, token))


def _report(target: Target, address: Address, token: Token | None, outcome: Outcome) -> None:
    try:
        target.provider.url.report(address, outcome)
        if target.token is not None and token is not None:
            target.token.report(token, outcome)
    except Exception:
        # A bug of theirs must not cost the client its answer, nor us the connection.
        _log.exception("%r cannot be told how a request fared", target)


def _release(target: Target, address: Address, token: Token | None) -> None:
    try:
        target.provider.url.release(address)
        if target.token is not None and token is not None:
            target.token.release(token)
    except Exception:
        _log.exception("%r cannot be told that a request is over", target)
