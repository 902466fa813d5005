"""Events as a stream of OpenAI's Chat."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proxy.chat import Chat
from proxy.dialects._openai.chunks import ChunkEncoder
from proxy.dialects.openai_chat import said
from proxy.dialects.openai_chat.wire import NAME, PREFIX, detail_of
from proxy.errors import ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Logprobs,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
)

_encode = msgspec.json.encode


class _Choice:
    """One choice, as far as it is written; `text` and the like begin the chunks of its deltas."""

    __slots__ = (
        "arguments",
        "begin",
        "citations",
        "details",
        "images",
        "length",
        "text",
        "thoughts",
    )

    def __init__(self, begin: bytes) -> None:
        self.begin = begin
        """A chunk up to the members of its delta."""
        self.text = begin + b'"content":'
        self.arguments: dict[int, bytes] = {}
        self.thoughts: list[str] = []
        """Those that no signature ended yet."""
        self.details = 0
        self.citations = 0
        self.images = 0
        self.length = 0


class ChatEncoder(ChunkEncoder):
    """Encodes one stream."""

    __slots__ = ("_choices", "_shown", "_spoken", "_tail")

    origin = NAME
    kind = "chat.completion.chunk"
    prefix = PREFIX

    def __init__(self, ask: Chat, error_event: Callable[[ProxyError], bytes]) -> None:
        super().__init__(ask, error_event)
        self._tail = b'},"logprobs":null,"finish_reason":null}]%b}\n\n' % self._null
        self._choices: dict[int, _Choice] = {}
        self._spoken: Text | Refusal | None = None
        """What waits, within one feed, for the log-probabilities that belong to it."""
        self._shown = ask.reasoning is None or ask.reasoning.show is not False

    def feed(self, events: Iterable[Event]) -> bytes:
        """The chunks that say them."""
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            if type(event) is Text:
                if self._ask.logprobs:
                    self._flush(out)
                    self._spoken = event
                    continue
                choice = self._choices.get(event.choice) or self._open(event.choice, out)
                choice.length += len(event.text)
                out += (choice.text, _encode(event.text), self._tail)
            elif type(event) is Arguments:
                if self._spoken is not None:
                    self._flush(out)
                choice = self._choices.get(event.choice) or self._open(event.choice, out)
                self._arguments(choice, event, out)
            else:
                self._write(event, out)
        if self._spoken is not None:
            self._flush(out)
        return b"".join(out)

    def close(self) -> bytes:
        """The end, unless it came."""
        return self.feed([End()])

    def _write(self, event: Event, out: list[bytes]) -> None:
        if type(event) is Logprobs:
            self._logprobs(event, out)
            return
        self._flush(out)
        if isinstance(event, Begin):
            self._begin(event, out)
        elif isinstance(event, Thinking | Signature):
            self._thinking(event, out)
        elif isinstance(event, Refusal):
            self._spoken = event
            if not self._ask.logprobs:
                self._flush(out)
        elif isinstance(event, Call):
            self._call(event, out)
        elif isinstance(event, Citation | Media):
            self._attach(event, out)
        elif isinstance(event, Stop):
            self._open(event.choice, out)
            fields = _encode(said.finish(event, self._ask))
            out += (self._choices[event.choice].begin, b'},"logprobs":null,', fields[1:])
            out += (b"]", self._null, b"}\n\n")
        else:
            self._frame(event, out)

    def _begin(self, event: Begin, out: list[bytes]) -> None:
        super()._begin(event, out)
        for index in range(self._ask.n):
            self._open(index, out)

    def _open(self, index: int, out: list[bytes]) -> _Choice:
        """The choice; its first chunk has the role."""
        choice = self._choices.get(index)
        if choice is not None:
            return choice
        if not self._head:
            self._begin(Begin(), out)
            if index in self._choices:
                return self._choices[index]
        choice = self._choices[index] = _Choice(b'%b{"index":%d,"delta":{' % (self._head, index))
        out += (choice.begin, b'"role":"assistant"', self._tail)
        return choice

    def _delta(self, choice: _Choice, name: bytes, value: Any, out: list[bytes]) -> None:
        out += (choice.begin, b'"%b":' % name, _encode(value), self._tail)

    def _flush(self, out: list[bytes], tokens: Logprobs | None = None) -> None:
        """Write what was spoken, with its log-probabilities if there are any."""
        event, self._spoken = self._spoken, None
        if event is None:
            return
        choice = self._open(event.choice, out)
        field = b'"content":' if type(event) is Text else b'"refusal":'
        tail = self._tail if tokens is None else self._tail_with(tokens)
        out += (choice.begin, field, _encode(event.text), tail)
        if type(event) is Text:
            choice.length += len(event.text)

    def _logprobs(self, event: Logprobs, out: list[bytes]) -> None:
        spoken = self._spoken
        refusal = type(spoken) is Refusal
        if spoken is not None and (spoken.choice, refusal) == (event.choice, event.refusal):
            self._flush(out, event)
            return
        self._flush(out)
        out += (self._open(event.choice, out).begin, self._tail_with(event))

    def _tail_with(self, tokens: Logprobs) -> bytes:
        return self._tail.replace(b"null", _encode(said.logprobs(tokens)), 1)

    def _arguments(self, choice: _Choice, event: Arguments, out: list[bytes]) -> None:
        begin = choice.arguments.get(event.index)
        if begin is not None:
            close = b"}" if self._ask.legacy_functions else b"}}]"
            out += (begin, _encode(event.text), close, self._tail)

    def _call(self, event: Call, out: list[bytes]) -> None:
        choice = self._open(event.choice, out)
        call = said.call(event, self._id)
        if not self._ask.legacy_functions:
            self._delta(choice, b"tool_calls", [{"index": event.index} | call], out)
            field = b'"custom":{"input":' if event.custom else b'"function":{"arguments":'
            begin = b'%b"tool_calls":[{"index":%d,%b' % (choice.begin, event.index, field)
            choice.arguments[event.index] = begin
        elif event.index == 0:
            self._delta(choice, b"function_call", call["function"], out)
            choice.arguments[0] = b'%b"function_call":{"arguments":' % choice.begin

    def _thinking(self, event: Thinking | Signature, out: list[bytes]) -> None:
        if not self._shown:
            return
        choice = self._open(event.choice, out)
        if isinstance(event, Thinking):
            choice.thoughts.append(event.text)
            self._delta(choice, b"reasoning_content", event.text, out)
            return
        text = "" if event.redacted else "".join(choice.thoughts)
        if not event.redacted:
            choice.thoughts.clear()
        detail = detail_of(
            *(text, event.value, event.origin), redacted=event.redacted, index=choice.details
        )
        choice.details += 1
        self._delta(choice, b"reasoning_details", [detail], out)

    def _attach(self, event: Citation | Media, out: list[bytes]) -> None:
        choice = self._open(event.choice, out)
        # The index is for SDKs that put deltas together: they ask it of every list.
        if isinstance(event, Citation):
            annotation = said.annotation(event, choice.length) | {"index": choice.citations}
            choice.citations += 1
            self._delta(choice, b"annotations", [annotation], out)
        elif event.media_type.startswith("audio/"):
            self._delta(choice, b"audio", {"data": event.data}, out)
        else:
            image = said.image(event) | {"index": choice.images}
            choice.images += 1
            self._delta(choice, b"images", [image], out)
