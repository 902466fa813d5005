"""What a dialect makes of a request, for the server to send as the model's name asks."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from proxy.mock.errors import MockError
from proxy.mock.settings import MockSettings

T = TypeVar("T")

# msgspec ends its messages with "- at `$.messages[0]`", and names an absent field before it.
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(.+?)`")


class Event(NamedTuple):
    """One event of a stream, as it goes onto the wire.

    `paced`: the next token begins here, so that the time between tokens comes before it.
    """

    data: bytes
    paced: bool = False


class Whole(NamedTuple):
    """A response in one piece. `tokens` is how many were made one after another."""

    model: str
    tokens: int
    body: bytes


class Streamed(NamedTuple):
    """A response as a stream. `failure` is the error event of one that sent so many events."""

    model: str
    events: Iterator[Event]
    failure: Callable[[int], bytes]
    content_type: str = "text/event-stream; charset=utf-8"


Reply = Whole | Streamed

Endpoint = Callable[[bytes, MockSettings], Reply]
"""From the body of a request to the reply; raises MockError."""


def decode(body: bytes, type: type[T]) -> T:
    """`body` as a `type`; MockError names the field that is wrong."""
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"We could not parse the JSON body of your request: {error}"
        raise MockError(400, message) from None
    except RecursionError:
        raise MockError(400, "The JSON body of your request is nested too deeply") from None


def _invalid(message: str) -> MockError:
    reason = _PATH.sub("", message)
    places = [found[1] for pattern in (_PATH, _MISSING) if (found := pattern.search(message))]
    param = ".".join(filter(None, places)) or None
    return MockError(400, f"{param}: {reason}" if param else reason, param=param)
