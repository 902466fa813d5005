"""Listening sockets: from an address of the configuration to a bound socket and back."""

import contextlib
import grp
import os
import pwd
import socket
import stat
from typing import Protocol

import msgspec

from proxy.config.address import ListenAddress
from proxy.errors import ConfigError
from proxy.handshake import Terms

BACKLOG = 4096


class Bind(Protocol):
    """Makes the sockets of a proxy."""

    def __call__(self, address: ListenAddress, key: str, *, share: bool = False) -> "Listener":
        """A socket that listens at an address; raises ConfigError that begins with `key`.

        `share`: another socket of ours, which is about to go, may have a part of that address.
        """


class Listener:
    """A socket that listens, until somebody serves it and after that until it is closed."""

    __slots__ = ("_file", "_url", "address", "sock", "tls")

    def __init__(self, address: ListenAddress, sock: socket.socket, *, owned: bool = True) -> None:
        """`owned`: the file of a unix socket goes with it; else another process listens there."""
        self.address = address
        self.sock = sock
        self.tls: Terms | None = None
        """Of who connects from now on; None: it is plain."""
        self._url = url(sock)
        self._file: tuple[int, int] | None = None
        if owned:
            self.own()

    def __repr__(self) -> str:
        return f"<Listener {self.url}>"

    @property
    def url(self) -> str:
        """How a client reaches it."""
        return self._url if self.tls is None else self._url.replace("http:", "https:", 1)

    @property
    def bound(self) -> ListenAddress:
        """Its address, with the port that 0 became."""
        if self.address.port or self.address.path is not None or self.address.fd is not None:
            return self.address
        return msgspec.structs.replace(self.address, port=self.sock.getsockname()[1])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.address.fd is None or self.sock.family == socket.AF_UNIX:
            return self.address.loopback
        return ListenAddress(self.sock.getsockname()[0]).loopback

    def share(self, shared: bool) -> None:
        """Say whether another socket of this process may have a part of its address."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)

    def permit(self, address: ListenAddress, key: str) -> None:
        """Change who may connect to what `address` says; ConfigError that begins with `key`."""
        anew = address
        if anew.mode is None:
            anew = msgspec.structs.replace(anew, mode=0o777 & ~_umask())
        if anew.owner is None:
            anew = msgspec.structs.replace(anew, owner=f"{os.geteuid()}:{os.getegid()}")
        try:
            _permit(anew)
        except (OSError, ValueError) as error:
            raise _cannot(address, key, error) from error
        self.address = address

    def own(self) -> None:
        """Take the file of a unix socket away once it is closed."""
        self._file = None if self.address.path is None else _file_at(self.address.path)

    def leave(self) -> None:
        """Leave the file of a unix socket to another process that listens there, too."""
        self._file = None

    def close(self) -> None:
        """Close it, and take the file of a unix socket away, unless another's is there by now."""
        self.sock.close()
        path = self.address.path
        if path is not None and self._file is not None and _file_at(path) == self._file:
            os.unlink(path)
        self._file = None


def bind(address: ListenAddress, key: str, *, share: bool = False) -> Listener:
    """A socket that listens at `address`; see :class:`Bind`."""
    try:
        if address.fd is not None:
            sock = _inherited(address.fd)
        elif address.path is not None:
            sock = _unix(address, address.path)
        else:
            sock = _tcp(address, share=share)
    except (OSError, ValueError) as error:
        raise _cannot(address, key, error) from error
    sock.setblocking(False)
    return Listener(address, sock)


def url(sock: socket.socket) -> str:
    """How a client reaches a bound socket."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def _tcp(address: ListenAddress, *, share: bool) -> socket.socket:
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except OSError:
        sock.close()
        raise
    return sock


def _unix(address: ListenAddress, path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        sock.bind(path)
        bound = True
        # Before it listens: until then nobody can connect, whatever the umask left open.
        _permit(address)
        sock.listen(BACKLOG)
    except (OSError, ValueError):
        sock.close()
        if bound:
            os.unlink(path)
        raise
    return sock


def _inherited(fd: int) -> socket.socket:
    """A socket that whoever started this process has opened; it stays open beside ours.

    Were it closed, its number could come to be that of anything else, and a later configuration
    may name it again.
    """
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise ValueError(f"descriptor {fd} is no open socket") from error
    try:
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"descriptor {fd} is no stream socket")
        if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise ValueError(f"descriptor {fd} is neither a TCP nor a unix socket")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(BACKLOG)
        os.set_inheritable(fd, False)
    except (OSError, ValueError):
        sock.close()
        raise
    return sock


def _permit(address: ListenAddress) -> None:
    """Give a unix socket's file its owner and its mode."""
    assert address.path is not None
    if address.owner is not None:
        user, _, group = address.owner.partition(":")
        os.chown(address.path, _number(user, "user"), _number(group, "group"))
    if address.mode is not None:
        os.chmod(address.path, address.mode)


def _umask() -> int:
    # It can be read only by setting it: to what is safe for whoever makes a file just then.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _number(name: str, kind: str) -> int:
    """The number of a user or a group; -1 where none is named, which changes nothing."""
    if not name or name.isdecimal():
        return int(name or -1)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f'there is no {kind} "{name}"') from None


def _remove_stale(path: str) -> None:
    """Remove the socket file that a process left behind which did not live to do so."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ValueError("there is something that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # one whose queue is full is alive, too
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:
            pass


def _file_at(path: str) -> tuple[int, int] | None:
    """Which file is there, if any."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _cannot(address: ListenAddress, key: str, error: OSError | ValueError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError([f"{key}: cannot listen on {address}: {reason}"])
