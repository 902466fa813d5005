"""``llm-proxy healthcheck``: ask a running proxy whether it is ready, where there is no curl."""

import socket
import ssl
import sys
from argparse import ArgumentParser, Namespace

from proxy.certificates import reason
from proxy.cli.arguments import add_config, loaded
from proxy.config.address import ADDRESS_HINT, ListenAddress, parse_listen
from proxy.errors import ConfigError
from proxy.units import clock

TIMEOUT = 2.0
"""Seconds, for the whole of it."""

_REQUEST = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
_STATUS_LINE_MAX = 1024


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ``healthcheck``."""
    add_config(parser)
    parser.add_argument(
        "address",
        metavar="ADDR",
        nargs="?",
        help=f"the admin address: {ADDRESS_HINT}, or its URL (default: the configuration's)",
    )


def run(args: Namespace) -> int:
    """0 if the proxy is ready; else 1, and a line that says why."""
    address, secure = _address(args)
    try:
        status = _status(address, clock() + TIMEOUT, secure=secure)
    except OSError as error:
        print(f"llm-proxy: not ready: {address}: {_why(error)}", file=sys.stderr)
        return 1
    words = status.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or words[1] != "200":
        print(f"llm-proxy: not ready: {address} answered {status!r}", file=sys.stderr)
        return 1
    return 0


def _address(args: Namespace) -> tuple[ListenAddress, bool]:
    """Where to ask, and whether by TLS."""
    if args.address is not None:
        scheme, _, text = args.address.rpartition("://")
        place, secure = "ADDR", scheme == "https"
        if scheme not in ("", "http", "https"):
            raise ConfigError([f"{place}: expected {ADDRESS_HINT}, or http:// or https://"])
        text = text.removesuffix("/") if scheme else text
    else:
        configuration = loaded(args)
        listener = configuration.settings.server.admin_listen
        place = configuration.at("server", "admin_listen")
        if listener is None:
            raise ConfigError([f"{place}: nobody listens there (give ADDR)"])
        text, secure = listener.address, listener.tls is not None
    try:
        address = parse_listen(text)
    except ValueError as error:
        raise ConfigError([f"{place}: {error}"]) from None
    if address.fd is not None:
        raise ConfigError([f"{place}: {address} does not say where it listens (give ADDR)"])
    if address.path is None and address.port == 0:
        raise ConfigError([f"{place}: port 0 is any port (give ADDR, with the one it became)"])
    return address, secure


def _status(address: ListenAddress, deadline: float, *, secure: bool) -> str:
    """The status line that the proxy answers with, "" if it closes without one."""
    with _connect(address) as plain, _secured(plain) if secure else plain as connection:
        connection.sendall(_REQUEST)
        head = b""
        while b"\n" not in head and len(head) < _STATUS_LINE_MAX:
            connection.settimeout(max(deadline - clock(), 0.001))
            received = connection.recv(_STATUS_LINE_MAX)
            if not received:
                break
            head += received
    return head.partition(b"\n")[0].decode("latin-1").strip()


def _secured(plain: socket.socket) -> socket.socket:
    """The connection, with TLS: nothing secret goes over it, so it does not matter to whom."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return reason(error) if isinstance(error, ssl.SSLError) else error.strerror or str(error)


def _connect(address: ListenAddress) -> socket.socket:
    if address.path is None:
        # Who listens everywhere listens on loopback, too.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
        return socket.create_connection((host, address.port), TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(address.path)
    except OSError:
        connection.close()
        raise
    return connection
