"""Chunks: what a stream of OpenAI's Chat or Completions is made of, and a whole answer, too.

Each has some of one choice or of several. What a choice is, the member of the family says.
"""

import time
import uuid
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from proxy.chat import Chat
from proxy.dialects._openai import errors
from proxy.dialects._openai.lenient import decode_leniently
from proxy.dialects._openai.stops import FAILED, OPENAI, reason_of
from proxy.dialects._openai.stream import BROKEN, DONE, StreamDecoder, raised, used
from proxy.dialects._openai.usage import in_chat
from proxy.errors import BadResponse, ProviderBroke, ProxyError
from proxy.event import Begin, End, Event, Failure, Other, Stop, Usage, Used
from proxy.exchange import Raw
from proxy.framing.sse import parse_frame

NULL = Raw(b"null")
NOTHING = Raw()
"""A field that is not there."""
_MESSAGES = (b"", b"message", b"error")
"""Names of server-sent events that are chunks, or errors."""

_encode = msgspec.json.encode


class ChoiceOf(msgspec.Struct, gc=False):
    """What is read of every choice."""

    index: int = 0
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: str | int | None = None
    usage: Raw = NOTHING


C = TypeVar("C", bound=ChoiceOf)


class Groq(msgspec.Struct, gc=False):
    """Where Groq says its usage."""

    usage: Raw = NOTHING


class Result(msgspec.Struct, gc=False):
    """A page that was found."""

    url: str = ""
    title: str | None = None


class Chunk(msgspec.Struct, Generic[C], gc=False):
    """A chunk in the midst of a stream."""

    choices: list[C] | None = None
    usage: Raw = NOTHING
    x_groq: Groq | None = None
    error: Raw = NOTHING
    citations: list[str] | None = None
    search_results: list[Result] | None = None


class FirstChunk(Chunk[C], Generic[C], gc=False):
    """A chunk that may begin a response: later ones only repeat what is read here."""

    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None


class ChunkDecoder(StreamDecoder, Generic[C]):
    """Decodes one stream, or one whole answer."""

    __slots__ = ("_begun", "_decode", "_id", "_last", "_seen", "_stopped")

    origin: ClassVar[str]
    """The dialect."""
    title: ClassVar[str]
    """What it is called in an error."""
    chunk: ClassVar["msgspec.json.Decoder[Any]"]
    """Of a :class:`Chunk`; what it cannot read, `first` may."""
    first: ClassVar["msgspec.json.Decoder[Any]"]

    def __init__(self) -> None:
        super().__init__()
        self._decode = self.chunk.decode
        self._begun = False
        self._id = ""
        self._last = -1
        """The last choice that was heard of."""
        self._seen: set[int] = set()
        self._stopped: set[int] = set()

    def whole(self, body: bytes) -> list[Event]:
        """The events of a whole answer. Raises BadResponse, or what the provider said."""
        try:
            answer: FirstChunk[C] = decode_leniently(self.first, body)
        except BROKEN as broken:
            raise BadResponse(f"the provider's answer is not one of {self.title}") from broken
        if not answer.choices:
            said = (
                errors.of_object(answer.error) if len(answer.error) > 4 else errors.of_event(body)
            )
            raise said or BadResponse("the provider's answer has no choices")
        events: list[Event] = []
        self._open(answer.choices, body, events)
        self._begin(answer, events)
        self._add(answer, b"", events)
        raised(events)
        self._end(events)
        return events

    def _read(self, frame: bytes, events: list[Event]) -> None:
        if self._begun and frame.startswith(b"data:"):
            try:
                chunk = self._decode(frame[5:])
            except BROKEN:
                self._odd(frame, events)
            else:
                self._add(chunk, frame, events)
        else:
            self._odd(frame, events)

    def _finish(self, events: list[Event]) -> None:
        """Not every server says ``[DONE]``; all choices that stopped are an end, too."""
        if self._seen and self._seen == self._stopped:
            self._end(events)

    def _odd(self, frame: bytes, events: list[Event]) -> None:
        """A frame that is not the plain one of a chunk in the midst of a response."""
        parsed = parse_frame(frame)
        data = parsed.data
        if not data:
            return
        if data.strip() == DONE:
            self._end(events)
            return
        try:
            chunk: FirstChunk[C] = decode_leniently(self.first, data)
        except BROKEN as error:
            self._fail(
                BadResponse("the provider sent an event that is no chunk").because(error), events
            )
            return
        if parsed.event not in _MESSAGES:
            events.append(Other(frame, self.origin))
            return
        if not self._begun and (chunk.choices or chunk.id):
            self._begin(chunk, events)
        self._add(chunk, frame, events)

    def _begin(self, chunk: FirstChunk[C], events: list[Event]) -> None:
        self._begun = True
        self._id = chunk.id or ""
        begin = Begin(
            self._id,
            chunk.model or "",
            int(chunk.created or 0),
            chunk.service_tier or "",
            chunk.system_fingerprint or "",
        )
        events.append(begin)

    def _add(self, chunk: Chunk[C], frame: bytes, events: list[Event]) -> None:
        if len(chunk.error) > 2 and chunk.error != NULL:
            error = errors.of_object(chunk.error)
            if error is not None:
                self._fail(error, events)
                return
        if chunk.search_results or chunk.citations:
            self._cite(chunk)
        for choice in chunk.choices or ():
            index = choice.index
            if index != self._last:
                self._last = index
                self._seen.add(index)
            self._add_choice(choice, frame, events)
            if choice.finish_reason:
                self._stop(choice, choice.finish_reason, events)
                if self._over:
                    return
            if choice.usage:
                used(choice.usage, events)
        if len(chunk.usage) > 4:
            used(chunk.usage, events)
        elif chunk.x_groq is not None:
            used(chunk.x_groq.usage, events)
        elif not chunk.choices:
            error = errors.of_event(parse_frame(frame).data)
            if error is not None:
                self._fail(error, events)
            else:
                events.append(Other(frame, self.origin))

    def _stop(self, choice: C, word: str, events: list[Event]) -> None:
        if choice.index in self._stopped:
            return
        if word == FAILED:
            self._fail(ProviderBroke("the provider failed in the midst of its answer"), events)
            return
        sequence = choice.stop_reason if isinstance(choice.stop_reason, str) else None
        native = choice.native_finish_reason or ""
        own = word if native in OPENAI or not native else native
        stop = Stop(reason_of(word, native, sequence), own, sequence, choice.index)
        self._stop_with(stop, events)

    def _stop_with(self, stop: Stop, events: list[Event]) -> None:
        self._stopped.add(stop.choice)
        events.append(stop)

    def _end(self, events: list[Event]) -> None:
        for index in sorted(self._seen - self._stopped):  # of servers that never say why
            self._stop_with(Stop("stop", choice=index), events)
        self._over = True
        events.append(End())

    def _open(self, choices: list[C], body: bytes, events: list[Event]) -> None:
        """Look at the choices of a whole answer before they are read."""

    @abstractmethod
    def _add_choice(self, choice: C, frame: bytes, events: list[Event]) -> None:
        """What a choice says; `frame` is b"" in a whole answer."""

    def _cite(self, chunk: Chunk[C]) -> None:
        """What an answer is said to rest on."""


def head(begin: Begin, ask: Chat, kind: str, prefix: str) -> dict[str, Any]:
    """The fields that each chunk repeats.

    `kind` is what the object calls itself; an id that we make begins with `prefix`.
    """
    said: dict[str, Any] = {
        "id": begin.id or f"{prefix}{uuid.uuid4().hex}",
        "object": kind,
        "created": begin.created or time.time_ns() // 1_000_000_000,
        "model": begin.model or ask.model,
    }
    if begin.service_tier:
        said["service_tier"] = begin.service_tier
    if begin.fingerprint:
        said["system_fingerprint"] = begin.fingerprint
    return said


class ChunkEncoder:
    """Encodes one stream, as far as its choices have no part in it."""

    __slots__ = ("_ask", "_error_event", "_head", "_id", "_null", "_over", "_usage")

    origin: ClassVar[str]
    """The dialect."""
    kind: ClassVar[str]
    """What its chunks call themselves."""
    prefix: ClassVar[str]
    """What the ids begin with that we make."""

    def __init__(self, ask: Chat, error_event: Callable[[ProxyError], bytes]) -> None:
        self._ask = ask
        self._error_event = error_event
        self._id = ""
        self._head = b""
        """A chunk up to its first choice."""
        self._null = b',"usage":null' if ask.include_usage else b""
        """What stands behind the choices."""
        self._usage: Usage | None = None
        self._over = False

    def _begin(self, event: Begin, out: list[bytes]) -> None:
        fields = head(event, self._ask, self.kind, self.prefix)
        self._id = fields["id"]
        self._head = b'data: %b,"choices":[' % _encode(fields)[:-1]

    def _frame(self, event: Event, out: list[bytes]) -> None:
        """An event that is of no choice."""
        if isinstance(event, Used):
            self._usage = event.usage
        elif isinstance(event, Failure):
            out.append(self._error_event(event.error))
            self._over = True
        elif isinstance(event, End):
            self._end(out)
        elif isinstance(event, Other) and event.origin == self.origin:
            frame = parse_frame(event.frame)
            if not frame.event:
                out.append(b"data: %b\n\n" % frame.data.replace(b"\n", b" "))

    def _end(self, out: list[bytes]) -> None:
        if not self._head:
            self._begin(Begin(), out)
        if self._usage is not None and self._ask.include_usage:
            out += (self._head, b'],"usage":', _encode(in_chat(self._usage)), b"}\n\n")
        out.append(b"data: [DONE]\n\n")
        self._over = True
