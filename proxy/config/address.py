"""Addresses to listen on, as a configuration names them."""

import ipaddress
import re

import msgspec

from proxy.authority import check_socket_path, is_host, is_ipv6
from proxy.config.source import quote

ADDRESS_HINT = '"HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N"'

_HOST_PORT = re.compile(r"(?:\[([0-9A-Za-z:.%_-]+)\]|([^:\[\]]*)):([0-9]{1,5})")
_DESCRIPTOR = re.compile(r"[3-9]|[1-9][0-9]{1,5}")


class ListenAddress(msgspec.Struct, frozen=True):
    """Where to listen: a TCP host and port, a unix socket's path, or a socket that is open."""

    host: str = ""
    port: int = 0
    """0: any that is free."""
    path: str | None = None
    mode: int | None = None
    """Permissions of a unix socket; None: what the umask leaves."""
    owner: str | None = None
    """``USER:GROUP`` of a unix socket, either of them or both; None: whoever makes it."""
    fd: int | None = None
    """The descriptor of a socket that was handed to this process."""

    @property
    def place(self) -> "ListenAddress":
        """The same without what may change while it is open."""
        return msgspec.structs.replace(self, mode=None, owner=None)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect; a name other than localhost counts as not.

        Of a descriptor that shows once it is looked at.
        """
        if self.path is not None or self.fd is not None or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        if self.fd is not None:
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """The address that `text` spells; ValueError that says what was expected."""
    kind, colon, path = text.partition(":")
    if colon and kind == "unix":
        check_socket_path(path)
        return ListenAddress(path=path)
    if colon and kind == "fd":
        if _DESCRIPTOR.fullmatch(path) is None:
            hint = f"{ADDRESS_HINT} (N a descriptor from 3 on)"
            raise ValueError(f"expected {hint}, not {quote(text)}")
        return ListenAddress(fd=int(path))
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
