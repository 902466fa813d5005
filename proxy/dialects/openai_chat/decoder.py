"""What a provider of OpenAI's Chat answers, as events: in a stream, or whole."""

from typing import Any

import msgspec

from proxy.chat import split_data_url
from proxy.dialects._openai.chunks import Chunk, ChunkDecoder
from proxy.dialects._openai.stream import BROKEN
from proxy.dialects.openai_chat import chunk as c
from proxy.dialects.openai_chat.calls import Calls
from proxy.dialects.openai_chat.wire import ENCRYPTED, NAME, SUMMARY, Detail
from proxy.event import (
    Citation,
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


class ChatDecoder(ChunkDecoder[c.Choice]):
    """Decodes one stream."""

    __slots__ = ("_calls", "_refused", "_sources", "_thoughts")

    origin = NAME
    title = "OpenAI's Chat"
    chunk = c.decode_chunk
    first = c.decode_first

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, Calls] = {}
        self._refused: set[int] = set()
        self._thoughts: dict[int, list[str]] = {}
        """Those of each choice that no signature ended yet."""
        self._sources: dict[str, str] = {}
        """What an answer is said to rest on, and its titles, until it is told."""

    def _open(self, choices: list[c.Choice], body: bytes, events: list[Event]) -> None:
        for choice in choices:
            choice.delta = choice.message or choice.delta
            audio = choice.delta.audio if choice.delta is not None else None
            if audio is not None and audio.data:
                events.append(Other(body, NAME))

    def _add_choice(self, choice: c.Choice, frame: bytes, events: list[Event]) -> None:
        index = choice.index
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

    def _cite(self, chunk: Chunk[c.Choice]) -> None:
        """Perplexity's sources: each chunk has all that were found so far."""
        for url in chunk.citations or ():
            self._sources.setdefault(url, "")
        for result in chunk.search_results or ():
            self._sources[result.url] = result.title or ""

    def _stop_with(self, stop: Stop, events: list[Event]) -> None:
        if stop.reason == "stop":
            # That a function which had to be called was called is "stop", too.
            if stop.choice in self._calls:
                stop.reason = "tool_calls"
            elif stop.choice in self._refused:
                stop.reason = "refusal"
        for url, title in self._sources.items():
            events.append(Citation(url, title, choice=stop.choice))
        self._sources = {}
        if stop.choice in self._calls:
            self._calls[stop.choice].close(events)
        super()._stop_with(stop, events)


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
