"""A stream of server-sent events, decoded."""

import msgspec

from proxy.dialects._anthropic.reader import Reader
from proxy.errors import BadResponse
from proxy.event import Event, Failure
from proxy.framing import FramingError
from proxy.framing.sse import FrameSplitter, parse_frame

_DELTA = b"event: content_block_delta\ndata: "
_START = len(_DELTA)


class SSEDecoder:
    """Makes events of a stream."""

    __slots__ = ("_reader", "_splitter")

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self._reader = Reader()

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        try:
            frames = self._splitter.feed(data)
        except FramingError as error:
            return self._broken(error)
        events: list[Event] = []
        for frame in frames:
            # Nearly every frame is a delta of two lines, which need no taking apart.
            if frame.startswith(_DELTA) and frame.find(b"\n", _START) == len(frame) - 2:
                events += self._reader.read(frame[_START:-2], "content_block_delta")
            else:
                events += self._read(frame)
        return events

    def close(self) -> list[Event]:
        """The events of a last frame that lacks only its blank line; what was cut off has none."""
        rest = self._splitter.close()
        try:
            msgspec.json.decode(parse_frame(rest).data, type=msgspec.Raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []
        return self._read(rest)

    def _read(self, frame: bytes) -> list[Event]:
        parsed = parse_frame(frame)
        if not parsed.data:
            return []
        return self._reader.read(parsed.data, parsed.event.decode("ascii", "replace"))

    def _broken(self, error: FramingError) -> list[Event]:
        events: list[Event] = []
        for frame in FrameSplitter().feed(error.decoded):
            events += self._read(frame)
        if self._reader.done:
            return events
        self._reader.done = True
        return [*events, Failure(BadResponse(f"the provider's stream: {error}").because(error))]
