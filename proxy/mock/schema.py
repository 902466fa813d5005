"""A JSON value that fits a JSON Schema, as far as providers' structured outputs use one.

Of an object its required properties are made; ``pattern`` and ``multipleOf`` are not looked at.
"""

import math
import random
from typing import Annotated, Any

import msgspec

from proxy.mock.text import words

# Below this the shortest way out is taken, so that a schema that refers to itself comes to an end.
_DEEP = 4
_TOO_DEEP = 32
# References multiply: a small schema may ask for a value that fills the memory.
_TOO_MANY = 10_000

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "mock@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}


class Schema(msgspec.Struct, rename="camel"):
    """The keywords that are understood; the others are no constraint here."""

    type: str | list[str] | None = None
    const: Any = msgspec.UNSET
    enum: list[Any] = []
    properties: dict[str, "Schema | bool"] = {}
    required: list[str] = []
    items: "Schema | bool | list[Schema | bool] | None" = None
    any_of: list["Schema | bool"] = []
    one_of: list["Schema | bool"] = []
    all_of: list["Schema | bool"] = []
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | bool | None = None
    exclusive_maximum: float | bool | None = None
    min_length: Annotated[int, msgspec.Meta(le=_TOO_MANY)] = 0
    max_length: int | None = None
    min_items: int = 0
    max_items: int | None = None
    format: str | None = None
    ref: str | None = msgspec.field(name="$ref", default=None)
    defs: dict[str, "Schema | bool"] = msgspec.field(name="$defs", default={})
    definitions: dict[str, "Schema | bool"] = {}


def example(schema: Schema, rng: random.Random) -> Any:
    """A value that fits; raises ValueError on a reference or a nesting that leads nowhere."""
    return _Example(schema, rng).value(schema, 0)


class _Example:
    """One value in the making. `root` is where references point to."""

    def __init__(self, root: Schema, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.values = 0

    def value(self, schema: Schema | bool | None, depth: int) -> Any:
        """What fits `schema`, which stands `depth` steps below the root."""
        self.values += 1
        if depth > _TOO_DEEP or self.values > _TOO_MANY:
            raise ValueError("expected a schema whose smallest value is not so large")
        if not isinstance(schema, Schema):
            return None
        if schema.ref is not None:
            return self.value(self._resolve(schema.ref), depth + 1)
        if schema.const is not msgspec.UNSET:
            return schema.const
        if schema.enum:
            return self.rng.choice(schema.enum)
        if options := schema.any_of or schema.one_of or schema.all_of:
            return self.value(options[-1 if depth >= _DEEP else 0], depth + 1)
        match _type(schema):
            case "object":
                return {
                    name: self.value(schema.properties.get(name), depth + 1)
                    for name in schema.required
                }
            case "array":
                if isinstance(schema.items, list):
                    return [self.value(each, depth + 1) for each in schema.items]
                count = max(schema.min_items, 0 if depth >= _DEEP else 1)
                if schema.max_items is not None:
                    count = min(count, schema.max_items)
                return [self.value(schema.items, depth + 1) for _ in range(count)]
            case "string":
                return _string(schema, self.rng)
            case "integer":
                low, high = _bounds(schema, step=1)
                least = math.ceil(low)
                return self.rng.randint(least, max(least, math.floor(high)))
            case "number":
                low, high = _bounds(schema, step=0.001)
                return round(self.rng.uniform(low, max(low, high)), 3)
            case "boolean":
                return self.rng.random() < 0.5
            case _:
                return None

    def _resolve(self, ref: str) -> Schema | bool:
        if ref == "#":
            return self.root
        where, _, name = ref.rpartition("/")
        families = {"#/$defs": self.root.defs, "#/definitions": self.root.definitions}
        found = families.get(where, {}).get(name)
        if found is None:
            raise ValueError(f"expected $ref to name a definition of the schema, not {ref!r}")
        return found


def _type(schema: Schema) -> str:
    kind = schema.type
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if schema.properties or schema.required else "null"
    return kind


def _string(schema: Schema, rng: random.Random) -> str:
    if schema.format in _FORMATS:
        return _FORMATS[schema.format]
    text = "".join(words(rng, 3))
    if len(text) < schema.min_length:
        text = text.ljust(schema.min_length, ".")
    return text if schema.max_length is None else text[: schema.max_length]


def _bounds(schema: Schema, step: float) -> tuple[float, float]:
    low = _bound(schema.minimum, schema.exclusive_minimum, step)
    high = _bound(schema.maximum, schema.exclusive_maximum, -step)
    if low is None:
        low = 0.0 if high is None or high >= 0 else high - 100.0
    return low, low + 100.0 if high is None else high


def _bound(bound: float | None, exclusive: float | bool | None, step: float) -> float | None:
    """The last value inside; until draft 4 `exclusive` was a flag beside the bound."""
    if exclusive is True:
        return None if bound is None else bound + step
    return bound if exclusive is None or exclusive is False else exclusive + step
