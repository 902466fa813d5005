"""Bedrock's streams: what their messages say, whoever reads the events in them."""

from abc import ABC, abstractmethod

import msgspec

from proxy.dialects._bedrock.errors import exception
from proxy.errors import BadResponse, ProxyError
from proxy.event import Event, Failure
from proxy.framing import FramingError
from proxy.framing.aws_eventstream import EventStreamDecoder, Message, encode_message

STREAM_TYPE = b"application/vnd.amazon.eventstream"


class _Exception(msgspec.Struct):
    message: str | None = None
    original_message: str | None = msgspec.field(name="originalMessage", default=None)


_exception = msgspec.json.Decoder(_Exception).decode


class FrameDecoder(ABC):
    """Makes events of a stream; whoever inherits it knows what its events mean."""

    __slots__ = ("_messages", "_over")

    def __init__(self) -> None:
        self._messages = EventStreamDecoder()
        self._over = False
        """Nothing that comes counts any more."""

    @abstractmethod
    def _read(self, kind: str, payload: bytes) -> list[Event]:
        """The events of a message that is an event of this kind. Raises MsgspecError."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        try:
            return self._take(self._messages.feed(data))
        except FramingError as error:
            events = self._take(EventStreamDecoder().feed(error.decoded))
            said = BadResponse(f"the provider's stream: {error}").because(error)
            return events + self._fail(said)

    def _take(self, messages: list[Message]) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            if self._over:
                break
            kind = message.headers.get(":event-type")
            if kind is None or message.headers.get(":message-type", "event") != "event":
                events += self._fail(_said(message))
                break
            try:
                events += self._read(kind, message.payload)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                words = "an event of the provider's stream cannot be read"
                events += self._fail(BadResponse(words).because(error))
        return events

    def _fail(self, error: ProxyError) -> list[Event]:
        if self._over:
            return []
        self._over = True
        return [Failure(error)]


def _said(message: Message) -> ProxyError:
    """What a message says that is no event: an exception with a name, or an error with a code."""
    headers = message.headers
    if headers.get(":message-type") == "error":
        return exception(headers.get(":error-code", ""), headers.get(":error-message", ""))
    try:
        found = _exception(message.payload)
        words = found.message or found.original_message or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        words = ""
    return exception(headers.get(":exception-type", ""), words)


def event_frame(kind: str, payload: object) -> bytes:
    """An event as Bedrock frames it."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return encode_message(headers, msgspec.json.encode(payload))


def exception_frame(body: bytes) -> bytes:
    """An exception as Bedrock frames it."""
    headers = {
        ":exception-type": "internalServerException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_message(headers, body)
