"""An object of a request, field by field: whatever is wrong is named by its path."""

from typing import Any, TypeVar

import msgspec

from proxy.errors import BadRequest
from proxy.exchange import Raw

T = TypeVar("T")

TEXT = msgspec.json.Decoder(str)
FLAG = msgspec.json.Decoder(bool)
WHOLE = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)
OBJECT = msgspec.json.Decoder(dict[str, Raw])
OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
TEXTS = msgspec.json.Decoder(list[str])
LABELS = msgspec.json.Decoder(dict[str, str])
TEXT_OR_LIST = msgspec.json.Decoder(str | list[dict[str, Raw]])
TEXT_OR_TEXTS = msgspec.json.Decoder(str | list[str])
TEXT_OR_OBJECT = msgspec.json.Decoder(str | dict[str, Raw])

_NULL = b"null"


class Fields:
    """The fields of one object, taken out one by one; what nobody took is the rest.

    A field that is null is as good as absent.
    """

    __slots__ = ("_left", "path")

    def __init__(self, fields: dict[str, Raw], path: str = "") -> None:
        """`path` is where the object stands in the request, such as ``messages[2]``."""
        self._left = fields
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def where(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def raw(self, name: str) -> Raw | None:
        """The field as it was spelled."""
        found = self._left.pop(name, None)
        return None if found is None or bytes(found) == _NULL else found

    def take(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        """The field, if it is there. Raises BadRequest if it is not of its type."""
        found = self.raw(name)
        if found is None:
            return None
        try:
            return decoder.decode(found)
        except msgspec.ValidationError as error:
            what, _, inner = str(error).partition(" - at `$")
            path = self.where(name) + inner.rstrip("`").replace("[...]", "[]")
            raise BadRequest(f"`{path}`: {what}", param=path) from error

    def peek(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        """The same, and it stays."""
        return Fields(dict(self._left), self.path).take(name, decoder)

    def need(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T:
        """The field. Raises BadRequest if it is missing, or not of its type."""
        found = self.take(name, decoder)
        if found is None:
            raise BadRequest(f"`{self.where(name)}` is missing", param=self.where(name))
        return found

    def object(self, name: str) -> "Fields | None":
        """The fields of an object in the field, if it is there."""
        found = self.take(name, OBJECT)
        return None if found is None else Fields(found, self.where(name))

    def objects(self, name: str) -> "list[Fields]":
        """The fields of each object of the field's array; [] if it is not there."""
        return self.each(name, self.take(name, OBJECTS) or [])

    def each(self, name: str, found: list[dict[str, Raw]]) -> "list[Fields]":
        """The fields of each of these objects, which stand in the field `name`."""
        path = self.where(name)
        return [Fields(fields, f"{path}[{index}]") for index, fields in enumerate(found)]

    def wrong(self, name: str, expected: str) -> BadRequest:
        """The error that says what was expected in the field."""
        path = self.where(name)
        return BadRequest(f"`{path}` must be {expected}", param=path)

    def whole(self) -> Raw:
        """The object, as far as nobody took anything of it."""
        return spelled(self._left)

    def rest(self) -> dict[str, Raw]:
        """What nobody took, without what is null."""
        left = self._left
        return {name: value for name, value in left.items() if bytes(value) != _NULL}


def spelled(value: Any) -> Raw:
    """A value as JSON."""
    return Raw(msgspec.json.encode(value))
