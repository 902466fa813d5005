"""A url: where a provider's requests go, picked for each request and told how it fared."""

from abc import abstractmethod
from urllib.parse import urlsplit

import msgspec

from proxy.component import Component
from proxy.errors import ProxyError
from proxy.exchange import Origin


class Address(msgspec.Struct, frozen=True):
    """A base URL, taken apart once."""

    origin: Origin
    host: bytes
    """The Host field's value."""
    prefix: bytes
    """The path before an endpoint's own, without its last slash."""


class Url(Component):
    """The contract. Members live in ``urls/``."""

    @abstractmethod
    def pick(self) -> Address:
        """Where to send the next request; never waits. Raises ConnectFailed if nowhere is up."""

    @abstractmethod
    def report(self, address: Address, error: ProxyError | None) -> None:
        """How the request fared that was sent to `address`."""


def parse_address(url: str) -> Address:
    """Take a base URL apart; raises ValueError that says what a base URL looks like."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('expected a base URL such as "https://api.openai.com/v1"')
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("a base URL has no query, fragment, user or password")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port != (443 if secure else 80):
        host = f"{host}:{port}"
    return Address(
        origin=Origin(parts.scheme, parts.hostname, port),
        host=host.encode("idna" if not host.isascii() else "ascii"),
        prefix=parts.path.rstrip("/").encode("ascii"),
    )
