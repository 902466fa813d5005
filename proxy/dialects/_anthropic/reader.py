"""What the objects of a response mean, however a stream frames them."""

import msgspec
from msgspec import Struct

from proxy.dialects._anthropic.errors import said
from proxy.dialects._anthropic.wire import ORIGIN, STOPS, TIERS, add_usage, encode, fields
from proxy.errors import BadResponse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Other,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

Raw = msgspec.Raw

_NULL = Raw(b"null")
_NONE = Raw(b"{}")


class _Delta(Struct, gc=False):
    type: str
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Raw = _NULL


class _DeltaFrame(Struct, gc=False):
    index: int
    delta: _Delta


class _Kind(Struct, gc=False):
    type: str = ""


class _Index(Struct, gc=False):
    index: int


class _Start(Struct, gc=False):
    index: int
    content_block: Raw


class _MessageStart(Struct, gc=False):
    message: Raw


class _Message(Struct, gc=False):
    id: str = ""
    model: str = ""
    content: list[Raw] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw = _NONE


class _Tier(Struct, gc=False):
    service_tier: str | None = None


class _Stopped(Struct, frozen=True, gc=False):
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _MessageDelta(Struct, gc=False):
    delta: _Stopped = _Stopped()
    usage: Raw = _NONE


class _Cited(Struct, gc=False):
    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


class _Block(Struct, gc=False):
    type: str
    text: str = ""
    citations: list[Raw] | None = None
    id: str = ""
    name: str = ""
    input: Raw = _NONE
    thinking: str = ""
    signature: str = ""
    data: str = ""


_read_kind = msgspec.json.Decoder(_Kind).decode
_read_delta = msgspec.json.Decoder(_DeltaFrame).decode
_read_index = msgspec.json.Decoder(_Index).decode
_read_start = msgspec.json.Decoder(_Start).decode
_read_block = msgspec.json.Decoder(_Block).decode
_read_message_start = msgspec.json.Decoder(_MessageStart).decode
_read_message = msgspec.json.Decoder(_Message).decode
_read_message_delta = msgspec.json.Decoder(_MessageDelta).decode
_read_cited = msgspec.json.Decoder(_Cited).decode
_read_tier = msgspec.json.Decoder(_Tier).decode

_BLOCKS = {
    # The members of blocks that events tell of; a block that has more is told twice.
    "text": {"type", "text"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input"},
}
_ENDING = ("stop_reason", "stop_sequence", "stop_details", "container")
"""Members of a message that in a stream its end tells."""

_TEXT, _THINKING, _NATIVE = -1, -2, -3
"""What stands in an open block, if it is not a call: the number of a call is 0 or more."""


class Reader:
    """Reads the objects of one response in their order."""

    __slots__ = ("_argued", "_blocks", "_calls", "_usage", "done")

    def __init__(self) -> None:
        self.done = False
        """The response said that it ended, or failed: nothing after it counts."""
        self._blocks: dict[int, int] = {}
        self._calls = 0
        self._argued = False
        self._usage: Usage | None = None

    def read(self, data: bytes, kind: str = "") -> list[Event]:
        """The events of one object; `kind` is its type, if that is known already.

        Never raises: what cannot be read is a Failure, and ends the response.
        """
        if self.done:
            return []
        try:
            if not data.isascii():
                # What is skipped is not looked at otherwise, and some of it is told again.
                str(data, "utf-8")
            if kind == "content_block_delta":
                return self._delta(data)
            return self._read(data, _read_kind(data).type or kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.done = True
            return [Failure(BadResponse("the provider's stream cannot be read").because(error))]

    def _read(self, data: bytes, kind: str) -> list[Event]:
        match kind:
            case "content_block_delta":
                return self._delta(data)
            case "content_block_start":
                return self._start(data)
            case "content_block_stop":
                return self._stop(data)
            case "message_start":
                return self.begin(bytes(_read_message_start(data).message))
            case "message_delta":
                return self._message_delta(data)
            case "message_stop":
                self.done = True
                return [End()]
            case "ping":
                return []
            case "error":
                self.done = True
                return [Failure(said(data))]
        return [Other(data, ORIGIN)]

    def begin(self, raw: bytes) -> list[Event]:
        """The events of a message's head, which has all of a message but its content.

        Raises MsgspecError.
        """
        message = _read_message(raw)
        tier = _tier(message.usage)
        head = encode({"type": "message_start", "message": Raw(raw)})
        events: list[Event] = [
            Begin(id=message.id, model=message.model, service_tier=TIERS.get(tier, tier)),
            Other(head, ORIGIN),
        ]
        return events + self._count(message.usage)

    def block(self, index: int, raw: bytes) -> list[Event]:
        """The events of a block, as far as it is there when it begins. Raises MsgspecError."""
        block = _read_block(raw)
        known = _BLOCKS.get(block.type)
        events: list[Event] = []
        if known is None or not known.issuperset(fields(raw)):
            start = {"type": "content_block_start", "index": index, "content_block": Raw(raw)}
            events.append(Other(encode(start), ORIGIN))
        match block.type:
            case "text":
                self._blocks[index] = _TEXT
                if block.text:
                    events.append(Text(block.text))
                events.extend(_citation(raw) for raw in block.citations or [])
            case "thinking":
                self._blocks[index] = _THINKING
                if block.thinking:
                    events.append(Thinking(block.thinking))
                if block.signature:
                    events.append(Signature(block.signature, ORIGIN))
            case "redacted_thinking":
                self._blocks[index] = _THINKING
                events.append(Signature(block.data, ORIGIN, redacted=True))
            case "tool_use":
                events.append(Call(self._calls, block.id, block.name))
                given = bytes(block.input)
                self._argued = given not in (b"{}", b"null")
                if self._argued:
                    events.append(Arguments(self._calls, given.decode()))
                self._blocks[index] = self._calls
                self._calls += 1
            case _:
                self._blocks[index] = _NATIVE
        return events

    def end_block(self, index: int) -> list[Event]:
        """The events of a block's end."""
        held = self._blocks.pop(index, _NATIVE)
        if held >= 0:
            # Arguments that nobody sent are none, which other dialects cannot tell from nothing.
            return [] if self._argued else [Arguments(held, "{}")]
        if held == _THINKING:
            return []
        return [Other(b'{"type":"content_block_stop","index":%d}' % index, ORIGIN)]

    def stopped(self, word: str | None, sequence: str | None) -> list[Event]:
        """The events of a stop reason, if one is given."""
        if word is None:
            return []
        return [Stop(STOPS.get(word, "stop"), native=word, sequence=sequence)]

    def _delta(self, data: bytes) -> list[Event]:
        frame = _read_delta(data)
        delta = frame.delta
        held = self._blocks.get(frame.index)
        if held is None:
            held = _unannounced(delta)
        if held >= 0:
            if not delta.partial_json:
                return []
            self._argued = True
            return [Arguments(held, delta.partial_json)]
        if held == _TEXT:
            if delta.text:
                return [Text(delta.text)]
            return [_citation(delta.citation)] if delta.type == "citations_delta" else []
        if held == _THINKING:
            if delta.thinking:
                return [Thinking(delta.thinking)]
            return [Signature(delta.signature, ORIGIN)] if delta.signature else []
        return [Other(data, ORIGIN)]

    def _start(self, data: bytes) -> list[Event]:
        start = _read_start(data)
        return self.block(start.index, bytes(start.content_block))

    def _stop(self, data: bytes) -> list[Event]:
        return self.end_block(_read_index(data).index)

    def _message_delta(self, data: bytes) -> list[Event]:
        frame = _read_message_delta(data)
        events: list[Event] = [Other(data, ORIGIN)]
        events += self._count(frame.usage)
        return events + self.stopped(frame.delta.stop_reason, frame.delta.stop_sequence)

    def _count(self, raw: Raw) -> list[Event]:
        usage = add_usage(self._usage, raw)
        if usage is None or usage == self._usage:
            return []
        self._usage = usage
        return [Used(usage)]


def _tier(usage: Raw) -> str:
    try:
        return _read_tier(usage).service_tier or ""
    except msgspec.ValidationError:
        return ""


def _unannounced(delta: _Delta) -> int:
    """What stands in a block that never began, as those who imitate the dialect may send it."""
    if delta.text is not None:
        return _TEXT
    return _NATIVE if delta.thinking is None and delta.signature is None else _THINKING


def _citation(raw: Raw) -> Citation:
    cited = _read_cited(raw)
    return Citation(
        url=cited.url or cited.source or "",
        title=cited.title or cited.document_title or "",
        quote=cited.cited_text or "",
        raw=bytes(raw),
        origin=ORIGIN,
    )


def read_answer(body: bytes) -> list[Event]:
    """The events of a whole response. Raises BadResponse, or what an error object says."""
    try:
        str(body, "utf-8")
        head = fields(body)
        if bytes(head.get("type", b"")) == b'"error"':
            raise said(body)
        message = _read_message(body)
        content = head.pop("content", None)
        if content is None:
            raise BadResponse("the provider's answer has no content")
        reader = Reader()
        tail = {name: head.pop(name) for name in _ENDING if name in head}
        events = reader.begin(encode(head))
        for index, raw in enumerate(message.content):
            events += reader.block(index, bytes(raw))
            events += reader.end_block(index)
        events.append(Other(encode({"type": "message_delta", "delta": tail}), ORIGIN))
        events += reader.stopped(message.stop_reason, message.stop_sequence)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadResponse("the provider's answer cannot be read").because(error) from error
    return [*events, End()]
