"""What a service manager hands over, and what it is told."""

import os
import socket
from typing import Any

import pytest

from proxy.systemd import Notifier, hand_on, handed_over

MINE = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, {}),
        ({"LISTEN_FDS": "2"}, {}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, {}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": MINE}, {3: "", 4: ""}),
        ({"LISTEN_FDS": "0", "LISTEN_PID": MINE}, {}),
        ({"LISTEN_FDS": "x", "LISTEN_PID": MINE}, {}),
        (
            {"LISTEN_FDS": "3", "LISTEN_PID": MINE, "LISTEN_FDNAMES": "data:admin"},
            {3: "data", 4: "admin", 5: ""},
        ),
    ],
)
def test_sockets_are_taken_by_the_process_that_they_are_for(
    environ: dict[str, str], found: dict[int, str]
) -> None:
    assert handed_over(environ) == found


@pytest.mark.parametrize("fork", [True, False])
def test_a_process_that_is_forked_has_what_its_parent_was_given(fork: bool) -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getppid() if fork else 1 << 30)}
    hand_on(environ)
    assert handed_over(environ) == ({3: ""} if fork else {})


class Socket:
    """Remembers what is sent."""

    def __init__(self, family: int, kind: int) -> None:
        assert (family, kind) == (socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.sent: list[tuple[bytes, object]] = []
        self.blocking = True

    def setblocking(self, flag: bool) -> None:
        self.blocking = flag

    def sendto(self, data: bytes, address: object) -> None:
        assert not self.blocking
        self.sent.append((data, address))
        if len(self.sent) > 3:
            raise BlockingIOError


@pytest.mark.parametrize(
    ("path", "address"), [("/run/notify", "/run/notify"), ("@abstract@x", "\0abstract@x")]
)
def test_a_service_manager_is_told_in_datagrams(
    path: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.systemd.socket.socket", Socket)
    monkeypatch.setattr("proxy.systemd.time.monotonic_ns", lambda: 12_345_678)
    notifier = Notifier({"NOTIFY_SOCKET": path})
    notifier.ready("all\nis well")
    notifier.reloading()
    notifier.stopping(32.5)
    notifier.alive()  # nobody takes it, and nobody minds
    made: Any = notifier._socket

    assert [to for _, to in made.sent] == [address] * 4
    assert [data.decode().split("\n") for data, _ in made.sent] == [
        ["READY=1", "STATUS=all is well"],
        ["RELOADING=1", "MONOTONIC_USEC=12345"],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=32500000"],
        ["WATCHDOG=1"],
    ]


@pytest.mark.parametrize("path", [None, "", "relative", "vsock:2:1"])
def test_nobody_is_told_where_nobody_asked(
    path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.systemd.socket.socket", None)
    notifier = Notifier({} if path is None else {"NOTIFY_SOCKET": path})

    notifier.ready("all is well")
    notifier.alive()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": MINE}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_signs_of_life_are_for_who_wants_them(environ: dict[str, str], seconds: float) -> None:
    assert Notifier(environ).watchdog == seconds
