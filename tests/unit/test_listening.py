"""Which sockets a configuration asks for, with sockets that bind nothing."""

import socket
from typing import Any, cast

import pytest

from proxy.config.address import ListenAddress
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.errors import ConfigError
from proxy.listener import Listener
from proxy.listening import Listening


class Socket:
    """Somebody who could listen."""

    family = socket.AF_INET

    def __init__(self, address: ListenAddress, *, shared: bool) -> None:
        self.address = address
        self.closed = False
        self.shared = shared

    def getsockname(self) -> tuple[str, int]:
        return self.address.host or "203.0.113.1", self.address.port or 1024

    def setsockopt(self, level: int, name: int, value: int) -> None:
        assert (level, name) == (socket.SOL_SOCKET, socket.SO_REUSEPORT)
        self.shared = bool(value)

    def close(self) -> None:
        self.closed = True


def loaded(listen: list[str], admin: str = "none") -> Loaded:
    text = f'[provider.a]\ntype = "mock"\n[server]\nlisten = {listen}\nadmin_listen = "{admin}"\n'
    return load(None, environ={TEXT: text}, overrides=Overrides())


@pytest.fixture
def made() -> list[Socket]:
    """Every socket that was made."""
    return []


@pytest.fixture
def listening(made: list[Socket]) -> Listening:
    """Listens where it is told; nobody gets port 7."""

    def bind(address: ListenAddress, key: str, *, share: bool = False) -> Listener:
        if address.port == 7:
            raise ConfigError([f"{key}: cannot listen on {address}: no"])
        made.append(Socket(address, shared=share))
        return Listener(address, cast(socket.socket, made[-1]))

    nobody: Any = None
    return Listening(nobody, nobody, bind)


def test_what_a_configuration_asks_for_is_opened(listening: Listening, made: list[Socket]) -> None:
    plan = listening.plan(loaded(["127.0.0.1:0", "[::1]:81"], "127.0.0.1:90"))

    assert [str(one.address) for one in made] == ["127.0.0.1:0", "[::1]:81", "127.0.0.1:90"]
    assert [listener.url for listener in plan.data] == ["http://127.0.0.1:1024", "http://::1:81"]
    assert plan.admin is not None
    assert plan.admin.url == "http://127.0.0.1:90"
    plan.drop()
    assert [one.closed for one in made] == [True, True, True]


def test_what_was_opened_is_closed_where_one_cannot_be(
    listening: Listening, made: list[Socket]
) -> None:
    with pytest.raises(ConfigError) as raised:
        listening.plan(loaded(["127.0.0.1:80", "127.0.0.1:7"]))

    [problem] = raised.value.problems
    assert problem.startswith(f"{TEXT}:4: [server.listen")
    assert problem.endswith(": cannot listen on 127.0.0.1:7: no")
    assert [one.closed for one in made] == [True]


def test_what_is_open_is_opened_no_second_time(listening: Listening, made: list[Socket]) -> None:
    first = listening.plan(loaded(["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:80"], "127.0.0.1:90"))
    there: Any = listening
    there._servers = dict.fromkeys(first.data)
    there._admins = {first.admin: None}
    second = listening.plan(loaded(["127.0.0.1:0", "127.0.0.1:81"], "127.0.0.1:90"))

    assert [str(one.address) for one in made[4:]] == ["127.0.0.1:81"]
    assert second.data[0] is first.data[0]
    assert second.admin is first.admin
    assert second.admin is not None
    second.drop()
    assert [one.closed for one in made] == [False] * 4 + [True]


def test_what_leaves_may_have_a_part_of_what_comes(
    listening: Listening, made: list[Socket]
) -> None:
    first = listening.plan(loaded(["127.0.0.1:80", "127.0.0.1:81"]))
    there: Any = listening
    there._servers = dict.fromkeys(first.data)
    plan = listening.plan(loaded(["[::1]:80", "127.0.0.1:81"]))
    assert [one.shared for one in made] == [True, False, True]
    plan.drop()

    assert [one.shared for one in made] == [False, False, True]
    assert [one.closed for one in made] == [False, False, True]


def test_a_socket_handed_over_must_be_loopback_where_nobody_is_asked_who_he_is(
    listening: Listening, made: list[Socket]
) -> None:
    with pytest.raises(ConfigError) as raised:
        listening.plan(loaded(["fd:3"]))

    [problem] = raised.value.problems
    assert problem.endswith(": fd:3 is http://203.0.113.1:1024, and clients are not authenticated")
    assert [one.closed for one in made] == [True]
    plan = listening.plan(loaded(["127.0.0.1:0"], "fd:3"))
    assert plan.admin is not None
    assert not plan.admin.loopback
