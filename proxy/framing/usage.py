"""Finds a response's token usage by a byte search, without decoding what has none.

The key cannot be mistaken: inside a JSON string its quotes would be escaped. Only the object
behind it is decoded, and only where it is not ``null``.
"""

import json
from typing import Any

import msgspec

from proxy.exchange import Raw, Usage
from proxy.framing.sse import FrameSplitter, parse_frame

_KEY = b'"usage"'
_EDGE = len(_KEY) - 1
_MAX_OBJECT = 16 * 1024
"""Bytes within which a usage object must end; no provider's has a tenth of it."""

_FRAME_ENDS = (b"\n\n", b"\r\n\r\n")
_decode_prefix = json.JSONDecoder().raw_decode


class UsageWatch:
    """Passes a response on untouched and remembers the last usage that it held."""

    __slots__ = ("_edge", "_pending", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._edge = b""
        """The end of the last read, where it may be the beginning of the key."""
        self._pending = b""
        """From a key on whose object has not ended yet."""

    def feed(self, data: bytes) -> bytes:
        """Look at some of the body; returns what is to be sent on: `data` itself."""
        if self._pending or self._edge:
            self._search(self._pending + self._edge + data)
        elif _KEY in data:
            self._search(data)
        elif data[-1:] != b"\n":
            self._edge = data[-_EDGE:]
        return data

    def close(self) -> bytes:
        """The body is whole; nothing was held back."""
        return b""

    def _search(self, data: bytes) -> None:
        self._pending = self._edge = b""
        at = data.rfind(_KEY)
        # The last one counts: streams that report as they go repeat it.
        while at >= 0:
            value = data[at + len(_KEY) : at + _MAX_OBJECT].lstrip(b" \t\r\n:")
            if value[:1] == b"{":
                try:
                    found, _ = _decode_prefix(value.decode("latin-1"))
                except (ValueError, RecursionError):
                    if len(data) - at < _MAX_OBJECT:
                        self._pending = data[at:]
                        return
                else:
                    self.usage = read_usage(found)
                    break
            elif not value and len(data) - at < _MAX_OBJECT:
                self._pending = data[at:]
                return
            at = data.rfind(_KEY, 0, at)
        if data[-1:] != b"\n":
            self._edge = data[-_EDGE:]


class _UsageChunk(msgspec.Struct, gc=False):
    choices: list[Raw] | None = None
    usage: dict[str, Any] | None = None


_chunk = msgspec.json.Decoder(_UsageChunk)


class UsageStrip:
    """Takes the usage chunk that the client did not ask for out of a chat stream.

    That chunk has an empty `choices` and a `usage` that is not null; anything else leaves as its
    own bytes. A frame that has not ended is held until it has, since only then it is known.
    """

    __slots__ = ("_partial", "_splitter", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._splitter = FrameSplitter()
        self._partial = False

    def feed(self, data: bytes) -> bytes:
        """Some of the stream; returns what is to be sent on. Raises FramingError."""
        if not self._partial and data.endswith(_FRAME_ENDS):
            at = data.find(_KEY)
            if at < 0 or (data.startswith(b":null", at + _EDGE + 1) and data.count(_KEY) == 1):
                return data
        frames = self._splitter.feed(data)
        kept = [frame for frame in frames if _KEY not in frame or not self._is_usage(frame)]
        untouched = not self._partial and len(kept) == len(frames)
        self._partial = self._splitter.pending > 0
        return data if untouched and not self._partial else b"".join(kept)

    def close(self) -> bytes:
        """The stream is whole: what was held, since its last frame may lack its blank line."""
        return self._splitter.close()

    def _is_usage(self, frame: bytes) -> bool:
        try:
            chunk = _chunk.decode(parse_frame(frame).data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        if not chunk.usage:
            return False
        self.usage = read_usage(chunk.usage)
        return chunk.choices == []


def read_usage(found: dict[str, Any]) -> Usage:
    """Usage as OpenAI spells it, in Chat (`prompt_tokens`) or Responses (`input_tokens`) words."""
    inputs = found.get("prompt_tokens_details") or found.get("input_tokens_details")
    outputs = found.get("completion_tokens_details") or found.get("output_tokens_details")
    return Usage(
        input_tokens=_count(found, "prompt_tokens") or _count(found, "input_tokens"),
        output_tokens=_count(found, "completion_tokens") or _count(found, "output_tokens"),
        cached_tokens=_count(inputs, "cached_tokens"),
        reasoning_tokens=_count(outputs, "reasoning_tokens"),
    )


def _count(found: Any, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, int) and value > 0 else 0
