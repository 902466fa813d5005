"""Listening sockets: from an address of the configuration to a bound socket and back."""

import os
import socket
import stat
from collections.abc import Callable

from proxy.config.address import ListenAddress
from proxy.errors import ConfigError

BACKLOG = 4096

Bind = Callable[[ListenAddress, str], socket.socket]
"""A socket that listens at an address; raises ConfigError that begins with the second argument."""


class Listener:
    """A socket that listens, until somebody serves it and after that until it is closed."""

    __slots__ = ("address", "sock", "url")

    def __init__(self, address: ListenAddress, sock: socket.socket) -> None:
        self.address = address
        self.sock = sock
        self.url = url(sock)
        """How a client reaches it."""

    def close(self) -> None:
        """Close it, and take the file of a unix socket away."""
        self.sock.close()
        unlink(self.address)


def bind(address: ListenAddress, key: str) -> socket.socket:
    """A socket that listens at `address`; raises ConfigError that begins with `key`."""
    try:
        if address.path is not None:
            _remove_stale(address.path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            _bind(sock, address.path)
        else:
            family, _, _, _, where = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _bind(sock, where)
    except OSError as error:
        raise ConfigError([f"{key}: cannot listen on {address}: {error.strerror}"]) from error
    sock.setblocking(False)
    return sock


def url(sock: socket.socket) -> str:
    """How a client reaches a bound socket."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def unlink(address: ListenAddress) -> None:
    """Take a unix socket's file away."""
    if address.path is not None and os.path.lexists(address.path):
        os.unlink(address.path)


def _bind(sock: socket.socket, where: object) -> None:
    try:
        sock.bind(where)  # type: ignore[arg-type]
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise


def _remove_stale(path: str) -> None:
    """Remove the socket file that a process left behind which did not live to do so."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
