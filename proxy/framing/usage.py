"""Finds a response's token usage by a byte search, without decoding what has none.

The key cannot be mistaken: inside a JSON string its quotes would be escaped. Only the object
behind it is decoded, and only where it is not ``null``.
"""

import re
from typing import Annotated, Any, ClassVar

import msgspec

from proxy.event import Usage
from proxy.exchange import Raw
from proxy.framing.sse import FrameSplitter, parse_frame

_KEY = b'"usage"'
_MAX_OBJECT = 16 * 1024
"""Bytes within which a usage object must end; no provider's has a tenth of it."""
_MAX_COUNT = 1 << 53
"""Tokens beyond which a count is none: JSON's integers have no end, but the metrics' floats do."""

_FRAME_ENDS = (b"\n\n", b"\r\n\r\n")
_NULL = b":null"
_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"})

# An object in which objects stand three deep at the most: deeper no provider nests them there.
_LEAF = rb"\{[^{}]*+\}"
_NODE = rb"\{[^{}]*+(?:%b[^{}]*+)*+\}"
_OBJECT = _NODE % (_NODE % (_NODE % _LEAF))
_match_object = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+(%b)" % _OBJECT).match
_may_become_object = re.compile(rb"[ \t\r\n]*+(?::[ \t\r\n]*+(?:\{[\s\S]*+)?)?").fullmatch


class UsageWatch:
    """Passes a response on untouched and remembers the last usage that it held.

    Each read is searched from its end: there the key stands where it stands at all, and Python's
    backward search is three times as fast as its forward one.
    """

    __slots__ = ("_held", "usage")
    key: ClassVar[bytes] = _KEY
    whole_frames: ClassVar[bool] = False

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._held = b""
        """The end of what came: where it may begin a key, or from a key on that has not ended."""

    def feed(self, data: bytes) -> bytes:
        """Look at some of the body; returns what is to be sent on: `data` itself."""
        seen = self._held + data if self._held else data
        at = seen.rfind(self.key)
        if at >= 0:
            self._read(seen, at)
        else:
            self._held = b"" if seen.endswith(b"\n") else seen[1 - len(self.key) :]
        return data

    def close(self) -> bytes:
        """The body is whole; nothing was held back."""
        return b""

    def _read(self, seen: bytes, at: int) -> None:
        key = self.key
        self._held = b"" if seen.endswith(b"\n") else seen[1 - len(key) :]
        last = at
        while at >= 0:
            match = _match_object(seen, at + len(key))
            if match is not None:
                if self._found(match[1]):
                    return
            elif at == last and len(seen) - at < _MAX_OBJECT:
                rest = seen[at + len(key) :]
                if _may_become_object(rest):
                    self._held = seen[at:]
            at = seen.rfind(key, 0, at)

    def _found(self, raw: bytes) -> bool:
        """Take in an object, the last one first; returns whether those before it are of no use."""
        usage = decode_usage(raw)
        if usage is None:
            return False
        self.usage = usage
        return True


class _UsageChunk(msgspec.Struct, gc=False):
    choices: list[Raw] | None = None
    usage: dict[str, Any] | None = None


_chunk = msgspec.json.Decoder(_UsageChunk)


class UsageStrip:
    """Takes the usage chunk that the client did not ask for out of a chat stream.

    That chunk has an empty `choices` and a `usage` that is not null; anything else leaves as its
    own bytes. A frame that has not ended is held until it has, since only then it is known.
    """

    __slots__ = ("_open", "_splitter", "usage")
    whole_frames: ClassVar[bool] = True

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._splitter = FrameSplitter()
        self._open = False

    def feed(self, data: bytes) -> bytes:
        """Some of the stream; returns what is to be sent on. Raises FramingError."""
        if self._open or not data.endswith(_FRAME_ENDS):
            data = self._splitter.whole(data)
            self._open = self._splitter.pending > 0
        before, key, after = data.rpartition(_KEY)
        if not key or (after.startswith(_NULL) and before.rfind(_KEY) < 0):
            return data
        if data.count(_KEY) == data.count(_KEY + _NULL):
            return data
        frames = FrameSplitter().feed(data)
        kept = [frame for frame in frames if _KEY not in frame or not self._is_usage(frame)]
        return data if len(kept) == len(frames) else b"".join(kept)

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


_Count = Annotated[int, msgspec.Meta(ge=0, le=_MAX_COUNT)]


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    cache_write_tokens: _Count = 0


_NO_DETAILS = _Details()


class _Spelled(msgspec.Struct, gc=False):
    """Usage as OpenAI spells it, in Chat (`prompt_tokens`) or Responses (`input_tokens`) words."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    total_tokens: _Count | None = None
    # Where others than OpenAI say it: DeepSeek, then Moonshot and Together, then Copilot.
    prompt_cache_hit_tokens: _Count = 0
    cached_tokens: _Count = 0
    reasoning_tokens: _Count = 0


_spelled = msgspec.json.Decoder(_Spelled)


def decode_usage(raw: bytes) -> Usage | None:
    """The usage that an object's bytes spell; None if they spell none."""
    try:
        found = _spelled.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _decode_leniently(raw)
    inputs = found.input_tokens if found.prompt_tokens is None else found.prompt_tokens
    outputs = found.output_tokens if found.completion_tokens is None else found.completion_tokens
    if inputs is None and outputs is None:
        # Anybody may call something "usage": a field of a tool's schema, say.
        return None
    input_details = found.prompt_tokens_details or found.input_tokens_details or _NO_DETAILS
    output_details = found.completion_tokens_details or found.output_tokens_details or _NO_DETAILS
    return _usage(
        inputs or 0,
        outputs or 0,
        input_details.cached_tokens or found.prompt_cache_hit_tokens or found.cached_tokens,
        output_details.reasoning_tokens or found.reasoning_tokens,
        input_details.cache_write_tokens,
        found.total_tokens or 0,
    )


def _decode_leniently(raw: bytes) -> Usage | None:
    """What counts of an object some of whose members are not what they should be."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return read_usage(found) if isinstance(found, dict) and not _COUNTS.isdisjoint(found) else None


def read_usage(found: dict[str, Any]) -> Usage:
    """Usage as OpenAI spells it, in Chat (`prompt_tokens`) or Responses (`input_tokens`) words."""
    inputs = _members(found, "prompt_tokens_details", "input_tokens_details")
    outputs = _members(found, "completion_tokens_details", "output_tokens_details")
    return _usage(
        _counted(found, "prompt_tokens", "input_tokens"),
        _counted(found, "completion_tokens", "output_tokens"),
        _counted(inputs, "cached_tokens")
        or _counted(found, "prompt_cache_hit_tokens", "cached_tokens"),
        _counted(outputs, "reasoning_tokens") or _counted(found, "reasoning_tokens"),
        _counted(inputs, "cache_write_tokens"),
        _counted(found, "total_tokens"),
    )


def _usage(
    inputs: int, outputs: int, cached: int, reasoning: int, written: int, total: int
) -> Usage:
    if reasoning and total == inputs + outputs + reasoning:
        # xAI counts reasoning beside the output, everybody else within it.
        outputs += reasoning
    return Usage(inputs, outputs, cached, reasoning, written)


def _members(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((found[name] for name in names if isinstance(found.get(name), dict)), {})


def _counted(found: dict[str, Any], *names: str) -> int:
    return next((count for name in names if (count := _count(found.get(name)))), 0)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value <= _MAX_COUNT else 0
