"""What a provider of OpenAI's Chat answers, as events: in a stream, or whole."""

from typing import Any

import msgspec

from proxy.chat import split_data_url
from proxy.dialects._openai import errors
from proxy.dialects._openai.lenient import decode_leniently
from proxy.dialects._openai.stream import BROKEN, DONE, StreamDecoder, raised, used
from proxy.dialects.openai_chat import chunk as c
from proxy.dialects.openai_chat.calls import Calls
from proxy.dialects.openai_chat.stops import FAILED, OPENAI, reason_of
from proxy.dialects.openai_chat.wire import ENCRYPTED, NAME, SUMMARY, Detail
from proxy.errors import BadResponse, ProviderBroke
from proxy.event import (
    Begin,
    Citation,
    End,
    Event,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
)
from proxy.exchange import Raw
from proxy.framing.sse import parse_frame

_MESSAGES = (b"", b"message", b"error")
"""Names of server-sent events that are chunks, or errors."""

_decode = c.decode_chunk.decode


class ChatDecoder(StreamDecoder):
    """Decodes one stream."""

    __slots__ = (
        *("_begun", "_calls", "_choice", "_id", "_refused"),
        *("_seen", "_sources", "_stopped", "_thoughts"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._id = ""
        self._calls: dict[int, Calls] = {}
        self._refused: set[int] = set()
        self._stopped: set[int] = set()
        self._seen: set[int] = set()
        self._choice = -1
        """The last choice that was heard of."""
        self._thoughts: dict[int, list[str]] = {}
        """Those of each choice that no signature ended yet."""
        self._sources: dict[str, str] = {}
        """What an answer is said to rest on, and its titles, until it is told."""

    def whole(self, body: bytes) -> list[Event]:
        """The events of a whole answer. Raises BadResponse, or what the provider said."""
        try:
            answer = decode_leniently(c.decode_first, body)
        except BROKEN as broken:
            raise BadResponse("the provider's answer is not one of OpenAI's Chat") from broken
        if not answer.choices:
            said = (
                errors.of_object(answer.error) if len(answer.error) > 4 else errors.of_event(body)
            )
            raise said or BadResponse("the provider's answer has no choices")
        events: list[Event] = []
        for choice in answer.choices:
            choice.delta = choice.message or choice.delta
            audio = choice.delta.audio if choice.delta is not None else None
            if audio is not None and audio.data:
                events.append(Other(body, NAME))
        self._begin(answer, events)
        self._add(answer, b"", events)
        raised(events)
        self._end(events)
        return events

    def _read(self, frame: bytes, events: list[Event]) -> None:
        if self._begun and frame.startswith(b"data:"):
            try:
                chunk = _decode(frame[5:])
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
            chunk = decode_leniently(c.decode_first, data)
        except BROKEN as error:
            self._fail(
                BadResponse("the provider sent an event that is no chunk").because(error), events
            )
            return
        if parsed.event not in _MESSAGES:
            events.append(Other(frame, NAME))
            return
        if not self._begun and (chunk.choices or chunk.id):
            self._begin(chunk, events)
        self._add(chunk, frame, events)

    def _begin(self, chunk: c.FirstChunk, events: list[Event]) -> None:
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

    def _add(self, chunk: c.Chunk, frame: bytes, events: list[Event]) -> None:
        if len(chunk.error) > 2 and chunk.error != c.NULL:
            error = errors.of_object(chunk.error)
            if error is not None:
                self._fail(error, events)
                return
        if chunk.search_results or chunk.citations:
            self._cite(chunk)
        for choice in chunk.choices or ():
            self._add_choice(choice, frame, events)
            if self._over:
                return
        if len(chunk.usage) > 4:
            used(chunk.usage, events)
        elif chunk.x_groq is not None:
            used(chunk.x_groq.usage, events)
        elif not chunk.choices:
            error = errors.of_event(parse_frame(frame).data)
            if error is not None:
                self._fail(error, events)
            else:
                events.append(Other(frame, NAME))

    def _add_choice(self, choice: c.Choice, frame: bytes, events: list[Event]) -> None:
        index = choice.index
        if index != self._choice:
            self._choice = index
            self._seen.add(index)
        delta = choice.delta or choice.message
        if delta is not None:
            text = delta.content
            thought = delta.reasoning_content or delta.reasoning
            if delta.reasoning_details is not None:
                self._think(delta.reasoning_details, thought, index, events)
            elif thought:
                self._thoughts.setdefault(index, []).append(thought)
                events.append(Thinking(thought, index))
            if text:
                if text.__class__ is str:
                    events.append(Text(text, index))
                else:
                    _content(text, index, events)
            if delta.refusal:
                self._refused.add(index)
                events.append(Refusal(delta.refusal, index))
        if choice.logprobs is not None:
            _logprobs(choice.logprobs, index, events)
        if delta is not None and (
            delta.tool_calls
            or delta.function_call
            or delta.annotations
            or delta.images
            or delta.audio
        ):
            self._rest(delta, index, frame, events)
        if choice.finish_reason:
            self._stop(choice, choice.finish_reason, events)
        if choice.usage:
            used(choice.usage, events)

    def _rest(self, delta: c.Delta, index: int, frame: bytes, events: list[Event]) -> None:
        """What stands in few deltas."""
        called = delta.tool_calls or ()
        legacy = delta.function_call
        if called or (legacy is not None and (legacy.name or legacy.arguments)):
            calls = self._calls.get(index)
            if calls is None:
                calls = self._calls[index] = Calls(self._id, index)
            for call in called:
                calls.add(call, events, whole=not frame)
            if not called:
                calls.add(c.CallDelta(index=0, function=legacy), events)
        for raw in delta.annotations or ():
            citation = _citation(raw, index)
            if citation is not None:
                events.append(citation)
        for image in delta.images or ():
            data = split_data_url(image.image_url.url) if image.image_url is not None else None
            if data is not None:
                events.append(Media(*data, index))
        if delta.audio is not None and frame:
            events.append(Other(frame, NAME))

    def _think(
        self, details: list[Detail], thought: str | None, index: int, events: list[Event]
    ) -> None:
        """OpenRouter's details: mostly, their words stand in another field, too.

        They may stand there in the same delta, or in those before the one that signs them.
        """
        said = self._thoughts.setdefault(index, [])
        if thought and not any(detail.words for detail in details):
            said.append(thought)
            events.append(Thinking(thought, index))
        for detail in details:
            words, value = detail.words, detail.opaque()
            redacted = detail.type == ENCRYPTED
            if words and not (value and words == "".join(said)):
                said.append(words)
                events.append(Thinking(words, index, detail.type == SUMMARY))
            if value:
                if not redacted:
                    said.clear()
                events.append(Signature(value, NAME, index, redacted))

    def _cite(self, chunk: c.Chunk) -> None:
        """Perplexity's sources: each chunk has all that were found so far."""
        for url in chunk.citations or ():
            self._sources.setdefault(url, "")
        for result in chunk.search_results or ():
            self._sources[result.url] = result.title or ""

    def _stop(self, choice: c.Choice, word: str, events: list[Event]) -> None:
        index = choice.index
        if index in self._stopped:
            return
        if word == FAILED:
            self._fail(ProviderBroke("the provider failed in the midst of its answer"), events)
            return
        sequence = choice.stop_reason if isinstance(choice.stop_reason, str) else None
        native = choice.native_finish_reason or ""
        own = word if native in OPENAI or not native else native
        stop = Stop(reason_of(word, native, sequence), own, sequence, index)
        if stop.reason == "stop":
            # That a function which had to be called was called is "stop", too.
            if index in self._calls:
                stop.reason = "tool_calls"
            elif index in self._refused:
                stop.reason = "refusal"
        self._stop_with(stop, events)

    def _stop_with(self, stop: Stop, events: list[Event]) -> None:
        for url, title in self._sources.items():
            events.append(Citation(url, title, choice=stop.choice))
        self._sources = {}
        if stop.choice in self._calls:
            self._calls[stop.choice].close(events)
        self._stopped.add(stop.choice)
        events.append(stop)

    def _end(self, events: list[Event]) -> None:
        for index in sorted(self._seen - self._stopped):  # of servers that never say why
            called = index in self._calls
            self._stop_with(Stop("tool_calls" if called else "stop", choice=index), events)
        self._over = True
        events.append(End())


def _content(content: Any, index: int, events: list[Event]) -> None:
    """Content that is no text: Mistral's parts, or JSON that a server has parsed."""
    if isinstance(content, dict):
        events.append(Text(msgspec.json.encode(content).decode("utf-8", "replace"), index))
        return
    for piece in content:
        said = piece.thinking
        thought = said if isinstance(said, str) else "".join(part.text or "" for part in said or ())
        if thought:
            events.append(Thinking(thought, index))
        if piece.text:
            events.append(Text(piece.text, index))


def _logprobs(tokens: c.Tokens, index: int, events: list[Event]) -> None:
    if tokens.content:
        events.append(Logprobs([token.neutral() for token in tokens.content], index))
    if tokens.refusal:
        events.append(Logprobs([token.neutral() for token in tokens.refusal], index, True))


def _citation(raw: Raw, index: int) -> Citation | None:
    try:
        found = c.decode_annotation.decode(raw)
        str(raw, "utf-8")  # what is not read of it is not checked by msgspec
    except BROKEN:
        return None
    cited = found.url_citation or c.URLCitation()
    place = (cited.start_index, cited.end_index)
    return Citation(cited.url, cited.title or "", "", *place, bytes(raw), NAME, index)
