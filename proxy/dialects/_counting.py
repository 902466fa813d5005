"""What the endpoints that count a request's tokens, and answer nothing else, have in common."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from proxy.errors import BadResponse
from proxy.event import Event, Usage, Used

T = TypeVar("T")

_NO_COUNT = "the provider's answer counts no tokens"


def read_count(decode: Callable[[bytes], T], body: bytes) -> T:
    """What `decode` makes of an answer. Raises BadResponse."""
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadResponse(_NO_COUNT).because(error) from error


def counted(events: list[Event]) -> Usage:
    """What the events say was counted. Raises BadResponse."""
    for event in reversed(events):
        if isinstance(event, Used):
            return event.usage
    raise BadResponse(_NO_COUNT)
