"""Converse's streams, decoded into events."""

import msgspec

from proxy.dialects._bedrock.answer import citation, stopped
from proxy.dialects._bedrock.frames import FrameDecoder
from proxy.dialects._bedrock.wire import NOTHING, ORIGIN, Raw, WireUsage, read_usage
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Media,
    Other,
    Signature,
    Text,
    Thinking,
    Used,
)


class _Input(msgspec.Struct, gc=False):
    input: str = ""


class _Reasoning(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Source(msgspec.Struct, gc=False):
    bytes: str = ""


class _Image(msgspec.Struct, gc=False):
    source: _Source | None = None


class _Delta(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None
    citation: Raw = NOTHING
    image: _Image | None = None


class _DeltaEvent(msgspec.Struct, rename="camel", gc=False):
    delta: _Delta | None = None
    content_block_index: int = 0


class _Use(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    tool_use_id: str = ""
    type: str | None = None


class _Format(msgspec.Struct, gc=False):
    format: str = "png"


class _Start(msgspec.Struct, rename="camel", gc=False):
    tool_use: _Use | None = None
    image: _Format | None = None


class _StartEvent(msgspec.Struct, rename="camel", gc=False):
    start: _Start | None = None
    content_block_index: int = 0


class _StopEvent(msgspec.Struct, rename="camel", gc=False):
    content_block_index: int = 0


class _More(msgspec.Struct, gc=False):
    stop_sequence: str | None = None


class _MessageStop(msgspec.Struct, rename="camel", gc=False):
    stop_reason: str = ""
    additional_model_response_fields: _More | None = None


class _Metadata(msgspec.Struct, gc=False):
    usage: WireUsage | None = None


_delta = msgspec.json.Decoder(_DeltaEvent).decode
_start = msgspec.json.Decoder(_StartEvent).decode
_stop = msgspec.json.Decoder(_StopEvent).decode
_message_stop = msgspec.json.Decoder(_MessageStop).decode
_metadata = msgspec.json.Decoder(_Metadata).decode


class StreamDecoder(FrameDecoder):
    """Makes events of a stream."""

    __slots__ = ("_argued", "_calls", "_count", "_formats", "_stopped")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}
        """The index of the call that a block is."""
        self._formats: dict[int, str] = {}
        """The format of the image that a block is."""
        self._count = 0
        self._argued = self._stopped = False

    def close(self) -> list[Event]:
        """The end, which Converse says by stopping and then ending."""
        if self._over or not self._stopped or self._messages.pending:
            return []
        self._over = True
        return [End()]

    def _read(self, kind: str, payload: bytes) -> list[Event]:
        match kind:
            case "contentBlockDelta":
                return self._delta(_delta(payload))
            case "contentBlockStart":
                return self._start(_start(payload))
            case "contentBlockStop":
                return self._end(_stop(payload).content_block_index)
            case "messageStart":
                return [Begin()]
            case "messageStop":
                stop = _message_stop(payload)
                self._stopped = True
                more = stop.additional_model_response_fields
                events = stopped(stop.stop_reason, None if more is None else more.stop_sequence)
                self._over = type(events[0]) is Failure
                return events
            case "metadata":
                usage = _metadata(payload).usage
                return [] if usage is None else [Used(read_usage(usage))]
        return [Other(payload, ORIGIN)]

    def _start(self, event: _StartEvent) -> list[Event]:
        start = event.start or _Start()
        use, image = start.tool_use, start.image
        if image is not None:
            self._formats[event.content_block_index] = image.format
        if use is None or use.type is not None:
            # What a provider calls and answers itself comes along with its blocks.
            return []
        index = self._calls[event.content_block_index] = self._count
        self._count += 1
        self._argued = False
        return [Call(index, use.tool_use_id, use.name)]

    def _end(self, block: int) -> list[Event]:
        index = self._calls.pop(block, None)
        # Arguments that nobody sent are none, which other dialects cannot tell from nothing.
        return [] if index is None or self._argued else [Arguments(index, "{}")]

    def _delta(self, event: _DeltaEvent) -> list[Event]:
        delta = event.delta or _Delta()
        if delta.text is not None:
            return [Text(delta.text)] if delta.text else []
        if delta.tool_use is not None:
            index = self._calls.get(event.content_block_index)
            if index is None or not delta.tool_use.input:
                return []
            self._argued = True
            return [Arguments(index, delta.tool_use.input)]
        reasoning = delta.reasoning_content
        if reasoning is not None:
            if reasoning.text:
                return [Thinking(reasoning.text)]
            if reasoning.signature:
                return [Signature(reasoning.signature, ORIGIN)]
            if reasoning.redacted_content:
                return [Signature(reasoning.redacted_content, ORIGIN, redacted=True)]
            return []
        if delta.citation is not NOTHING:
            return [citation(delta.citation)]
        if delta.image is not None and delta.image.source is not None:
            image = self._formats.get(event.content_block_index, "png")
            return [Media(f"image/{image}", delta.image.source.bytes)]
        return []
