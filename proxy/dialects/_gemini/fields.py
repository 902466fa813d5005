"""The members of a request's objects, read as Google's servers read them.

ProtoJSON takes every name in camel case and in snake case, ``null`` for "not set", numbers in
strings, one object where a list of them is expected.
https://protobuf.dev/programming-guides/json/
"""

from typing import Any

import msgspec

from proxy.errors import BadRequest

Raw = msgspec.Raw

_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_any = msgspec.json.Decoder()


class Fields:
    """An object's members by their names in camel case. Whoever reads one takes it out.

    `where` is the object's place in the request, for the errors, all of them BadRequest.
    """

    __slots__ = ("members", "where")

    def __init__(self, raw: bytes | Raw, where: str = "") -> None:
        self.where = where
        try:
            members = _members.decode(raw)
        except msgspec.MsgspecError as error:
            name = where or "the body"
            raise BadRequest(f"`{name}` must be an object", param=where or None) from error
        self.members = {
            _camel(name): value for name, value in members.items() if first(value) != b"n"
        }

    def raw(self, name: str) -> Raw | None:
        """A member as it is."""
        return self.members.pop(name, None)

    def text(self, name: str) -> str | None:
        """A string."""
        value = self._value(name)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(name, "must be a string")

    def word(self, name: str, numbers: tuple[str, ...] = ()) -> str | None:
        """An enum's value: a name, or the number of one of `numbers`."""
        value = self._value(name)
        if value is None or isinstance(value, str):
            return value
        if type(value) is int and 0 <= value < len(numbers):
            return numbers[value]
        raise self.wrong(name, "must be the name of a value")

    def flag(self, name: str) -> bool | None:
        """A truth value."""
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(name, "must be true or false")

    def number(self, name: str) -> float | None:
        """A number."""
        value = self._number(name)
        return None if value is None else float(value)

    def integer(self, name: str) -> int | None:
        """A whole number."""
        value = self._number(name)
        if value is not None and value != int(value):
            raise self.wrong(name, "must be a whole number")
        return None if value is None else int(value)

    def object(self, name: str) -> "Fields | None":
        """An object."""
        raw = self.raw(name)
        return None if raw is None else Fields(raw, self.at(name))

    def objects(self, name: str) -> "list[Fields]":
        """A list of objects."""
        raw = self.raw(name)
        if raw is None:
            return []
        if first(raw) != b"[":
            return [Fields(raw, self.at(name))]
        return [Fields(item, f"{self.at(name)}[{i}]") for i, item in enumerate(_items.decode(raw))]

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        value = self._value(name)
        if value is None:
            return []
        found = [value] if isinstance(value, str) else value
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return found
        raise self.wrong(name, "must be a list of strings")

    def at(self, name: str) -> str:
        """A member's place in the request."""
        return f"{self.where}.{name}" if self.where else name

    def wrong(self, name: str, what: str) -> BadRequest:
        """The error that says what a member must be."""
        where = self.at(name)
        return BadRequest(f"`{where}` {what}", param=where)

    def _value(self, name: str) -> Any:
        raw = self.raw(name)
        try:
            return None if raw is None else _any.decode(raw)
        except msgspec.ValidationError as error:
            raise self.wrong(name, "is out of range") from error

    def _number(self, name: str) -> float | int | None:
        value = self._value(name)
        if isinstance(value, str):
            try:
                value = float(value) if "." in value or "e" in value.lower() else int(value)
            except ValueError:
                value = None
        elif value is None:
            return None
        if type(value) not in (int, float) or not abs(value) < 1e300:
            raise self.wrong(name, "must be a number")
        return value  # type: ignore[no-any-return]


def first(raw: bytes | Raw) -> bytes:
    """The byte that tells what kind of value it is."""
    return bytes(memoryview(raw)[:1])


def _camel(name: str) -> str:
    if "_" not in name:
        return name
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
