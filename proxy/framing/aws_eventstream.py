"""AWS's event-stream framing: messages of typed headers and a payload, with checksums.

A message is its whole length, the length of its headers, the CRC of those eight bytes, the
headers, the payload, and the CRC of all before it.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from zlib import crc32

import msgspec

from proxy.framing import FramingError

MAX_HEADERS = 128 * 1024
MAX_PAYLOAD = 24 * 1024 * 1024

_PRELUDE = Struct("!III")
_LENGTHS = Struct("!II")
_UINT32 = Struct("!I")
_UINT16 = Struct("!H")
_OVERHEAD = 16
_MAX_KEPT = 512
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type; types 6 and 7 say theirs."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message: its headers that are strings (to be read only), and its payload."""

    headers: Mapping[str, str]
    payload: bytes


class EventStreamDecoder:
    """Takes messages off a stream: `feed` it what was read."""

    __slots__ = ("_held", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0
        """Bytes without which nothing more can be said of what is held."""

    @property
    def pending(self) -> int:
        """Bytes that are held of a message that is not whole."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises FramingError for a length beyond the limits, a checksum that is wrong, and headers
        that cannot be read; its `decoded` are the bytes of the whole messages before them.
        """
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            held.clear()
        messages: list[Message] = []
        at, length = 0, len(data)
        while length - at >= _PRELUDE.size:
            total, headers, check = _PRELUDE.unpack_from(data, at)
            payload = total - headers - _OVERHEAD
            if crc32(data[at : at + 8]) != check:
                raise FramingError("a message's prelude does not match its checksum", data[:at])
            if headers > MAX_HEADERS or not 0 <= payload <= MAX_PAYLOAD:
                words = f"a message of {total} bytes, {headers} of them headers"
                raise FramingError(words, data[:at])
            end = at + total
            if end > length:
                self._wanted = total
                break
            if crc32(data[at : end - 4]) != _UINT32.unpack_from(data, end - 4)[0]:
                raise FramingError("a message does not match its checksum", data[:at])
            begin = at + _PRELUDE.size + headers
            try:
                fields = _headers_of(data[at + _PRELUDE.size : begin])
            except FramingError as error:
                error.decoded = data[:at]
                raise
            messages.append(Message(fields, data[begin : end - 4]))
            at = end
        else:
            self._wanted = _PRELUDE.size
        held += data[at:]
        return messages


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message, all of whose headers are strings."""
    head = b"".join(
        b"%c%b\x07%b%b" % (len(name), name.encode(), _UINT16.pack(len(word)), word)
        for name, value in headers.items()
        for word in (value.encode(),)
    )
    prelude = _LENGTHS.pack(_OVERHEAD + len(head) + len(payload), len(head))
    message = b"%b%b%b%b" % (prelude, _UINT32.pack(crc32(prelude)), head, payload)
    return message + _UINT32.pack(crc32(message))


def _headers_of(data: bytes) -> dict[str, str]:
    return _kept(data) if len(data) <= _MAX_KEPT else _headers(data)


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name, kind = data[at + 1 : end].decode("ascii"), data[end]
            at = end + 1
            if kind in (6, _STRING):
                (size,) = _UINT16.unpack_from(data, at)
                at += 2
            else:
                size = _SIZES[kind]
            if at + size > len(data):
                raise FramingError("a message's headers end in the midst of one")
            if kind == _STRING:
                found[name] = data[at : at + size].decode("utf-8")
            at += size
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise FramingError("a message's headers cannot be read") from error
    except struct.error as error:
        raise FramingError("a message's headers end in the midst of one") from error
    return found


# The headers of nearly all messages of a stream are the same bytes.
_kept = lru_cache(maxsize=64)(_headers)
