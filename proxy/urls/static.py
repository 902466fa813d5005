"""One base URL."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from proxy.exchange import Exchange
from proxy.url import Address, Url, parse_address


class Static(Url):
    """One base URL, written as itself for short."""

    url: Annotated[str, Meta(description="The base URL.", examples=["http://10.0.0.1:8000/v1"])]

    def __str__(self) -> str:
        return self.url

    def resolve(self, fill: Callable[[str], str]) -> None:
        self._address = parse_address(fill(self.url))

    def pick(self, exchange: Exchange) -> Address:
        return self._address

    def addresses(self) -> tuple[Address, ...]:
        return (self._address,)
