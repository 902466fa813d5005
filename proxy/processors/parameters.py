"""Sets, defaults, clamps or drops top-level fields of a request.

::

    [processor.limits]
    type = "parameters"
    set = { store = false }
    default = { temperature = 0.2 }
    clamp = { max_tokens = { max = 4096 }, temperature = { min = 0, max = 1 } }
    drop = ["logit_bias"]
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from proxy.dialect import Dialect
from proxy.errors import BadRequest
from proxy.exchange import Exchange, ParsedRequest, Raw
from proxy.processor import Processor

_OURS = ("model", "stream")
"""Fields that routing has read: changing them here would make it a lie."""


class Clamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of a number, both inclusive."""

    min: Annotated[float | None, Meta(description="The least that it may be.")] = None
    max: Annotated[float | None, Meta(description="The most that it may be.")] = None

    def __post_init__(self) -> None:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")


Values = dict[str, Any]


class Parameters(Processor):
    """Works in the order drop, set, default, clamp; a field that is absent is never clamped."""

    drop: Annotated[tuple[str, ...], Meta(description="Fields to take out.")] = ()
    set: Annotated[Values, Meta(description="Fields to set, whatever the client sent.")] = (
        msgspec.field(default_factory=dict)
    )
    default: Annotated[Values, Meta(description="Fields to set where the client did not.")] = (
        msgspec.field(default_factory=dict)
    )
    clamp: Annotated[
        dict[str, Clamp], Meta(description="Numbers to keep between `min` and `max`.")
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _OURS:
            if any(name in table for table in (self.drop, self.set, self.default, self.clamp)):
                raise ValueError(f"`{name}` is what routes select by and cannot be changed here")

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        fields = request.fields
        for name in self.drop:
            request.drop(name)
        for name, value in self.set.items():
            request.set(name, value)
        for name, value in self.default.items():
            if name not in fields:
                request.set(name, value)
        for name, bounds in self.clamp.items():
            if name in fields:
                _clamp(request, name, fields[name], bounds)


def _clamp(request: ParsedRequest, name: str, raw: Raw, bounds: Clamp) -> None:
    try:
        value = msgspec.json.decode(raw, type=float | None)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"`{name}` must be a number", param=name) from error
    if value is None:
        return
    if bounds.min is not None and value < bounds.min:
        request.set(name, _number(bounds.min))
    elif bounds.max is not None and value > bounds.max:
        request.set(name, _number(bounds.max))


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value
