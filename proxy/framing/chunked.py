"""The chunked transfer coding (RFC 9112, 7.1): a decoder for response bodies, and an encoder."""

import re

from proxy.framing import FramingError, excerpt
from proxy.framing.head import is_field_line

LAST_CHUNK = b"0\r\n\r\n"
MAX_ONE = 16 * 1024
"""Bytes of a read that may be taken for one chunk without a second look."""
MAX_EXTENSIONS = 4 * 1024
MAX_TRAILERS = 64 * 1024

_match_size = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n").match

_EXTENSION = rb"[ \t]*;[\t\x20-\x7e\x80-\xff]*"
_match_extended_size = re.compile(rb"([0-9A-Fa-f]{1,16})(" + _EXTENSION + rb")\r\n").match
# A size line of which the end has not come: whatever cannot become one is refused at once, for
# a sender that then falls silent would be waited for.
_match_begun_size = re.compile(rb"[0-9A-Fa-f]{1,16}([ \t]*|" + _EXTENSION + rb")\r?").fullmatch

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


def _plain(length: int) -> tuple[bytes, int]:
    """What a read so long is, if it is one chunk spelled as most spell it: its size line, its size.

    Nothing is so long: a size of -1.
    """
    for digits in range(1, 9):
        size = length - digits - 4
        line = b"%x\r\n" % max(size, 0)
        if size > 0 and len(line) == digits + 2:
            return line, size
    return b"", -1


# The length of a read alone says how it must begin to be one chunk: a third of the price of
# reading the digits.
_PLAIN = [_plain(length) for length in range(1024)]
_KNOWN = len(_PLAIN)


class ChunkedDecoder:
    """Takes the chunks off a body: `feed` it what was read, until `done`.

    After each feed `done` says whether the last chunk and the trailers were read, `rest` holds
    the bytes that came behind them, and `whole` says whether the bytes fed were one or more
    complete data chunks without extensions and nothing else: those may be passed on as they are.
    Trailers are checked for their form and dropped (a proxy may: RFC 9110, 6.5.1).
    """

    __slots__ = (
        "_between",
        "_extensions",
        "_held",
        "_left",
        "_state",
        "_trailers",
        "done",
        "rest",
        "whole",
    )

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.whole = False
        self._state = _SIZE
        self._between = True  # nothing of a chunk is here
        self._left = 0  # payload bytes that the current chunk still lacks
        self._held = b""  # a line, or the CRLF behind a chunk, of which the end has not come
        self._extensions = 0
        self._trailers = 0

    def one(self, data: bytes) -> bytes | None:
        """The payload of `data` if that is one whole chunk, as most reads of a stream are.

        Otherwise None, and `data` is still to be fed; larger reads than 16 KiB are not looked at.
        """
        if self._between:
            length = len(data)
            if length < _KNOWN:
                line, size = _PLAIN[length]
                # Whether both are there shows in the length: asking for each first costs more.
                payload = data.removeprefix(line).removesuffix(b"\r\n")
                if len(payload) == size:
                    return payload
            if length <= MAX_ONE:
                match = _match_size(data)
                if match is not None:
                    start = match.end()
                    end = start + int(match[1], 16)
                    if start < end == length - 2 and data.endswith(b"\r\n"):
                        return data[start:end]
        return None

    def feed(self, data: bytes) -> bytes:
        """The payload that `data` holds, incomplete chunks' included; none of it is held back.

        Raises FramingError for a bad size line (more than 16 digits too), a chunk that does not
        end in CRLF, a bare LF, a malformed trailer, more than 4 KiB of chunk extensions or 64 KiB
        of trailers in the whole body.
        """
        if (one := self.one(data)) is not None:
            self.whole = True
            return one
        payload: list[bytes] = []
        try:
            self._decode(data, payload)
        except FramingError as error:
            error.decoded = b"".join(payload)
            raise
        return b"".join(payload)

    def _decode(self, data: bytes, payload: list[bytes]) -> None:
        state = self._state
        self.whole = False
        plain = self._between and bool(data)
        if self._held:
            data = self._held + data
            self._held = b""
        at, length = 0, len(data)
        while at < length:
            if state == _SIZE:
                match = _match_size(data, at)
                if match is None:
                    plain = False
                    match = self._odd_size(data, at)
                    if match is None:
                        self._held = data[at:]
                        break
                at = match.end()
                size = int(match[1], 16)
                end = at + size
                if not size:
                    state = _TRAILERS
                elif data.startswith(b"\r\n", end):
                    payload.append(data[at:end])
                    at = end + 2
                else:
                    state = _DATA
                    self._left = size
            elif state == _DATA:
                piece = data[at : at + self._left]
                payload.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    state = _DATA_END
            elif state == _DATA_END:
                ending = data[at : at + 2]
                if ending == b"\r\n":
                    at += 2
                    state = _SIZE
                elif ending == b"\r":
                    self._held = ending
                    break
                else:
                    raise FramingError(f"{excerpt(ending)} after a chunk's data (expected CRLF)")
            elif state == _TRAILERS:
                end = self._trailer_end(data, at)
                if end < 0:
                    self._held = data[at:]
                    break
                if end - at == 2:
                    state = _DONE
                at = end
            else:
                self.rest += data[at:]
                break
        self._state = state
        self._between = state == _SIZE and not self._held
        self.done = state == _DONE
        self.whole = plain and state == _SIZE

    def _odd_size(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """Match a size line with extensions; None if the line's end has not come."""
        match = _match_extended_size(data, at)
        if match is not None:
            self._extensions += len(match[2])
            if self._extensions > MAX_EXTENSIONS:
                raise FramingError(f"more than {MAX_EXTENSIONS} bytes of chunk extensions")
            return match
        begun = _match_begun_size(data, at)
        if begun is None:
            line = data[at : at + 64].partition(b"\n")
            raise FramingError(
                f"chunk size line {excerpt(line[0] + line[1])} (expected 1 to 16 hex digits, CRLF)"
            )
        if self._extensions + len(begun[1]) > MAX_EXTENSIONS:
            raise FramingError(f"more than {MAX_EXTENSIONS} bytes of chunk extensions")
        return None

    def _trailer_end(self, data: bytes, at: int) -> int:
        """Where the trailer line at `at` ends, or -1 if its end has not come."""
        end = data.find(b"\n", at) + 1
        size = (end or len(data)) - at
        if self._trailers + size > MAX_TRAILERS:
            raise FramingError(f"more than {MAX_TRAILERS} bytes of trailers")
        if not end:
            return -1
        self._trailers += size
        line = data[at:end]
        if line != b"\r\n" and not is_field_line(line):
            raise FramingError(f"trailer line {excerpt(line)} (expected a header or a blank line)")
        return end


def encode_chunk(payload: bytes) -> bytes:
    """`payload` as one chunk; nothing for nothing, since a chunk of size 0 would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
