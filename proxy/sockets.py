"""What only the kernel knows of a TCP connection, asked and told through its transport."""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Mapping
from typing import Any

UNSENT_BYTES = 128 * 1024
"""Bytes the kernel holds for a peer beyond what is under way to it (TCP_NOTSENT_LOWAT)."""

TLS_BYTES = 64 * 1024
"""Bytes that TLS holds in each direction, beside what the transport below it holds."""

_TCP_NOTSENT_LOWAT = 25
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""

_ESTABLISHED = 1
"""Linux's number for the state of a connection that neither side has closed."""


def bound(transport: asyncio.Transport) -> None:
    """Have a connection hold little for a peer that is slow to take it."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    bound_tls(transport)


def bound_tls(transport: Any) -> None:
    """Have the TLS of a connection, if it has any, hold little: by default it is 768 KiB."""
    if transport.get_extra_info("ssl_object") is not None:
        transport.set_write_buffer_limits(high=TLS_BYTES)
        transport.set_read_buffer_limits(high=TLS_BYTES)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that were written and not acknowledged by the peer's kernel; 0 once it is closing."""
    if transport.is_closing():
        return 0
    held = transport.get_write_buffer_size()
    # TLS counts what it holds itself, not what it gave to the transport below.
    below = getattr(transport.get_extra_info("uvloop.sslproto"), "below", None)
    if below is not None:
        held += below.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return held
    queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return held + int(struct.unpack("i", queued)[0])


def unread(transport: asyncio.Transport) -> bool:
    """Whether the kernel holds something that the peer sent and nobody read."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    held = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4)
    return bool(struct.unpack("i", held)[0])


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the peer is gone from a connection that is not being read just now.

    What it sent before hides its leaving from whoever does not read; Linux tells all the same.
    """
    if transport.is_reading() or transport.is_closing() or not hasattr(socket, "TCP_INFO"):
        return False
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return False
    state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != _ESTABLISHED


def certificate(transport: asyncio.Transport) -> Mapping[str, Any] | None:
    """The certificate that the peer has proved to be its own, as `ssl.SSLSocket.getpeercert` says.

    None if it has none, or was not asked for one.
    """
    verified: Mapping[str, Any] | None = transport.get_extra_info("peercert")
    return verified or None


def reset(transport: asyncio.Transport) -> None:
    """Reset the connection at once; what was written and not taken is lost."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
