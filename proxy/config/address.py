"""Addresses that a configuration names: where to listen, and where a provider is."""

import ipaddress
import os
import re
from ipaddress import IPv4Address as V4
from ipaddress import IPv6Address as V6

import msgspec

from proxy.config.source import quote

ADDRESS_HINT = '"HOST:PORT", "[V6]:PORT" or "unix:/path"'
URL_HINT = '"https://HOST/PATH" or "http://HOST:PORT/PATH"'

_HOST_PORT = re.compile(r"(?:\[([0-9A-Za-z:.%_-]+)\]|([^:\[\]]*)):([0-9]{1,5})")
_URL = re.compile(r"https?://([^/?#]*)[^?#]*(.*)")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_DOTTED_NUMBERS = re.compile(r"[0-9.]+")
_VISIBLE = re.compile(r"[!-~]+")
_UNIX_PATH_MAX = 107
"""Bytes of a unix socket's path on Linux (unix(7): 108 with the closing NUL)."""


class ListenAddress(msgspec.Struct, frozen=True):
    """Where to listen: a TCP host and port (0: any that is free), or a unix socket's path."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect; a name other than localhost counts as not."""
        if self.path is not None or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """The address that `text` spells; ValueError that says what was expected."""
    kind, colon, path = text.partition(":")
    if colon and kind == "unix":
        if not path.startswith("/") or path.endswith("/") or not path.isprintable():
            raise ValueError(f"expected {ADDRESS_HINT} (the path absolute), not {quote(text)}")
        if len(os.fsencode(path)) > _UNIX_PATH_MAX:
            raise ValueError(f"the path of a unix socket has at most {_UNIX_PATH_MAX} bytes")
        return ListenAddress(path=path)
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {ADDRESS_HINT}, not {quote(text)}")
    v6, host, port = match.groups()
    if int(port) > 65535:
        raise ValueError(f"a port is at most 65535, not {port}")
    if v6 is not None:
        if not _is_ip(v6, V6):
            raise ValueError(f"{quote(v6)} is not an IPv6 address (expected {ADDRESS_HINT})")
        return ListenAddress(v6, int(port))
    if not host:
        raise ValueError(f'no host (expected {ADDRESS_HINT}; did you mean "127.0.0.1:{port}"?)')
    if not _is_host(host):
        raise ValueError(f"{quote(host)} is not a host (expected {ADDRESS_HINT})")
    return ListenAddress(host, int(port))


def check_url(url: str) -> None:
    """Raise ValueError if `url` cannot be a provider's base URL.

    It may hold credentials, in its user part or by mistake in its query: it is never repeated.
    """
    if _VISIBLE.fullmatch(url) is None or "\\" in url:
        raise ValueError("a URL has no spaces, backslashes or characters beyond ASCII")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"is not an HTTP URL (expected {URL_HINT})")
    authority, beyond = match.groups()
    if "@" in authority:
        raise ValueError("a URL with credentials is a secret: leave them out, and use `token`")
    if beyond:
        raise ValueError("a base URL has neither query nor fragment (a secret goes into `token`)")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not (_is_ip(parts[1], V6) if parts[1] else _is_host(parts[2])):
        raise ValueError(f"its host is missing or not one (expected {URL_HINT})")
    if parts[3] is not None and not 1 <= int(parts[3]) <= 65535:
        raise ValueError("its port is not one of 1 to 65535")


def _is_host(host: str) -> bool:
    if _DOTTED_NUMBERS.fullmatch(host):
        return _is_ip(host, V4)
    return len(host) <= 253 and _HOST_NAME.fullmatch(host) is not None


def _is_ip(text: str, kind: type[V4 | V6]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
