"""Server-sent events (WHATWG HTML, 9.2): a stream cut into frames, and what a frame says."""

import re

import msgspec

from proxy.framing import FramingError

MAX_FRAME = 64 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LF = 0x0A
_CR = 0x0D
# The end of a line and the blank line behind it; see FrameSplitter for why it is these.
_find_blank_line = re.compile(rb"\n\n|\n\r\n|\n\r(?=[^\n])|\r\r").search


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event: its `event` field and its `data` lines joined by LF."""

    event: bytes = b""
    data: bytes = b""


class FrameSplitter:
    r"""Cuts a stream into frames: the bytes up to and with the blank line that ends each.

    Nothing is dropped: everything fed comes out again, in frames or from `close`. A blank line
    that follows a blank line is a frame of its own, which says nothing.

    A line ends in LF, CR LF or CR, so a CR that is the last byte seen may be a line end or half
    of one. Where a frame ends must not depend on that:

    - `x CR` waits: nothing has ended, whatever comes.
    - `x CR CR` is a whole frame at once. The first CR was a line end of its own, so the second
      ends a blank line; such a stream ends its lines in CR, and its next byte may be long in
      coming. If an LF does come, it is taken for one more blank line, wherever the bytes were cut.
    - `x LF CR` and `x CR LF CR` wait for one byte. Such a stream writes CR LF, and the LF (in
      flight already, since it was written along with its CR) belongs to this frame: handing out
      the frame without it would tear the pair apart, and put what the proxy writes between
      frames inside it. Only a sender that ends its lines in LF and its blank lines in a bare CR
      would be delayed, until its next byte; none is known.
    - `CR` as the first byte of a frame waits likewise: it can only become a blank line, and a
      blank line after a blank line holds no event that could be late.
    """

    __slots__ = ("_held", "_max_frame")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        """`max_frame`: how many bytes one frame may have, its blank line included."""
        self._max_frame = max_frame
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, each as its exact bytes.

        Raises FramingError for a frame longer than `max_frame`, as soon as that is certain.
        """
        frames: list[bytes] = []
        held = self._held
        seen = len(held)
        at = 0
        if seen:
            held += data
            # Two bytes that were searched before may begin a blank line that ends only now.
            end = _frame_end(held, 0, max(seen - 2, 0))
            if end < 0:
                self._check(frames)
                return frames
            frames.append(bytes(held[:end]))
            held.clear()
            at = end - seen
        length = len(data)
        # Most streams end each line alike, and then a plain search finds what ends a frame.
        only_lf = _CR not in data
        only_crlf = not only_lf and data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n")
        while at < length:
            if only_lf and data[at] != _LF:
                end = data.find(b"\n\n", at)
                end = end + 2 if end >= 0 else -1
            elif only_crlf and data[at] not in b"\r\n":
                end = data.find(b"\r\n\r\n", at)
                end = end + 4 if end >= 0 else -1
            else:
                end = _frame_end(data, at, at)
            if end < 0:
                held += data[at:]
                break
            frames.append(data[at:end])
            at = end
        if seen + length > self._max_frame:
            self._check(frames)
        return frames

    def whole(self, data: bytes) -> bytes:
        """The frames that `data` completes, in one run of bytes; raises what `feed` does."""
        held = self._held
        if _CR in data or _CR in held or len(held) + len(data) > self._max_frame:
            return b"".join(self.feed(data))
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            # No two: one ends a line that is held, or is a blank line behind another.
            end = 1 if data.startswith(b"\n") and (not held or held.endswith(b"\n")) else 0
        if end == 0:
            held += data
            return b""
        run = bytes(held) + data[:end] if held else data[:end]
        held[:] = data[end:]
        return run

    @property
    def pending(self) -> int:
        """How many bytes are held of a frame that has not ended."""
        return len(self._held)

    def close(self) -> bytes:
        """What came after the last frame: b"", or the beginning of a frame that never ended.

        WHATWG's parsers drop it. (A frame whose lines end in LF and whose blank line is the bare
        CR at the very end of the stream is whole, and comes out here.)
        """
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _check(self, frames: list[bytes]) -> None:
        for index, frame in enumerate([*frames, self._held]):
            if len(frame) > self._max_frame:
                raise FramingError(
                    f"a server-sent event of more than {self._max_frame} bytes",
                    b"".join(frames[:index]),
                )


def parse_frame(raw: bytes) -> Frame:
    """What a frame says, by WHATWG's rules for fields; `id`, `retry`, comments are passed over."""
    event = b""
    data: list[bytes] = []
    for line in raw.removeprefix(_BOM).splitlines():
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return Frame(event, b"\n".join(data))


def _frame_end(buffer: bytes | bytearray, start: int, resume: int) -> int:
    """Where the frame that begins at `start` ends, searched from `resume`; -1 if it does not."""
    first = buffer[start]
    if first == _LF:
        return start + 1
    if first == _CR:
        if len(buffer) == start + 1:
            return -1
        return start + 2 if buffer[start + 1] == _LF else start + 1
    match = _find_blank_line(buffer, resume)
    return match.end() if match is not None else -1
