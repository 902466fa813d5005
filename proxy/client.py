"""The client: attempts over a route's targets, until one of them answers.

Targets are tried in order, each once, and only where the one before it cannot have acted: no
connection to it could be made. Whatever a provider may have heard is not said twice.
"""

from typing import Protocol

import msgspec

from proxy.chat import Ask
from proxy.dialect import Dialect
from proxy.errors import ProxyError, Unsupported
from proxy.exchange import Exchange, FinalRequest, ParsedRequest
from proxy.provider import without_key
from proxy.relay import Upstream
from proxy.router import Route, Target
from proxy.translation import Translation, read
from proxy.url import Address


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
            provider = target.provider
            try:
                prepared = prepare(
                    route,
                    target,
                    dialect,
                    parsed if target is last else parsed.branch(),
                    counts_usage=self._counts_usage,
                    ask=ask,
                )
            except Unsupported as error:
                failed = failed or error
                continue
            translation = prepared.translation
            if translation is not None:
                ask = translation.ask
            address, token = _pick(exchange, target)
            exchange.model = target.model or parsed.model or ""
            final = provider.final(
                exchange.request,
                address,
                token,
                target.timeouts,
                prepared.request.body(),
                prepared.path,
                translated=translation is not None,
            )
            try:
                upstream = await self._transport.send(final, exchange)
            except ProxyError as error:
                provider.url.report(address, error)
                failed = error
                if not error.retry:
                    break
            else:
                return Answered(target, upstream, prepared.strip, translation)
        assert failed is not None
        raise failed

    async def pass_on(self, exchange: Exchange, route: Route) -> tuple[Target, Upstream]:
        """Send a request as it is, to the route's first target, its body as it comes."""
        request = exchange.request
        target = route.targets[0]
        address, token = _pick(exchange, target)
        body = b"" if request.length == 0 else request.chunks()
        final = target.provider.passed(request, address, token, target.timeouts, body)
        try:
            return target, await self._transport.send(final, exchange)
        except ProxyError as error:
            target.provider.url.report(address, error)
            raise


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
    ask: Ask | None = None,
) -> Prepared:
    """Make of a request, which is changed by that, what `target` is asked.

    `counts_usage`: something needs the usage of streams; `ask` is the request in the neutral
    form, if it has been read before. Raises Unsupported if the target cannot be asked that.
    """
    provider = target.provider
    model = target.model or request.model or ""
    spoken = provider.speaks(dialect, model)
    if spoken.dialect.name != dialect.name:
        translation = Translation(dialect, spoken, read(dialect, request) if ask is None else ask)
        rendered = translation.render(provider, model, reject=route.reject_hints)
        query = spoken.dialect.stream_query if rendered.stream else ""
        path = spoken.target(model, stream=rendered.stream, query=query)
        return Prepared(rendered, path, False, translation)
    if target.model is not None and target.model != request.model and not dialect.model_in_path:
        request.set("model", target.model)
    asks = route.usage == "always" or (
        route.usage == "auto" and counts_usage and provider.stream_usage
    )
    strip = asks and dialect.ask_usage(request)
    if spoken.values or spoken.dropped:
        spoken.edit(request)
    query = without_key(request.query) if request.query else ""
    path = spoken.target(model, stream=request.stream, query=query)
    return Prepared(request, path, strip, None)


def _pick(exchange: Exchange, target: Target) -> tuple[Address, str | None]:
    """Where this attempt goes, and with which credential."""
    provider = target.provider
    exchange.attempts += 1
    exchange.provider = provider.name
    exchange.target_model = target.model or ""
    return provider.url.pick(), None if provider.token is None else provider.token.pick()
