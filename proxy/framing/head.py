"""HTTP/1 response heads: found, parsed strictly, and what they say of the body that follows.

RFC 9112 lets a recipient accept a bare LF for CRLF (2.2); this one does not. What the field's
servers send is CRLF, and a head that two parties may cut differently is not worth forwarding.
"""

import re

import msgspec

from proxy.framing import FramingError, excerpt

CHUNKED = -1
UNTIL_CLOSE = -2
MAX_HEADERS = 128

MAX_KNOWN_LINES = 2048
MAX_KNOWN_VALUES = 16
MAX_KNOWN_STATUSES = 64
MAX_KNOWN_LINE = 256
"""Bytes of a line that is remembered."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_FIELD = _TOKEN + rb":" + _VALUE

is_token = re.compile(_TOKEN).fullmatch
is_field_line = re.compile(_FIELD + rb"\r\n").fullmatch

_match_status_line = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + _VALUE + rb"))?"
).fullmatch
_match_field = re.compile(rb"(" + _TOKEN + rb"):(" + _VALUE + rb")").fullmatch
_control = re.compile(rb"[^\t\x20-\x7e\x80-\xff]").search


class ResponseHead(msgspec.Struct, gc=False):
    """A response's status line and headers, in the order in which they came.

    Header names are lower-cased, values are stripped of spaces and tabs.
    """

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    http10: bool
    lines: list[bytes]
    """The headers as they came, without their CRLF."""
    named: dict[bytes, bytes]
    """The headers by name; of repeated ones, the last."""


class _Fields:
    """What header lines say, by the line; most of a provider's lines come again and again.

    A name whose value is ever another one (a date, an id) is soon not remembered any more.
    (It has a dict and is none: looking into a subclass of dict takes three times as long.)
    """

    __slots__ = ("_values", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[bytes, bytes]] = {}
        self._values: dict[bytes, int] = {}

    def read(self, line: bytes) -> tuple[bytes, bytes]:
        """What an unknown line says; raises FramingError."""
        match = _match_field(line)
        if match is None:
            raise FramingError("not a header line")
        name, value = match.groups()
        name = name.lower()
        field = (name, value.strip(b" \t"))
        values = self._values.get(name, 0)
        if (
            values < MAX_KNOWN_VALUES
            and len(self.known) < MAX_KNOWN_LINES
            and len(line) <= MAX_KNOWN_LINE
        ):
            self._values[name] = values + 1
            self.known[line] = field
        return field


_fields = _Fields()
_statuses: dict[bytes, tuple[int, bytes, bool]] = {}


def _read_status(line: bytes) -> tuple[int, bytes, bool] | None:
    match = _match_status_line(line)
    if match is None:
        return None
    minor, status, reason = match.groups()
    said = (int(status), reason or b"", minor == b"0")
    if len(_statuses) < MAX_KNOWN_STATUSES and len(line) <= MAX_KNOWN_LINE:
        _statuses[line] = said
    return said


def find_head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """The index just after the blank line that ends a head, or -1 if it has not come yet.

    `start` spares searching twice: pass the length at the last call less 3. A blank line with
    bare LFs is found too, so that the head is refused by the parser instead of awaited for ever.
    How long a head may be is the caller's to bound.
    """
    end = buffer.find(b"\n\r\n", start)
    if end >= 0:
        return end + 3
    end = buffer.find(b"\n\n", start)
    return end + 2 if end >= 0 else -1


def parse_response_head(raw: bytes) -> ResponseHead:
    """Parse a whole head, its blank line included (RFC 9112, 4 and 5).

    Raises FramingError for anything but a status line of HTTP/1.0 or 1.1 and at most 128 lines
    `token ":" value` that end in CRLF: no folded lines, no control bytes but the tab.
    """
    status_line, *lines = raw.split(b"\r\n")
    status = _statuses.get(status_line) or _read_status(status_line)
    # What ends in a blank line ends in two empty pieces.
    if status is None or len(lines) < 2 or lines.pop() or lines.pop():
        raise FramingError(_fault(raw))
    if len(lines) > MAX_HEADERS:
        raise FramingError(f"{len(lines)} headers (at most {MAX_HEADERS} are read)")
    known, read = _fields.known.get, _fields.read
    try:
        headers = [known(line) or read(line) for line in lines]
    except FramingError:
        raise FramingError(_fault(raw)) from None
    code, reason, http10 = status
    return ResponseHead(code, reason, headers, http10, lines, dict(headers))


def _is_length(value: bytes) -> bool:
    # For bytes that is ASCII's digits, and a sixth of a regular expression's price.
    return value.isdigit() and len(value) <= 18


def body_length(head: ResponseHead, method: str) -> int:
    """The body's length in bytes, or `CHUNKED`, or `UNTIL_CLOSE` (RFC 9112, 6.3).

    `method` is the request's. Raises FramingError where the length is said twice or not plainly:
    then the response and its connection are unusable.
    """
    status = head.status
    if method == "HEAD" or status < 200 or status == 204 or status == 304:
        return 0
    named = head.named
    if b"transfer-encoding" not in named:
        length = named.get(b"content-length")
        if length is None:
            return UNTIL_CLOSE
        # As `_is_length`, and each header stands once.
        if length.isdigit() and len(length) <= 18 and len(named) == len(head.headers):
            return int(length)
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in head.headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if codings:
        return _coded(head, codings, lengths)
    values = [value.strip(b" \t") for value in b",".join(lengths).split(b",")]
    if not all(map(_is_length, values)):
        raise FramingError(
            f"content-length is {excerpt(b', '.join(lengths))} (expected up to 18 digits)"
        )
    if len(set(map(int, values))) > 1:
        raise FramingError(f"content-lengths that differ: {excerpt(b', '.join(values))}")
    return int(values[0])


def keeps_alive(head: ResponseHead) -> bool:
    """Whether the sender lets the connection live on after this response (RFC 9112, 9.3).

    It cannot where the body is `UNTIL_CLOSE`, whatever this says.
    """
    if b"connection" not in head.named:
        return not head.http10
    options: set[bytes] = set()
    for name, value in head.headers:
        if name == b"connection":
            options.update(option.strip(b" \t") for option in value.lower().split(b","))
    return b"close" not in options and (not head.http10 or b"keep-alive" in options)


def _coded(head: ResponseHead, codings: list[bytes], lengths: list[bytes]) -> int:
    if head.http10:
        raise FramingError("transfer-encoding in an HTTP/1.0 response")
    if lengths:
        raise FramingError("both content-length and transfer-encoding")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise FramingError(
            f"transfer-encoding is {excerpt(b', '.join(codings))} (only chunked is understood)"
        )
    return CHUNKED


def _fault(raw: bytes) -> str:
    """What is wrong with a head that is not one; values are not told, since they may be secret."""
    status_line, *lines = raw.split(b"\n")
    if not status_line.endswith(b"\r"):
        return f"a line without CRLF: {excerpt(status_line)}"
    if not _match_status_line(status_line[:-1]):
        return (
            f"status line {excerpt(status_line[:-1])} (expected HTTP/1.0 or HTTP/1.1, three digits)"
        )
    for number, line in enumerate(lines[:-1], 1):
        if line == b"\r":
            return "more bytes after the blank line that ends a head"
        name, colon, value = line.removesuffix(b"\r").partition(b":")
        if line.startswith((b" ", b"\t")):
            return f"header line {number} is folded (begins with white space)"
        if name and not colon:
            return f"header line {number} has no colon: {excerpt(name)}"
        if colon and not is_token(name):
            return f"header line {number} has a name that is not a token: {excerpt(name)}"
        if control := _control(value):
            return f"the value of header {excerpt(name)} has the control byte 0x{control[0].hex()}"
        if not line.endswith(b"\r"):
            return f"header line {number} ({excerpt(name)}) does not end in CRLF"
    return "no blank line at the end of the head"
