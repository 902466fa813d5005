"""What a model's name asks of the mock provider."""

import functools
import re
from typing import Literal, cast

import msgspec

Kind = Literal["answer", "status", "cut", "stall", "error", "refuse"]

MODELS = ("mock", "mock-status-503", "mock-cut-5", "mock-stall-5", "mock-error-5", "mock-refuse")
"""An example of each behaviour; the numbers are the client's to choose."""

_STATUS = re.compile(r"mock-status-([45]\d\d)", re.ASCII)
_AFTER = re.compile(r"mock-(cut|stall|error)-(\d{1,9})", re.ASCII)


class Behaviour(msgspec.Struct, frozen=True):
    """`number` is the status to answer, or the events of a stream that go out before it breaks."""

    kind: Kind
    number: int = 0


@functools.lru_cache(maxsize=256)
def behaviour_of(model: str) -> Behaviour:
    """What to do for `model`; a name that asks for nothing special is simply answered."""
    if model == "mock-refuse":
        return Behaviour("refuse")
    if match := _STATUS.fullmatch(model):
        return Behaviour("status", int(match[1]))
    if match := _AFTER.fullmatch(model):
        return Behaviour(cast(Kind, match[1]), int(match[2]))
    return Behaviour("answer")
