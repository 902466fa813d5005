"""The client: attempts over a route's targets, until one of them answers.

Targets are tried in order, each once, and only where the one before it cannot have acted: no
connection to it could be made. Whatever a provider may have heard is not said twice.
"""

from typing import Protocol

from proxy.dialect import Dialect
from proxy.errors import ProxyError
from proxy.exchange import Exchange, FinalRequest, ParsedRequest
from proxy.relay import Upstream
from proxy.router import Route, Target
from proxy.url import Address


class Transport(Protocol):
    """Carries final requests to providers."""

    async def send(self, final: FinalRequest, exchange: Exchange) -> Upstream:
        """Send a request; returns when the response's head is here. Raises ProviderError."""


class Client:
    """Sends what clients asked for to providers."""

    __slots__ = ("_counts_usage", "_transport")

    def __init__(self, transport: Transport, *, counts_usage: bool) -> None:
        self._transport = transport
        self._counts_usage = counts_usage

    async def send(
        self, exchange: Exchange, route: Route, dialect: Dialect, parsed: ParsedRequest
    ) -> tuple[Target, Upstream, bool]:
        """Send a parsed request; returns who answered and the response that has begun.

        The flag says that the client is to be spared the usage chunk, since it was not the
        client that asked for it. Raises the last target's ProviderError.
        """
        last = route.targets[-1]
        for target in route.targets:
            address, token = _pick(exchange, target)
            request = parsed if target is last else parsed.branch()
            if target.model is not None and target.model != parsed.model:
                request.set("model", target.model)
            strip = self._asks_usage(route, target) and dialect.ask_usage(request)
            exchange.model = target.model or parsed.model or ""
            final = target.provider.final(
                exchange.request, address, token, target.timeouts, request.body()
            )
            try:
                return target, await self._transport.send(final, exchange), strip
            except ProxyError as error:
                target.provider.url.report(address, error)
                if not error.retry or target is last:
                    raise
        raise AssertionError("a route has at least one target")

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

    def _asks_usage(self, route: Route, target: Target) -> bool:
        if route.usage == "auto":
            return self._counts_usage and target.provider.stream_usage
        return route.usage == "always"


def _pick(exchange: Exchange, target: Target) -> tuple[Address, str | None]:
    """Where this attempt goes, and with which credential."""
    provider = target.provider
    exchange.attempts += 1
    exchange.provider = provider.name
    exchange.target_model = target.model or ""
    return provider.url.pick(), None if provider.token is None else provider.token.pick()
