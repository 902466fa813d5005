"""Finds the usage of a response that passes by, by a byte search."""

from proxy.dialects._anthropic.wire import add_usage
from proxy.framing.usage import UsageWatch


class CumulativeWatch(UsageWatch):
    """Puts together what each usage object says: the first tells the input, later ones the rest.

    Nothing is added up: what an object says replaces what was said before, and what it leaves
    out stays.
    """

    __slots__ = ("_objects",)

    def __init__(self) -> None:
        super().__init__()
        self._objects: list[bytes] = []

    def _read(self, seen: bytes, at: int) -> None:
        super()._read(seen, at)
        while self._objects:
            self.usage = add_usage(self.usage, self._objects.pop())

    def _found(self, raw: bytes) -> bool:
        self._objects.append(raw)
        return False
