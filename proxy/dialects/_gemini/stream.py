"""Streams in both forms: events of them, and them of events."""

from collections.abc import Iterable
from typing import Any

from proxy.chat import Ask, Chat
from proxy.dialects._gemini.answer import UNREADABLE, Reader
from proxy.dialects._gemini.frames import Chunks
from proxy.dialects._gemini.spell import (
    BLOCKED,
    EMPTY,
    Choice,
    Part,
    Speller,
    add_logprobs,
    spell_candidate,
)
from proxy.dialects._gemini.wire import ORIGIN, encode, one_line, spell_usage
from proxy.errors import BadResponse
from proxy.event import Call, End, Event, Failure, Logprobs, Other, Text
from proxy.framing.sse import parse_frame

_DONE = b"data: [DONE]"
"""Google ends no stream with it, but gateways that know OpenAI's alone may."""


class StreamDecoder:
    """A :class:`proxy.dialect.Decoder` for both forms of a stream."""

    __slots__ = ("_chunks", "_done", "_reader")

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._reader = Reader()
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        if self._done:
            return []
        chunks = self._chunks
        events = self._read(chunks.feed(data))
        if self._done:
            return events
        if chunks.wrong:
            self._done = True
            events.append(Failure(BadResponse(f"the provider's stream holds {chunks.wrong}")))
        elif chunks.closed:
            self._done = True
            events += self._reader.finish()
        return events

    def close(self) -> list[Event]:
        if self._done:
            return []
        rest = self._chunks.close()
        events = self._read([rest], broken=True) if rest.strip() else []
        if not self._done and not self._chunks.is_array:
            self._done = True
            events += self._reader.finish()
        return events

    def _read(self, chunks: Iterable[bytes], *, broken: bool = False) -> list[Event]:
        """The events of chunks; `broken`: the last one may be half of one."""
        events: list[Event] = []
        for chunk in chunks:
            try:
                data = chunk if chunk[:1] == b"{" else _payload(chunk)
                found = self._reader.read(data) if data else []
            except UNREADABLE as error:
                if chunk.strip() == _DONE:
                    continue
                self._done = True
                if not broken:
                    said = BadResponse(
                        "the provider's stream holds what is no response of Gemini's"
                    )
                    events.append(Failure(said.because(error)))
                return events
            events += found
            if found and type(found[-1]) is Failure:
                self._done = True
                return events
        return events


def _payload(frame: bytes) -> bytes:
    """What a frame says. Nearly all of them are a single line, which JSON ends by itself."""
    if frame[:6] == b"data: ":
        end = frame.find(b"\n")
        if end >= len(frame) - 3 and frame.find(b"\r", 0, end - 1) < 0:
            return frame[6:]
    return parse_frame(frame).data


class StreamEncoder:
    """A :class:`proxy.dialect.Encoder` for both forms of a stream."""

    __slots__ = ("_after", "_array", "_before", "_ended", "_first", "_speller")

    def __init__(self, ask: Ask) -> None:
        self._array = isinstance(ask, Chat) and ask.array
        self._speller = Speller(ask)
        self._first = True
        self._ended = False
        # The bytes around a text: all that changes from one delta to the next.
        self._before = b""
        self._after: dict[int, bytes] = {}

    def feed(self, events: Iterable[Event]) -> bytes:
        frames: list[bytes] = []
        speller = self._speller
        for event in events:
            kind = type(event)
            if kind is Text:
                assert isinstance(event, Text)
                if not event.text:
                    continue
                index = event.choice
                choice = speller.choice(index)
                if choice.calls:
                    self._settle(index, choice, frames)
                choice.written.add(event.text)
                choice.said, choice.thinking = True, False
                after = self._after.get(index)
                if after is None:
                    frames.append(self._chunk(index, [{"text": event.text}]))
                    self._after[index] = self._tail(index)
                else:
                    frames.append(self._before + encode(event.text) + after)
            elif kind is Other:
                assert isinstance(event, Other)
                self._say_other(event, frames)
            elif kind is End:
                self._finish(frames)
            elif kind is Logprobs:
                assert isinstance(event, Logprobs)
                if not event.refusal:
                    found: dict[str, Any] = {}
                    add_logprobs(found, event)
                    frames.append(self._chunk(event.choice, [EMPTY], found))
            elif speller.note(event):
                if kind is Call:
                    assert isinstance(event, Call)
                    choice = speller.choice(event.choice)
                    if len(choice.calls) > 1:
                        self._settle(event.choice, choice, frames)
            else:
                self._say(event, frames)
        return b"".join(frames)

    def close(self) -> bytes:
        frames: list[bytes] = []
        self._finish(frames)
        if self._array:
            frames.append(b"[]" if self._first else b"]")
        return b"".join(frames)

    def _say(self, event: Event, frames: list[bytes]) -> None:
        found = self._speller.part(event)
        if found is not None:
            index, part = found
            choice = self._speller.choice(index)
            if choice.calls:
                self._settle(index, choice, frames)
            frames.append(self._chunk(index, [part]))

    def _say_other(self, event: Other, frames: list[bytes]) -> None:
        if event.origin == ORIGIN:
            for index, choice in self._speller.choices.items():
                self._settle(index, choice, frames)
            self._speller.blocked |= event.frame.startswith(BLOCKED)
            # An object that is not empty, so it can say of what response it is, too.
            frames.append(self._frame(event.frame[:-1] + b"," + encode(self._about())[1:]))

    def _settle(self, index: int, choice: Choice, frames: list[bytes]) -> None:
        parts = choice.settle(last=False)
        if parts:
            choice.said = True
            frames.append(self._chunk(index, parts))

    def _finish(self, frames: list[bytes]) -> None:
        """The last chunk: why each choice ended, and the usage."""
        if self._ended:
            return
        self._ended = True
        speller = self._speller
        candidates = []
        for index, choice in sorted(speller.choices.items()):
            parts = choice.settle(last=True)
            if speller.blocked and not (choice.said or parts):
                continue
            candidates.append(spell_candidate(index, parts or [EMPTY], choice.end()))
        last: dict[str, Any] = {"candidates": candidates} if candidates else {}
        if speller.usage is not None:
            last["usageMetadata"] = spell_usage(speller.usage)
        if last:
            frames.append(self._frame(encode(last | self._about())))

    def _chunk(self, index: int, parts: list[Part], more: dict[str, Any] | None = None) -> bytes:
        candidates = [spell_candidate(index, parts, more or {})]
        return self._frame(encode({"candidates": candidates} | self._about()))

    def _about(self) -> dict[str, Any]:
        found = self._speller.envelope()
        return self._speller.created() | found if self._first else found

    def _frame(self, chunk: bytes) -> bytes:
        first, self._first = self._first, False
        if self._array:
            return (b"[" if first else b",\n") + chunk
        # What passes through as it came may have lines of its own.
        return b"data: %b\n\n" % one_line(chunk)

    def _tail(self, index: int) -> bytes:
        """What follows a text of a choice; and `_before`, what stands before it."""
        mark = "\x00"
        frame = self._chunk(index, [{"text": mark}])
        self._before, _, after = frame.partition(encode(mark))
        return after
