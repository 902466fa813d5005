"""A stream cut into chunks, in either form: server-sent events, or one growing JSON array.

https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

import re

from proxy.framing import FramingError
from proxy.framing.sse import MAX_FRAME, FrameSplitter

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"

_next_token = re.compile(rb'["{}\[\]]').search
_string_run = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL).match
_between = re.compile(rb"[ \t\r\n,]*+").match


class ArraySplitter:
    """Cuts a JSON array into its elements, or takes an object that stands alone for one."""

    __slots__ = ("_alone", "_depth", "_held", "_in_string", "_max", "_scanned", "closed", "wrong")

    def __init__(self, max_element: int = MAX_FRAME) -> None:
        """`max_element`: how many bytes one element may have."""
        self.closed = False
        """The array has ended, or the object that stood alone."""
        self.wrong = ""
        """What showed that it is no such array; nothing is read any more."""
        self._max = max_element
        self._alone = False
        self._held = bytearray()
        self._scanned = 0
        self._depth = -1
        """How many brackets are open, the array's own not counted; -1: nothing has come."""
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The elements that `data` completes; what comes after the end is passed over."""
        held = self._held
        held += data
        elements: list[bytes] = []
        while not self.wrong and self._begins():
            end = self._end()
            if (len(held) if end < 0 else end) > self._max:
                self.wrong = f"an element of more than {self._max} bytes"
            elif end >= 0:
                elements.append(bytes(held[:end]))
                del held[:end]
                self.closed = self._alone
            if end < 0:
                break
        return elements

    def _begins(self) -> bool:
        """Pass what stands between two elements; whether one begins, or has begun."""
        held = self._held
        if self._depth > 0:
            return True
        if self.closed:
            held.clear()
            return False
        between = _between(held)
        del held[: between.end() if between else 0]
        first = bytes(held[:1])
        if first == b"{":
            self._alone = self._alone or self._depth < 0
            self._depth = self._scanned = 0
            return True
        if first == b"[" and self._depth < 0:
            self._depth = 0
        elif first == b"]" and self._depth == 0:
            self.closed = True
        elif first:
            self.wrong = "an array whose elements are no objects"
            return False
        else:
            return False
        del held[:1]
        return self._begins()

    def _end(self) -> int:
        """Where the element ends that is held; -1 if it has not."""
        held, at, depth = self._held, self._scanned, self._depth
        length = len(held)
        while at < length:
            if self._in_string:
                run = _string_run(held, at)
                at = run.end() if run else at
                if at == length or held[at] != 0x22:
                    break
                at += 1
                self._in_string = False
            token = _next_token(held, at)
            if token is None:
                at = length
                break
            at = token.end()
            kind = token[0]
            if kind == b'"':
                self._in_string = True
            elif kind in b"{[":
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    self._depth = 0
                    return at
        self._scanned, self._depth = at, depth
        return -1


class Chunks:
    """Cuts a stream into the JSON of its chunks, whichever form it has."""

    __slots__ = ("_array", "_events", "_start", "_wrong")

    def __init__(self) -> None:
        self._array: ArraySplitter | None = None
        self._events: FrameSplitter | None = None
        self._start = b""
        self._wrong = ""

    @property
    def closed(self) -> bool:
        """Whether the stream itself said that it is whole: events never do."""
        return self._array is not None and self._array.closed

    @property
    def is_array(self) -> bool:
        """Whether it is an array, or an object that stands alone."""
        return self._array is not None

    @property
    def wrong(self) -> str:
        """What showed that it is no such stream; nothing is read any more."""
        return self._wrong or (self._array.wrong if self._array is not None else "")

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that `data` completes: JSON, or whole frames."""
        if self._events is not None:
            return self._split(self._events, data)
        if self._array is not None:
            return self._array.feed(data)
        start = self._start + data
        said = start.removeprefix(_BOM).lstrip(_SPACE)
        if not said or _BOM.startswith(start):
            self._start = start[:8]
            return []
        self._start = b""
        if said[:1] in (b"[", b"{"):
            self._array = ArraySplitter()
            return self._array.feed(said)
        self._events = FrameSplitter()
        return self._split(self._events, start)

    def close(self) -> bytes:
        """A last frame that lacked its blank line."""
        return b"" if self._events is None else self._events.close()

    def _split(self, splitter: FrameSplitter, data: bytes) -> list[bytes]:
        try:
            return splitter.feed(data)
        except FramingError as error:
            self._wrong = str(error)
            return FrameSplitter().feed(error.decoded)
