"""What a supervisor and its workers say to each other, over a :class:`proxy.channel.Channel`.

What has an `ask` is answered by `Answer` or `Refused` with the same one.
"""

import msgspec

from proxy.observe.sums import Family


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Something that is said."""


# The supervisor's.


class Explain(Message, frozen=True):
    """Say what would happen to a request with this body; the answer is an Explanation as JSON."""

    ask: int
    path: str
    body: bytes


class Reload(Message, frozen=True):
    """Load the configuration anew; nothing is in the answer.

    `digests` are those of the files that are meant: they may have changed since. A listening
    socket for each of the `addresses` goes with it, which are those that the configuration adds.
    """

    ask: int
    digests: dict[str, bytes]
    addresses: tuple[str, ...]


class Drain(Message, frozen=True):
    """Take no more requests; the answer, after `limit` seconds at most, is who still is there."""

    ask: int
    limit: float


class Count(Message, frozen=True):
    """Say what was counted: the answer is `Counted`."""


class Accept(Message, frozen=True):
    """Accept what comes in for the worker at `place`, too: its sockets go with this."""

    place: int
    addresses: tuple[str, ...]


class Yield(Message, frozen=True):
    """Accept nothing any more for the worker at `place`."""

    place: int


class Leave(Message, frozen=True):
    """Take no more requests, let those that run end, and exit.

    A connection on which nothing is asked may be used for `linger` seconds more.
    """

    linger: float


class End(Message, frozen=True):
    """Exit now."""


Told = Explain | Reload | Drain | Count | Accept | Yield | Leave | End

# The worker's.


class Beat(Message, frozen=True):
    """The loop turns, and so many exchanges run."""

    running: int


class Ready(Message, frozen=True):
    """Requests are taken."""


class Failed(Message, frozen=True):
    """It cannot start, for what is wrong with the configuration."""

    problems: list[str]


class Counted(Message, frozen=True):
    """What was counted so far."""

    families: list[Family]


class Answer(Message, frozen=True):
    """What was asked for."""

    ask: int
    value: bytes = b""


class Refused(Message, frozen=True):
    """Why what was asked for did not happen."""

    ask: int
    problems: list[str]


Said = Beat | Ready | Failed | Counted | Answer | Refused
