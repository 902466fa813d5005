"""The order of Anthropic's blocks, imposed on events.

Blocks stand one after the other, and one that ended never goes on: text, thinking that ends with
its signature, a call with its arguments. Events may interleave calls. Arguments of the call that
is open go out at once; what begins while its arguments are not a whole JSON object waits.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal
from uuid import uuid4

import msgspec

from proxy.chat import Chat, seal
from proxy.dialects._anthropic.wire import (
    CALL_MARK,
    ORIGIN,
    STOP_WORDS,
    TIER_WORDS,
    encode,
    fields,
    spell_usage,
)
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    Event,
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

Raw = msgspec.Raw
Block = dict[str, Any]
BlockKind = Literal["", "text", "thinking", "call", "native"]

_object = msgspec.json.Decoder(dict[str, Raw]).decode
_NULL = Raw(b"null")


class _Native(msgspec.Struct, gc=False):
    """A frame of one's own dialect that no other event tells of."""

    type: str = ""
    message: Raw = Raw(b"{}")
    content_block: Raw = _NULL
    delta: Raw = _NULL
    usage: Raw = Raw(b"{}")


class _Type(msgspec.Struct, gc=False):
    type: str = ""


_native = msgspec.json.Decoder(_Native).decode
_type = msgspec.json.Decoder(_Type).decode


class Sequencer(ABC):
    """Takes events, and calls for what is to be written: `_open`, `_piece`, `_say`, `_close`."""

    def __init__(self, chat: Chat) -> None:
        self._kind: BlockKind = ""
        """What stands in the block that is open."""
        self._held: list[Event] = []
        """What waits for the open call to be whole."""
        self._pieces: list[str] = []
        self._call = -1
        self._called = self._refused = False
        self._extra: dict[str, Raw] = {}
        """Members of the block that is to begin that no event tells of."""
        self._begin = Begin(model=chat.model)
        self._head: dict[str, Raw] = {}
        self._tail: dict[str, Raw] = {}
        """The message's and its end's own members, of which events tell but a part."""
        self._usage: Usage | None = None
        self._stop = Stop("stop")

    # What is to be written.

    @abstractmethod
    def _open(self, block: Block) -> None:
        """A block begins, of the kind that `_kind` says."""

    @abstractmethod
    def _piece(self, text: str) -> None:
        """More of the text, the thinking or the arguments of the open block."""

    @abstractmethod
    def _say(self, delta: Block | Raw) -> None:
        """A signature, a citation, or what a block of the provider's own goes on with."""

    @abstractmethod
    def _close(self) -> None:
        """The open block ends."""

    @abstractmethod
    def _stray(self, frame: bytes, kind: str) -> None:
        """A frame of one's own dialect came that belongs to no block."""

    # Events.

    def take(self, event: Event) -> None:
        """Take the next event in."""
        handler = _HANDLERS.get(type(event))
        if handler is not None and not getattr(event, "choice", 0):
            handler(self, event)

    def finish(self) -> None:
        """Everything was taken: what still waits comes out, and the open block ends."""
        while self._held:
            held, self._held = self._held, []
            self._end_block()
            for event in held:
                self.take(event)
        self._end_block()

    def _leave(self, event: Event) -> bool:
        """End the open block, so that `event` can begin another; False: the event has to wait."""
        if self._held or (self._kind == "call" and not self._whole()):
            self._held.append(event)
            return False
        self._end_block()
        return True

    def _end_block(self) -> None:
        if self._kind:
            self._close()
            self._kind = ""
            self._pieces.clear()

    def _whole(self) -> bool:
        try:
            _object("".join(self._pieces))
        except (msgspec.MsgspecError, RecursionError):
            return False
        return True

    def _open_block(self, kind: BlockKind, block: Block) -> None:
        self._kind = kind
        self._open(block | self._extra if self._extra else block)
        self._extra = {}

    def _take_text(self, event: Text | Refusal) -> None:
        if self._kind != "text":
            if not self._leave(event):
                return
            self._open_block("text", {"type": "text", "text": ""})
        self._piece(event.text)

    def _take_refusal(self, event: Refusal) -> None:
        self._refused = True
        self._take_text(event)

    def _take_thinking(self, event: Thinking) -> None:
        if self._kind != "thinking":
            if not self._leave(event):
                return
            self._open_thinking()
        self._piece(event.text)

    def _open_thinking(self) -> None:
        self._open_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})

    def _take_signature(self, event: Signature) -> None:
        value = seal(event.value, event.origin, ORIGIN)
        if self._kind != "thinking" or event.redacted:
            if not self._leave(event):
                return
            if event.redacted:
                self._redacted(value)
                return
            self._open_thinking()
        self._say({"type": "signature_delta", "signature": value})
        self._end_block()

    def _redacted(self, value: str) -> None:
        self._open_block("native", {"type": "redacted_thinking", "data": value})
        self._end_block()

    def _take_call(self, event: Call) -> None:
        if not self._leave(event):
            return
        if event.signature:
            self._redacted(seal(event.signature, event.origin + CALL_MARK, ORIGIN))
        id = event.id or f"toolu_{uuid4().hex[:24]}"
        self._open_block("call", {"type": "tool_use", "id": id, "name": event.name, "input": {}})
        self._call = event.index
        self._called = True

    def _take_arguments(self, event: Arguments) -> None:
        if self._kind == "call" and event.index == self._call:
            self._pieces.append(event.text)
            self._piece(event.text)
            if self._held and event.text.endswith(("}", "\n", " ")) and self._whole():
                held, self._held = self._held, []
                for waiting in held:
                    self.take(waiting)
        elif self._held:
            self._held.append(event)

    def _take_citation(self, event: Citation) -> None:
        if self._kind != "text":
            if not self._leave(event):
                return
            self._open_block("text", {"type": "text", "text": ""})
        self._say({"type": "citations_delta", "citation": _citation(event)})

    def _take_media(self, event: Media) -> None:
        # No block of an answer is an image, in their documents; this is how a request spells one.
        if self._leave(event):
            source = {"type": "base64", "media_type": event.media_type, "data": event.data}
            self._open_block("native", {"type": "image", "source": source})
            self._end_block()

    def _take_begin(self, event: Begin) -> None:
        self._begin = event

    def _take_used(self, event: Used) -> None:
        self._usage = event.usage

    def _take_stop(self, event: Stop) -> None:
        self.finish()
        self._stop = event

    def _take_other(self, event: Other) -> None:
        if event.origin != ORIGIN:
            return
        try:
            self._take_native(_native(event.frame), event)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return

    def _take_native(self, native: _Native, event: Other) -> None:
        match native.type:
            case "message_start":
                self._head = fields(native.message)
            case "message_delta":
                self._tail = fields(event.frame)
            case "content_block_start":
                if self._leave(event):
                    self._begin_native(native.content_block)
            case "content_block_delta":
                if self._held:
                    self._held.append(event)
                elif self._kind == "native":
                    self._say(native.delta)
            case "content_block_stop":
                if self._held:
                    self._held.append(event)
                elif self._kind in ("text", "native"):
                    self._end_block()
            case _:
                self._stray(event.frame, native.type)

    def _begin_native(self, raw: Raw) -> None:
        block = fields(raw)
        kind = _type(raw).type
        told = _TOLD.get(kind)
        if told is None:
            self._open_block("native", dict(block))
            return
        self._extra = {name: value for name, value in block.items() if name not in told}
        if kind == "text":
            # Citations come as events, but that there may be some is told when the block begins.
            if bytes(block.get("citations", b"")) == b"[]":
                self._extra["citations"] = block["citations"]
            self._open_block("text", {"type": "text", "text": ""})

    # The message around the blocks.

    def message(self) -> Block:
        """The message's members but for `content`, as far as they are known."""
        begin, head = self._begin, self._head
        message: Block = dict(head)
        message.update(
            id=begin.id or f"msg_{uuid4().hex[:24]}",
            type="message",
            role="assistant",
            model=begin.model,
        )
        usage = self._spell_usage(head)
        if begin.service_tier in TIER_WORDS:
            usage["service_tier"] = TIER_WORDS[begin.service_tier]
        message["usage"] = usage
        return message

    def ending(self) -> tuple[Block, Block]:
        """What `message_delta` says: of the message, and of its usage."""
        stop, tail = self._stop, self._tail
        word = STOP_WORDS[stop.reason]
        delta: Block = dict(_members(tail, "delta"))
        if stop.native and bytes(delta.get("stop_reason", b"")) == encode(stop.native):
            word = stop.native
        elif stop.reason == "stop" and (self._called or self._refused):
            word = "tool_use" if self._called else "refusal"
        delta.update(stop_reason=word, stop_sequence=stop.sequence)
        return delta, self._spell_usage(tail)

    def _spell_usage(self, around: dict[str, Raw]) -> Block:
        return spell_usage(self._usage or Usage(), _members(around, "usage"))


_TOLD = {
    "text": {"type", "text", "citations"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input"},
}


def _members(around: dict[str, Raw], name: str) -> dict[str, Raw]:
    """The members of a member that is an object, or should be."""
    try:
        return fields(around[name])
    except (KeyError, msgspec.ValidationError):
        return {}


def _citation(event: Citation) -> Block | Raw:
    if event.origin == ORIGIN and event.raw:
        return Raw(event.raw)
    return {
        "type": "web_search_result_location",
        "url": event.url,
        "title": event.title or None,
        "cited_text": event.quote,
        # Theirs is opaque, and a client reads none. One that is empty is not sent back to them.
        "encrypted_index": "",
    }


_HANDLERS: dict[type[Event], Callable[[Any, Any], None]] = {
    Begin: Sequencer._take_begin,
    Text: Sequencer._take_text,
    Refusal: Sequencer._take_refusal,
    Thinking: Sequencer._take_thinking,
    Signature: Sequencer._take_signature,
    Call: Sequencer._take_call,
    Arguments: Sequencer._take_arguments,
    Citation: Sequencer._take_citation,
    Media: Sequencer._take_media,
    Used: Sequencer._take_used,
    Stop: Sequencer._take_stop,
    Other: Sequencer._take_other,
}
