"""Converse's streams: AWS event-stream messages, decoded into events and encoded from them."""

from collections.abc import Iterable

import msgspec

from proxy.chat import Chat, seal
from proxy.dialects.bedrock_converse.answer import (
    WireCitation,
    citation,
    spell_citation,
    spell_stop,
    stopped,
)
from proxy.dialects.bedrock_converse.wire import (
    ORIGIN,
    Block,
    WireUsage,
    exception,
    read_usage,
    spell_usage,
)
from proxy.errors import BadResponse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.framing import FramingError
from proxy.framing.aws_eventstream import EventStreamDecoder, Message, encode_message


class _Input(msgspec.Struct, gc=False, frozen=True):
    input: str = ""


class _Reasoning(msgspec.Struct, rename="camel", gc=False, frozen=True):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Source(msgspec.Struct, gc=False, frozen=True):
    bytes: str = ""


class _Image(msgspec.Struct, gc=False, frozen=True):
    format: str = "png"
    source: _Source = _Source()


class _Delta(msgspec.Struct, rename="camel", gc=False, frozen=True):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None
    citation: WireCitation | None = None
    image: _Image | None = None


class _Use(msgspec.Struct, rename="camel", gc=False, frozen=True):
    name: str = ""
    tool_use_id: str = ""


class _Start(msgspec.Struct, rename="camel", gc=False, frozen=True):
    tool_use: _Use | None = None


class _Event(msgspec.Struct, rename="camel", gc=False, frozen=True):
    content_block_index: int = 0
    delta: _Delta | None = None
    start: _Start | None = None
    stop_reason: str = ""
    usage: WireUsage | None = None
    message: str = ""


_event = msgspec.json.Decoder(_Event).decode


class StreamDecoder:
    """Makes events of a stream."""

    __slots__ = ("_calls", "_count", "_messages", "_over", "_stopped")

    def __init__(self) -> None:
        self._messages = EventStreamDecoder()
        self._calls: dict[int, int] = {}
        """The index of the call that a block is."""
        self._count = 0
        self._stopped = self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        if self._over:
            return []
        try:
            messages = self._messages.feed(data)
        except FramingError as error:
            return self._fail(BadResponse(f"the provider's stream: {error}").because(error))
        events: list[Event] = []
        for message in messages:
            events += self._read(message)
            if self._over:
                break
        return events

    def close(self) -> list[Event]:
        """The end, which Converse says by stopping and then ending."""
        if self._over or not self._stopped or self._messages.pending:
            return []
        self._over = True
        return [End()]

    def _fail(self, error: Exception) -> list[Event]:
        self._over = True
        return [Failure(error)]  # type: ignore[arg-type]

    def _read(self, message: Message) -> list[Event]:
        headers = message.headers
        try:
            wire = _event(message.payload or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            said = BadResponse("an event of the provider's stream cannot be read")
            return self._fail(said.because(error))
        if headers.get(":message-type") == "exception":
            return self._fail(exception(headers.get(":exception-type", ""), wire.message))
        if headers.get(":message-type") == "error":
            words = headers.get(":error-message", "")
            return self._fail(exception(headers.get(":error-code", ""), words))
        match headers.get(":event-type"):
            case "contentBlockDelta":
                return self._delta(wire)
            case "contentBlockStart":
                use = wire.start.tool_use if wire.start is not None else None
                if use is None:
                    return []
                index = self._calls[wire.content_block_index] = self._count
                self._count += 1
                return [Call(index, use.tool_use_id, use.name)]
            case "messageStart":
                return [Begin()]
            case "messageStop":
                self._stopped = True
                events = stopped(wire.stop_reason)
                self._over = type(events[0]) is Failure
                return events
            case "metadata":
                return [] if wire.usage is None else [Used(read_usage(wire.usage))]
            case "contentBlockStop":
                return []
            case _:
                return [Other(message.payload, ORIGIN)]

    def _delta(self, wire: _Event) -> list[Event]:
        delta = wire.delta
        if delta is None:
            return []
        if delta.text is not None:
            return [Text(delta.text)] if delta.text else []
        if delta.tool_use is not None:
            index = self._calls.get(wire.content_block_index)
            return [] if index is None else [Arguments(index, delta.tool_use.input)]
        reasoning = delta.reasoning_content
        if reasoning is not None:
            if reasoning.text is not None:
                return [Thinking(reasoning.text)]
            if reasoning.signature is not None:
                return [Signature(reasoning.signature, ORIGIN)]
            if reasoning.redacted_content is not None:
                return [Signature(reasoning.redacted_content, ORIGIN, redacted=True)]
        if delta.citation is not None:
            return [citation(delta.citation)]
        if delta.image is not None:
            return [Media(f"image/{delta.image.format}", delta.image.source.bytes)]
        return []


def message(kind: str, payload: object) -> bytes:
    """An event as Converse frames it."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return encode_message(headers, msgspec.json.encode(payload))


class StreamEncoder:
    """Makes a stream of events. Blocks stand one after the other; interleaved calls wait."""

    __slots__ = ("_call", "_held", "_index", "_kind", "_out", "_started", "_stop", "_usage")

    def __init__(self, chat: Chat) -> None:
        self._out: list[bytes] = []
        self._index = -1
        self._kind = ""
        self._call = -1
        self._held: dict[int, list[Event]] = {}
        """Of calls that began while another was open: what came of them."""
        self._started = False
        self._stop: Stop | None = None
        self._usage = Usage()

    def feed(self, events: Iterable[Event]) -> bytes:
        """The messages that say the events."""
        for event in events:
            self._take(event)
        return self._written()

    def close(self) -> bytes:
        """The messages that end the stream."""
        self._release()
        self._end_block()
        stop = "end_turn" if self._stop is None else spell_stop(self._stop)
        self._write("messageStop", {"stopReason": stop})
        usage = {"usage": spell_usage(self._usage), "metrics": {"latencyMs": 0}}
        self._write("metadata", usage)
        return self._written()

    def _written(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _write(self, kind: str, payload: Block) -> None:
        if not self._started:
            self._started = True
            self._out.append(message("messageStart", {"role": "assistant"}))
        self._out.append(message(kind, payload))

    def _take(self, event: Event) -> None:
        if getattr(event, "choice", 0):
            return
        match event:
            case Text() | Refusal():
                self._delta("text", {"text": event.text})
            case Thinking():
                self._delta("thinking", {"reasoningContent": {"text": event.text}})
            case Citation():
                self._delta("text", {"citation": spell_citation(event)})
            case Signature():
                value = seal(event.value, event.origin, ORIGIN)
                field = "redactedContent" if event.redacted else "signature"
                self._delta("thinking", {"reasoningContent": {field: value}})
                self._end_block()
            case Call():
                self._begin_call(event)
            case Arguments():
                self._arguments(event)
            case Stop():
                self._stop = event
            case Used():
                self._usage = event.usage
            case Begin() if not self._started:
                self._started = True
                self._out.append(message("messageStart", {"role": "assistant"}))

    def _delta(self, kind: str, delta: Block) -> None:
        if self._kind != kind:
            self._release()
            self._end_block()
            self._kind = kind
            self._index += 1
        self._write("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _begin_call(self, event: Call) -> None:
        if self._kind == "call":
            self._held[event.index] = [event]
            return
        self._end_block()
        self._open_call(event)

    def _open_call(self, event: Call) -> None:
        self._kind, self._call = "call", event.index
        self._index += 1
        use = {"toolUseId": event.id or f"tooluse_{event.index}", "name": event.name}
        start = {"start": {"toolUse": use}, "contentBlockIndex": self._index}
        self._write("contentBlockStart", start)

    def _arguments(self, event: Arguments) -> None:
        if event.index in self._held:
            self._held[event.index].append(event)
        elif self._kind == "call" and event.index == self._call:
            delta = {"toolUse": {"input": event.text}}
            self._write("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _release(self) -> None:
        """The open call is over: those that waited come, each whole."""
        held, self._held = self._held, {}
        for events in held.values():
            self._end_block()
            for event in events:
                if isinstance(event, Call):
                    self._open_call(event)
                elif isinstance(event, Arguments):
                    self._arguments(event)

    def _end_block(self) -> None:
        if self._kind:
            self._kind = ""
            self._write("contentBlockStop", {"contentBlockIndex": self._index})
