"""Several base URLs, one of which serves each request; those that nobody answers at rest."""

import logging
from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta

from proxy.affinity import HASH_BY, affinity, check_affinity
from proxy.errors import ConnectFailed, ProviderBroke
from proxy.exchange import Exchange, Outcome
from proxy.selection import SELECT, WEIGHTS, Rest, Selection
from proxy.url import Address, Url, parse_address

UNREACHED = Rest(1.0, 60.0)
"""The rest of an address whose connections fail."""

_log = logging.getLogger("proxy")


class Pool(Url):
    """Several base URLs, written as a list for short. Where no connection can be made the next is
    tried at once, and one whose connections fail rests while the others are used.

    It rests longer each time; then one request tries it.
    """

    urls: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="The base URLs.",
            examples=[["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"]],
        ),
    ]
    select: SELECT = "round_robin"
    weights: WEIGHTS = ()
    hash_by: HASH_BY = "client"

    def __post_init__(self) -> None:
        check_affinity(self.hash_by)

    def resolve(self, fill: Callable[[str], str]) -> None:
        self._addresses = tuple(parse_address(fill(url)) for url in self.urls)
        for address in self._addresses:
            if self._addresses.count(address) > 1:
                raise ValueError(f"{address} is listed twice")
        self._selection = Selection(
            self._addresses, select=self.select, weights=self.weights, names=self.urls
        )

    def pick(self, exchange: Exchange) -> Address:
        return self._selection.pick(self._key(exchange))

    def again(self, exchange: Exchange, tried: Sequence[Address]) -> Address | None:
        if len(tried) >= len(self._addresses):
            return None
        return self._selection.pick(self._key(exchange), avoid=tried)

    def addresses(self) -> tuple[Address, ...]:
        return self._addresses

    def report(self, address: Address, outcome: Outcome) -> None:
        if isinstance(outcome.error, ConnectFailed | ProviderBroke):
            rest = self._selection.failed(address, UNREACHED)
            if rest:
                _log.warning("%s: %s; it rests for %.1f s", address, outcome.error, rest)
        elif outcome.status:
            self._selection.succeeded(address, outcome.seconds)

    def release(self, address: Address) -> None:
        self._selection.release(address)

    def _key(self, exchange: Exchange) -> bytes:
        return affinity(exchange, self.hash_by) if self.select == "hash" else b""
