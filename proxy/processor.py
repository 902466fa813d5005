"""A processor: one step of a route, between a client's request and its provider.

A processor overrides the hooks it needs; a route is compiled once, at load, into the list of
hooks that exist, so one that is not overridden costs nothing. The processor *is* its section of
the configuration::

    class NoSeed(Processor):
        '''Takes the seed out of every request.'''

        async def on_request(
            self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
        ) -> None:
            request.drop("seed")
"""

from proxy.component import Component
from proxy.dialect import Dialect
from proxy.exchange import Exchange, ParsedRequest


class Processor(Component):
    """The contract. Members live in ``processors/``; other people's come by entry point."""

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        """Change the request, or raise a ProxyError (such as Blocked) to refuse it."""

    def on_end(self, exchange: Exchange) -> None:
        """The exchange is over, however it ended; called once if `on_request` was."""
