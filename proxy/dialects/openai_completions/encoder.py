"""Events as a stream of Completions."""

from collections.abc import Callable, Iterable

import msgspec

from proxy.chat import Chat
from proxy.dialects._openai.chunks import ChunkEncoder
from proxy.dialects.openai_completions.wire import KIND, NAME, PREFIX, Offsets, finish
from proxy.errors import ProxyError
from proxy.event import Begin, End, Event, Logprobs, Refusal, Stop, Text

_encode = msgspec.json.encode


class CompletionsEncoder(ChunkEncoder):
    """Encodes one stream: of what a model says, its text, and the words with which it refuses."""

    __slots__ = ("_begins", "_offsets", "_spoken", "_tail")

    origin = NAME
    kind = KIND
    prefix = PREFIX

    def __init__(self, ask: Chat, error_event: Callable[[ProxyError], bytes]) -> None:
        super().__init__(ask, error_event)
        self._begins: dict[int, bytes] = {}
        """By choice, a chunk up to its text."""
        self._tail = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % self._null
        self._offsets = Offsets()
        self._spoken: Text | Refusal | None = None
        """What waits, within one feed, for the log-probabilities that belong to it."""

    def feed(self, events: Iterable[Event]) -> bytes:
        """The chunks that say them."""
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            if type(event) is Text or type(event) is Refusal:
                if self._ask.logprobs:
                    self._flush(out)
                    self._spoken = event
                    continue
                begin = self._begins.get(event.choice) or self._chunk(event.choice, out)
                out += (begin, _encode(event.text), self._tail)
            elif type(event) is Logprobs:
                self._logprobs(event, out)
            else:
                self._flush(out)
                self._write(event, out)
        self._flush(out)
        return b"".join(out)

    def close(self) -> bytes:
        """The end, unless it came."""
        return self.feed([End()])

    def _write(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Begin):
            self._begin(event, out)
        elif isinstance(event, Stop):
            fields = _encode(finish(event))
            out += (self._chunk(event.choice, out), b'"","logprobs":null,', fields[1:])
            out += (b"]", self._null, b"}\n\n")
        else:
            self._frame(event, out)

    def _chunk(self, index: int, out: list[bytes]) -> bytes:
        """A chunk of the choice, up to its text."""
        begin = self._begins.get(index)
        if begin is None:
            if not self._head:
                self._begin(Begin(), out)
            begin = self._begins[index] = b'%b{"index":%d,"text":' % (self._head, index)
        return begin

    def _flush(self, out: list[bytes], tokens: Logprobs | None = None) -> None:
        """Write what was spoken, with its log-probabilities if there are any."""
        event, self._spoken = self._spoken, None
        if event is None:
            return
        tail = self._tail if tokens is None else self._tail_with(tokens)
        out += (self._chunk(event.choice, out), _encode(event.text), tail)

    def _logprobs(self, event: Logprobs, out: list[bytes]) -> None:
        if self._spoken is not None and self._spoken.choice == event.choice:
            self._flush(out, event)
            return
        self._flush(out)
        out += (self._chunk(event.choice, out), b'""', self._tail_with(event))

    def _tail_with(self, tokens: Logprobs) -> bytes:
        return self._tail.replace(b"null", _encode(self._offsets.logprobs(tokens)), 1)
