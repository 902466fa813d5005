"""What a service manager hands to a process, and what it is told: systemd's protocols.

Sockets that it opened come as descriptors from 3 on (sd_listen_fds(3)); the state of the process
goes, one line a fact, in datagrams to a socket that it names (sd_notify(3)).
"""

import os
from collections.abc import Mapping

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""


def handed_over(environ: Mapping[str, str]) -> dict[int, str]:
    """The descriptors of sockets that were opened for this process, with their names."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = range(FIRST, FIRST + int(count))
    return {fd: names[at] if at < len(names) else "" for at, fd in enumerate(found)}
