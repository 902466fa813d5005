"""Bound sockets from addresses, with a socket that binds nothing."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any, Self

import pytest
from msgspec.structs import replace

from proxy.config.address import ListenAddress
from proxy.errors import ConfigError
from proxy.listener import Listener, bind, url


class Socket:
    """Remembers what is done to it."""

    made: list["Socket"]
    refuses: OSError | None
    """What binding raises."""
    alive: bool
    """Whether somebody listens where it connects."""

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_STREAM
        self.family = family
        self.options: list[tuple[int, int, int]] = []
        self.bound: object = None
        self.blocking = True
        self.closed = self.listens = False
        self.made.append(self)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        assert self.bound is None or not value, "an option that comes too late"
        self.options.append((level, name, value))

    def bind(self, where: object) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.bound = where

    def listen(self, backlog: int) -> None:
        assert self.bound is not None
        self.listens = True

    def connect(self, where: object) -> None:
        if not self.alive:
            raise ConnectionRefusedError

    def setblocking(self, flag: bool) -> None:
        self.blocking = flag

    def getsockname(self) -> object:
        return self.bound

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> type[Socket]:
    """The class of every socket that is made."""
    kind = type("Socket", (Socket,), {"made": [], "refuses": None, "alive": False})
    monkeypatch.setattr("proxy.listener.socket.socket", kind)
    return kind


REUSE = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
V6_ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


@pytest.mark.parametrize(
    ("address", "family", "options", "where"),
    [
        (ListenAddress("127.0.0.1", 80), socket.AF_INET, [REUSE], ("127.0.0.1", 80)),
        (ListenAddress("0.0.0.0", 0), socket.AF_INET, [REUSE], ("0.0.0.0", 0)),
        (ListenAddress("::", 81), socket.AF_INET6, [REUSE, V6_ONLY], ("::", 81, 0, 0)),
    ],
)
def test_an_address_is_bound_without_waiting_for_its_last_owner(
    sockets: type[Socket],
    address: ListenAddress,
    family: int,
    options: list[tuple[int, int, int]],
    where: object,
) -> None:
    bound: object = bind(address, "key").sock

    [made] = sockets.made
    assert bound is made
    assert (made.family, made.options, made.bound) == (family, options, where)
    assert (made.blocking, made.closed, made.listens) == (False, False, True)


@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        (OSError(errno.EADDRINUSE, "Address already in use"), "Address already in use"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_an_address_that_cannot_be_had_is_told_with_its_key(
    sockets: type[Socket], refuses: OSError, words: str
) -> None:
    sockets.refuses = refuses
    with pytest.raises(ConfigError) as raised:
        bind(ListenAddress("127.0.0.1", 80), "x.toml:2: [server.listen]")

    assert raised.value.problems == [
        f"x.toml:2: [server.listen]: cannot listen on 127.0.0.1:80: {words}"
    ]
    assert [made.closed for made in sockets.made] == [True]


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("proxy.listener.socket.getaddrinfo", unknown)
    with pytest.raises(ConfigError, match="cannot listen on nowhere:80: Name or service not known"):
        bind(ListenAddress("nowhere", 80), "key")


def left_behind(path: Path) -> ListenAddress:
    """A socket's file whose owner may have gone."""
    os.mknod(path, stat.S_IFSOCK | 0o600)
    return ListenAddress(path=str(path))


def test_a_unix_socket_is_bound_to_its_path(sockets: type[Socket], tmp_path: Path) -> None:
    address = ListenAddress(path=str(tmp_path / "s"))
    bind(address, "key")

    [made] = sockets.made
    assert (made.family, made.bound) == (socket.AF_UNIX, address.path)


@pytest.mark.parametrize("alive", [False, True])
def test_a_file_is_taken_away_only_from_an_owner_that_has_gone(
    sockets: type[Socket], tmp_path: Path, alive: bool
) -> None:
    sockets.alive = alive
    bind(left_behind(tmp_path / "s"), "key")

    assert (tmp_path / "s").exists() is alive
    assert sockets.made[0].closed, "the probe stays open"


def test_a_file_that_is_no_socket_is_left_alone(sockets: type[Socket], tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ConfigError, match="there is something that is no socket"):
        bind(ListenAddress(path=str(tmp_path / "s")), "key")

    assert (tmp_path / "s").read_text() == "precious"


def listener(sockets: type[Socket], address: ListenAddress) -> Listener:
    bound: Any = sockets(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bound = address.path
    return Listener(address, bound)


def test_a_listener_takes_its_file_away_when_it_closes(
    sockets: type[Socket], tmp_path: Path
) -> None:
    made = listener(sockets, left_behind(tmp_path / "s"))

    assert made.url == f"unix:{tmp_path}/s"
    made.close()
    assert [one.closed for one in sockets.made] == [True]
    assert not (tmp_path / "s").exists()
    left_behind(tmp_path / "s")
    made.close()
    assert (tmp_path / "s").exists()


def test_a_file_that_another_has_put_there_stays(sockets: type[Socket], tmp_path: Path) -> None:
    made = listener(sockets, left_behind(tmp_path / "s"))
    left_behind(tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / "s")
    made.close()

    assert (tmp_path / "s").exists()


def test_permissions_are_given_before_anybody_can_connect(
    sockets: type[Socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "s")
    given: list[tuple[object, ...]] = []

    def give(*what: object) -> None:
        assert not sockets.made[-1].listens
        given.append(what)

    monkeypatch.setattr("proxy.listener.os.chown", give)
    monkeypatch.setattr("proxy.listener.os.chmod", give)
    bind(ListenAddress(path=path, mode=0o660, owner="root:1234"), "key")
    bind(ListenAddress(path=path, owner=":0"), "key")
    bind(ListenAddress(path=path, mode=0o600), "key")

    assert given == [(path, 0, 1234), (path, 0o660), (path, -1, 0), (path, 0o600)]


@pytest.mark.parametrize(
    ("owner", "said"),
    [("nobody-of-this-name", "there is no user"), (":nor-group", "there is no group")],
)
def test_an_owner_that_nobody_is_leaves_no_socket_behind(
    sockets: type[Socket],
    tmp_path: Path,
    owner: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.unit.test_listener.Socket.bind", lambda _, path: os.mknod(path))
    address = ListenAddress(path=str(tmp_path / "s"), owner=owner)
    with pytest.raises(ConfigError, match=said):
        bind(address, "key")

    assert [made.closed for made in sockets.made] == [True]
    assert not (tmp_path / "s").exists()


def test_permissions_change_while_it_is_open(sockets: type[Socket], tmp_path: Path) -> None:
    address = left_behind(tmp_path / "s")
    made = listener(sockets, address)
    made.permit(replace(address, mode=0o640), "key")
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o640
    assert made.address.mode == 0o640
    umask = os.umask(0o027)
    try:
        made.permit(address, "key")
    finally:
        assert os.umask(umask) == 0o027
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o750
    with pytest.raises(ConfigError, match=r"^key: cannot listen on unix:.*: there is no user"):
        made.permit(replace(address, owner="nobody-of-this-name"), "key")
    assert made.address == address


@pytest.mark.parametrize(
    ("family", "name", "reached"),
    [
        (socket.AF_INET, ("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (socket.AF_INET6, ("::1", 8080, 0, 0), "http://[::1]:8080"),
        (socket.AF_UNIX, "/run/s", "unix:/run/s"),
    ],
)
def test_a_bound_socket_says_how_it_is_reached(
    sockets: type[Socket], family: int, name: object, reached: str
) -> None:
    bound = sockets(family, socket.SOCK_STREAM)
    bound.bound = name

    assert url(bound) == reached  # type: ignore[arg-type]
