"""What a service manager hands over, and what it is told."""

import os

import pytest

from proxy.systemd import handed_over

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
