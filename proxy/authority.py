"""Hosts and the paths of unix sockets, as text: what may stand in an address (RFC 3986 3.2)."""

import os
import re
from ipaddress import IPv4Address as V4
from ipaddress import IPv6Address as V6

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_DOTTED_NUMBERS = re.compile(r"[0-9.]+")
_SOCKET_PATH_MAX = 107
"""Bytes of a unix socket's path on Linux (unix(7): 108 with the closing NUL)."""


def parse_authority(authority: str) -> tuple[str, int | None]:
    """The host, in lower case and without brackets, and the port if there is one.

    Raises ValueError, without repeating what it may hold of a credential.
    """
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not (is_ipv6(parts[1]) if parts[1] else is_host(parts[2])):
        raise ValueError("its host is missing or not one")
    if parts[3] is not None and not 1 <= int(parts[3]) <= 65535:
        raise ValueError("its port is not one of 1 to 65535")
    return (parts[1] or parts[2]).lower(), int(parts[3]) if parts[3] else None


def is_host(host: str) -> bool:
    """Whether it is the name of a host, or an IPv4 address."""
    if _DOTTED_NUMBERS.fullmatch(host):
        return _is_ip(host, V4)
    return len(host) <= 253 and _HOST_NAME.fullmatch(host) is not None


def is_ipv6(host: str) -> bool:
    """Whether it is an IPv6 address, without brackets."""
    return _is_ip(host, V6)


def check_socket_path(path: str) -> None:
    """Raise ValueError if no unix socket can be there."""
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError("the path of a unix socket is absolute, and ends in a name")
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        raise ValueError(f"the path of a unix socket has at most {_SOCKET_PATH_MAX} bytes")


def _is_ip(text: str, kind: type[V4 | V6]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
