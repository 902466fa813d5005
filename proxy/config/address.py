"""Addresses to listen on, as a configuration names them."""

import ipaddress
import re

import msgspec

from proxy.authority import check_socket_path, is_host, is_ipv6
from proxy.config.source import quote

ADDRESS_HINT = '"HOST:PORT", "[V6]:PORT" or "unix:/path"'

_HOST_PORT = re.compile(r"(?:\[([0-9A-Za-z:.%_-]+)\]|([^:\[\]]*)):([0-9]{1,5})")


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
        check_socket_path(path)
        return ListenAddress(path=path)
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {ADDRESS_HINT}, not {quote(text)}")
    v6, host, port = match.groups()
    if int(port) > 65535:
        raise ValueError(f"a port is at most 65535, not {port}")
    if v6 is not None:
        if not is_ipv6(v6):
            raise ValueError(f"{quote(v6)} is not an IPv6 address (expected {ADDRESS_HINT})")
        return ListenAddress(v6, int(port))
    if not host:
        raise ValueError(f'no host (expected {ADDRESS_HINT}; did you mean "127.0.0.1:{port}"?)')
    if not is_host(host):
        raise ValueError(f"{quote(host)} is not a host (expected {ADDRESS_HINT})")
    return ListenAddress(host, int(port))
