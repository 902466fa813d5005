"""Where an answer's text comes from: `groundingMetadata` and `citationMetadata`.

Gemini counts the bytes of the text, everybody else its characters, so the text is kept.
https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from typing import Any

import msgspec

from proxy.event import Citation

_MAX_TEXT = 1 << 20
"""Characters that are kept; in a longer text, places are not told."""


class _Segment(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int | None = None
    text: str = ""


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment = msgspec.field(default_factory=_Segment)
    grounding_chunk_indices: list[int] = []


class _Source(msgspec.Struct):
    uri: str = ""
    title: str = ""


class _Chunk(msgspec.Struct, rename="camel"):
    web: _Source | None = None
    maps: _Source | None = None
    retrieved_context: _Source | None = None

    def source(self) -> _Source | None:
        return self.web or self.maps or self.retrieved_context


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Chunk] = []
    grounding_supports: list[_Support] = []


class _Cited(msgspec.Struct, rename="camel"):
    uri: str = ""
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class _CitationMetadata(msgspec.Struct, rename="camel"):
    citations: list[_Cited] = []
    citation_sources: list[_Cited] = []


_grounding = msgspec.json.Decoder(_Grounding)
_citations = msgspec.json.Decoder(_CitationMetadata)


class Written:
    """The text of one choice, as far as its citations need it."""

    __slots__ = ("_known", "_length", "_pieces", "_told")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._known: tuple[str, bytes] | None = None
        self._told: set[tuple[str, int | None, int | None]] = set()

    def add(self, text: str) -> None:
        """What the model wrote next."""
        self._length += len(text)
        if self._length <= _MAX_TEXT:
            self._pieces.append(text)
            self._known = None

    def text(self) -> str:
        """All of it; "" if it is more than is kept."""
        return self._read()[0]

    def grounding(self, raw: msgspec.Raw, choice: int, origin: str) -> list[Citation]:
        """The citations of a `groundingMetadata`, those left out that were told before."""
        try:
            found = _grounding.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return []
        sources = [chunk.source() for chunk in found.grounding_chunks]
        events = []
        cited = set()
        for support in found.grounding_supports:
            segment = support.segment
            place = self._place(segment.start_index, segment.end_index, segment.text)
            for index in support.grounding_chunk_indices:
                source = sources[index] if 0 <= index < len(sources) else None
                if source is not None:
                    cited.add(index)
                    events += self._tell(source, place, choice, origin)
        for index, source in enumerate(sources):
            if source is not None and index not in cited:
                events += self._tell(source, (None, None), choice, origin)
        return events

    def citations(self, raw: msgspec.Raw, choice: int, origin: str) -> list[Citation]:
        """The citations of a `citationMetadata`."""
        try:
            found = _citations.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return []
        events = []
        for cited in (*found.citations, *found.citation_sources):
            place = self._place(cited.start_index or 0, cited.end_index, "")
            events += self._tell(_Source(cited.uri, cited.title), place, choice, origin)
        return events

    def spell(self, citations: list[Citation]) -> dict[str, Any]:
        """A `groundingMetadata` of citations."""
        chunks: list[dict[str, Any]] = []
        supports = []
        indices: dict[tuple[str, str], int] = {}
        text = self.text()
        for citation in citations:
            key = citation.url, citation.title
            if key not in indices:
                indices[key] = len(chunks)
                source = {"uri": citation.url, "title": citation.title}
                chunks.append({"web": {name: said for name, said in source.items() if said}})
            start, end = citation.start, citation.end
            if start is None or end is None or not 0 <= start <= end <= len(text):
                continue
            segment: dict[str, Any] = {
                "startIndex": len(text[:start].encode()),
                "endIndex": len(text[:end].encode()),
                "text": text[start:end],
            }
            supports.append({"segment": segment, "groundingChunkIndices": [indices[key]]})
        found: dict[str, Any] = {"groundingChunks": chunks}
        if supports:
            found["groundingSupports"] = supports
        return found

    def _tell(
        self,
        source: _Source,
        place: tuple[int | None, int | None],
        choice: int,
        origin: str,
    ) -> list[Citation]:
        key = (source.uri or source.title, *place)
        if key in self._told:
            return []
        self._told.add(key)
        start, end = place
        return [
            Citation(
                url=source.uri,
                title=source.title,
                start=start,
                end=end,
                origin=origin,
                choice=choice,
            )
        ]

    def _place(self, start: int, end: int | None, said: str) -> tuple[int | None, int | None]:
        """A segment's place in characters; `said` is its text, if that is known."""
        text, spelled = self._read()
        if end is None or not 0 <= start <= end:
            return None, None
        if end <= len(spelled):
            first = len(spelled[:start].decode("utf-8", "replace"))
            last = len(spelled[:end].decode("utf-8", "replace"))
            if not said or text[first:last] == said:
                return first, last
        first = text.find(said) if said else -1
        return (first, first + len(said)) if first >= 0 else (None, None)

    def _read(self) -> tuple[str, bytes]:
        if self._known is None:
            text = "".join(self._pieces) if self._length <= _MAX_TEXT else ""
            # A lone surrogate that came escaped has no bytes, and no place either.
            self._known = text, text.encode("utf-8", "replace")
        return self._known
