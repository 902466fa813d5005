"""Events encoded as a stream of Converse's."""

from collections.abc import Iterable

from proxy.chat import Chat, seal
from proxy.dialects._bedrock.answer import spell_citation, spell_stop
from proxy.dialects._bedrock.frames import event_frame
from proxy.dialects._bedrock.wire import ORIGIN, Block, spell_usage
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    Event,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)


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
            self._out.append(event_frame("messageStart", {"role": "assistant"}))
        self._out.append(event_frame(kind, payload))

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
            case Media():
                self._image(event)
            case Arguments():
                self._arguments(event)
            case Stop():
                self._stop = event
            case Used():
                self._usage = event.usage
            case Begin() if not self._started:
                self._started = True
                self._out.append(event_frame("messageStart", {"role": "assistant"}))

    def _delta(self, kind: str, delta: Block) -> None:
        if self._kind != kind:
            self._release()
            self._end_block()
            self._kind = kind
            self._index += 1
        self._write("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _image(self, event: Media) -> None:
        self._release()
        self._end_block()
        self._index += 1
        at = {"contentBlockIndex": self._index}
        kind = event.media_type.removeprefix("image/")
        self._write("contentBlockStart", {"start": {"image": {"format": kind}}, **at})
        source = {"source": {"bytes": event.data}}
        self._write("contentBlockDelta", {"delta": {"image": source}, **at})
        self._write("contentBlockStop", at)

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
