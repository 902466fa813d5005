"""What decoders of OpenAI's streams do alike: frames are cut, errors end the stream."""

from abc import ABC, abstractmethod

import msgspec

from proxy.errors import BadResponse, ProxyError
from proxy.event import Event, Failure, Used
from proxy.exchange import Raw
from proxy.framing import FramingError
from proxy.framing.sse import FrameSplitter, parse_frame
from proxy.framing.usage import decode_usage

DONE = b"[DONE]"
BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading JSON that is none may raise."""


class StreamDecoder(ABC):
    """A decoder of server-sent events; a member of the family reads the frames."""

    __slots__ = ("_over", "_splitter")

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self._over = False
        """Nothing that comes now counts."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that some of the stream completes."""
        events: list[Event] = []
        error: ProxyError | None = None
        try:
            frames = self._splitter.feed(data)
        except FramingError as framing:
            frames = FrameSplitter().feed(framing.decoded)
            error = BadResponse(f"the provider sent {framing}")
        for frame in frames:
            if self._over:
                return events
            self._read(frame, events)
        if error is not None and not self._over:
            self._fail(error, events)
        return events

    def close(self) -> list[Event]:
        """The stream is whole: what its last frame said if no blank line ended it, and its end."""
        events: list[Event] = []
        rest = self._splitter.close()
        data = parse_frame(rest).data if not self._over else b""
        if data and (data.strip() == DONE or _is_json(data)):
            self._read(rest, events)
        if not self._over:
            self._finish(events)
        return events

    @abstractmethod
    def _read(self, frame: bytes, events: list[Event]) -> None:
        """A whole frame."""

    @abstractmethod
    def _finish(self, events: list[Event]) -> None:
        """The stream is over, and nothing in it said so."""

    def _fail(self, error: ProxyError, events: list[Event]) -> None:
        self._over = True
        events.append(Failure(error))

    def _fail_unreadable(self, cause: Exception, events: list[Event]) -> None:
        error = BadResponse("the provider sent an event that is none of its dialect")
        self._fail(error.because(cause), events)


def used(raw: Raw, events: list[Event]) -> None:
    """Add the usage that an object spells, if it spells any."""
    usage = decode_usage(bytes(raw)) if len(raw) > len(b"null") else None
    if usage is not None:
        events.append(Used(usage))


def raised(events: list[Event]) -> list[Event]:
    """The events of a whole answer; raises what it says that went wrong."""
    for event in events:
        if isinstance(event, Failure):
            raise event.error
    return events


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except BROKEN:
        return False
    return True
