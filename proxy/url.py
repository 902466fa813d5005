"""A url: where a provider's requests go, picked for each request and told how it fared."""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from proxy.authority import check_socket_path, parse_authority
from proxy.component import Component
from proxy.exchange import Exchange, Origin, Outcome

URL_HINT = '"https://HOST/PATH", "http://HOST:PORT/PATH" or "unix:/SOCKET:/PATH"'

_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(.*)")
_SOCKET = re.compile(r"unix:([^:?#]*)(?::(/[^?#]*))?")
_VISIBLE = re.compile(r"[!-~]+")
_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True, cache_hash=True):
    """A base URL, taken apart once."""

    origin: Origin
    host: bytes
    """The Host field's value."""
    prefix: bytes
    """The path before an endpoint's own, without its last slash."""

    @property
    def base(self) -> str:
        """What stands before the path, for people."""
        if self.origin.socket is not None:
            return f"unix:{self.origin.socket}:"
        return f"{self.origin.scheme}://{self.host.decode()}"

    def __str__(self) -> str:
        # Without a path a socket's URL has no use for the colon; a path may end in one of its own.
        return f"{self.base}{self.prefix.decode()}" if self.prefix else self.base.removesuffix(":")


class Url(Component):
    """The contract. Members live in ``urls/``.

    Who overrides neither `report` nor `release` is not told, and costs no request anything.
    """

    def resolve(self, fill: Callable[[str], str]) -> None:
        """Read its URLs, each as `fill` completes it; called once, before `open`.

        Raises ValueError that says what is wrong.
        """

    def like(self, other: Component) -> bool:
        return super().like(other) and self.addresses() == cast("Url", other).addresses()

    @abstractmethod
    def pick(self, exchange: Exchange) -> Address:
        """Where to send the next request; never waits. Raises ConnectFailed if nowhere is up."""

    def again(self, exchange: Exchange, tried: Sequence[Address]) -> Address | None:
        """Where else, since no connection to those of `tried` could be made; None: nowhere."""
        return None

    def addresses(self) -> tuple[Address, ...]:
        """All that it may pick, as far as that is known before."""
        return ()

    def report(self, address: Address, outcome: Outcome) -> None:
        """How the request fared that was sent to `address`, once its response's head is here."""

    def release(self, address: Address) -> None:
        """What `address` was picked for is over; called once for each pick, after `report`."""


def parse_address(url: str) -> Address:
    """Take a base URL apart.

    A unix socket's is ``unix:/run/vllm.sock:/v1``: the socket, a colon, the path, as nginx spells
    it. Raises ValueError if it is none; it may hold credentials, in its user part or by mistake in
    its query, so it is never repeated.
    """
    if _VISIBLE.fullmatch(url) is None or "\\" in url:
        raise ValueError("a URL has no spaces, backslashes or characters beyond ASCII")
    if url.startswith("unix:"):
        return _socket_address(url)
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"is not an HTTP URL (expected {URL_HINT})")
    scheme, authority, path, beyond = match.groups()
    if "@" in authority:
        raise ValueError("a URL with credentials is a secret: leave them out, and use `token`")
    if beyond:
        raise ValueError("a base URL has neither query nor fragment (a secret goes into `token`)")
    name, port = parse_authority(authority)
    port = port or _PORTS[scheme]
    host = f"[{name}]" if ":" in name else name
    return Address(
        origin=Origin(scheme, name, port),
        host=(host if port == _PORTS[scheme] else f"{host}:{port}").encode("ascii"),
        prefix=path.rstrip("/").encode("ascii"),
    )


def _socket_address(url: str) -> Address:
    match = _SOCKET.fullmatch(url)
    if match is None:
        raise ValueError('a unix socket\'s URL is "unix:/SOCKET", or "unix:/SOCKET:/PATH"')
    socket, path = match.groups()
    check_socket_path(socket)
    return Address(
        origin=Origin("http", "localhost", 0, socket=socket),
        host=b"localhost",
        prefix=(path or "").rstrip("/").encode("ascii"),
    )
