"""Via: the HTTP proxy that stands between this one and a provider."""

import re
from base64 import b64encode
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from proxy.authority import parse_authority

_URL = re.compile(r"(https?)://(?:([^@/?#]*)@)?([^@/?#]*)/?")
_PORTS = {"http": 80, "https": 443}


class ProxyUrl(NamedTuple):
    """The URL of an HTTP proxy, taken apart."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str

    @property
    def base(self) -> str:
        """Where it is, without as whom it is asked."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def fields(self) -> dict[str, str]:
        """The field that says as whom it is asked (RFC 7617); none where that is nobody."""
        if self.user is None:
            return {}
        pair = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"proxy-authorization": f"Basic {pair}"}


class Via:
    """An HTTP proxy, wherever it is just now: its URL may be a secret that changes.

    Two are the same if they ask the same.
    """

    __slots__ = ("_reveal",)

    def __init__(self, reveal: Callable[[], str]) -> None:
        self._reveal = reveal

    def url(self) -> ProxyUrl:
        """Where it is, and as whom to ask it.

        Raises ValueError if that is no URL of a proxy, and BadCredentials if it is not known.
        """
        return parse_proxy(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Via) and self._reveal == other._reveal

    def __hash__(self) -> int:
        return hash(self._reveal)


def parse_proxy(url: str) -> ProxyUrl:
    """Take a proxy's URL apart; raises ValueError, without repeating what it may hold."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError('is not the URL of an HTTP proxy (expected "http://HOST:PORT")')
    scheme, userinfo, authority = match.groups()
    host, port = parse_authority(authority)
    user, _, password = (userinfo or "").partition(":")
    return ProxyUrl(
        scheme,
        host,
        port or _PORTS[scheme],
        None if userinfo is None else unquote(user),
        unquote(password),
    )
