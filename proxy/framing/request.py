"""Ordinary request heads: the ones that applications send, recognised whole or not at all.

What is not ordinary is not wrong, it is somebody else's to parse: anything but a POST over
HTTP/1.1 with one Host and one Content-Length, each field once, no framing or expectation beyond
that, all in one run of bytes. So a head that two parsers could read differently is never read
here (RFC 9112 11.2).
"""

import re

import msgspec

MAX_HEAD = 16 * 1024
MAX_LENGTH_DIGITS = 15

_match_head = re.compile(
    rb"POST (/[!-~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)++)\r\n"
).match
_fields = re.compile(rb"([^:]++):[\t ]*+([^\r]*+)\r\n").findall

_ELSEWHERE = frozenset(
    {b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer"}
)


_find_length = re.compile(rb"\r\ncontent-length:[\t ]*+", re.IGNORECASE).search


class OrdinaryHead(msgspec.Struct, gc=False):
    """A request's head that leaves no question open, but for the length of its body."""

    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    by_name: dict[bytes, bytes]
    """The same, names in lower case; each stood once."""
    before: bytes
    """The head's bytes up to the digits of its Content-Length."""
    after: bytes
    """The head's bytes behind them."""

    def again(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins, and its length, if `data` has the same head for another body.

        That is what a connection's next request nearly always has.
        """
        start = len(self.before)
        end = data.find(b"\r", start)
        if not data.startswith(self.before) or not data.startswith(self.after, end):
            return None
        digits = data[start:end]
        if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
            return None
        return end + len(self.after), int(digits)


def parse_ordinary(data: bytes) -> OrdinaryHead | None:
    """The head that `data` begins with, if it is all there and ordinary."""
    match = _match_head(data, 0, MAX_HEAD)
    if match is None:
        return None
    target, block = match.groups()
    fields = _fields(block)
    by_name = {name.lower(): value for name, value in fields}
    length = by_name.get(b"content-length", b"")
    if (
        len(by_name) != len(fields)
        or not by_name.get(b"host")
        or not length.isdigit()
        or len(length) > MAX_LENGTH_DIGITS
        or by_name.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        or not _ELSEWHERE.isdisjoint(by_name)
    ):
        return None
    found = _find_length(data)
    assert found is not None
    start = found.end()
    after = data[start + len(length) : match.end()]
    return OrdinaryHead(target, tuple(fields), by_name, data[:start], after)
