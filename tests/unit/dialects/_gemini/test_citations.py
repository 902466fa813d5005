"""Where text comes from, counted in bytes and in characters."""

import json
from typing import Any

import msgspec
import pytest

from proxy.dialects._gemini.citations import Written
from proxy.event import Citation

Raw = msgspec.Raw
SOURCES = [{"web": {"uri": "http://a", "title": "A"}}, {"web": {"uri": "http://b"}}]


def written(*pieces: str) -> Written:
    found = Written()
    for piece in pieces:
        found.add(piece)
    return found


def grounding(**said: Any) -> Raw:
    return Raw(json.dumps(said).encode())


def support(start: int, end: int, text: str, *indices: int) -> dict[str, Any]:
    segment = {"startIndex": start, "endIndex": end, "text": text}
    return {"segment": segment, "groundingChunkIndices": list(indices)}


def cited(url: str, title: str, start: int | None = None, end: int | None = None) -> Citation:
    return Citation(url=url, title=title, start=start, end=end, origin="gemini")


def test_places_are_counted_in_bytes_there_and_in_characters_here() -> None:
    text = written("Größe: ", "20 °C. ", "Warm")
    raw = grounding(
        groundingChunks=SOURCES,
        groundingSupports=[support(0, 15, "Größe: 20 °C", 0), support(17, 21, "Warm", 0, 1)],
    )

    assert (
        text.grounding(raw, 0, "gemini")
        == [
            cited("http://a", "A", 0, 12),
            cited("http://a", "A", 14, 18),
            cited("http://b", "", 14, 18),
        ]
        or text.text() == "Größe: 20 °C. Warm"
    )


def test_what_was_told_is_not_told_again() -> None:
    """Each chunk may restate it."""
    text = written("abc")
    raw = grounding(groundingChunks=SOURCES[:1], groundingSupports=[support(0, 3, "abc", 0)])

    assert len(text.grounding(raw, 0, "gemini")) == 1
    assert text.grounding(raw, 0, "gemini") == []


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (support(1, 4, "bcd", 0), (1, 4)),
        (support(0, 3, "cde", 0), (2, 5)),
        (support(2, 900, "cde", 0), (2, 5)),
        (support(0, 3, "xyz", 0), (None, None)),
        (support(0, 900, "xyz", 0), (None, None)),
        (support(5, 2, "cde", 0), (None, None)),
        ({"segment": {"text": "cde"}, "groundingChunkIndices": [0]}, (None, None)),
        ({"segment": {"endIndex": 3}, "groundingChunkIndices": [0]}, (0, 3)),
    ],
)
def test_a_place_is_told_where_its_text_stands(
    found: dict[str, Any], place: tuple[int | None, int | None]
) -> None:
    raw = grounding(groundingChunks=SOURCES[:1], groundingSupports=[found])

    assert written("abcdef").grounding(raw, 0, "gemini") == [cited("http://a", "A", *place)]


def test_a_source_without_a_place_is_one_all_the_same() -> None:
    raw = grounding(
        groundingChunks=[
            {"retrievedContext": {"uri": "gs://x", "title": "X"}},
            {"maps": {"uri": "http://m"}},
            {"image": {}},
        ]
    )

    assert written().grounding(raw, 0, "gemini") == [cited("gs://x", "X"), cited("http://m", "")]


def test_a_citation_metadata_has_places_of_its_own() -> None:
    said = {"uri": "http://a", "startIndex": 2, "endIndex": 4}
    for name in ("citations", "citationSources"):
        raw = Raw(json.dumps({name: [said]}).encode())
        assert written("ééé").citations(raw, 0, "gemini") == [cited("http://a", "", 1, 2)]


@pytest.mark.parametrize("raw", [b"[]", b'{"groundingChunks":7,"citations":7}', b'"x"', b"{}"])
def test_what_cannot_be_read_cites_nothing(raw: bytes) -> None:
    assert written("abc").grounding(Raw(raw), 0, "gemini") == []
    assert written("abc").citations(Raw(raw), 0, "gemini") == []


def test_places_in_a_text_without_end_are_not_told() -> None:
    text = written("abc", "x" * (1 << 20))
    raw = grounding(groundingChunks=SOURCES[:1], groundingSupports=[support(0, 3, "abc", 0)])

    assert text.text() == ""
    assert text.grounding(raw, 0, "gemini") == [cited("http://a", "A")]


def test_citations_are_spelled_as_grounding() -> None:
    text = written("Größe: 20 °C")
    said = text.spell(
        [
            Citation(url="http://a", title="A", start=0, end=5),
            Citation(url="http://a", title="A", start=7, end=12),
            Citation(url="http://b", start=90, end=99),
            Citation(title="C"),
        ]
    )

    assert said == {
        "groundingChunks": [
            {"web": {"uri": "http://a", "title": "A"}},
            {"web": {"uri": "http://b"}},
            {"web": {"title": "C"}},
        ],
        "groundingSupports": [
            {
                "segment": {"startIndex": 0, "endIndex": 7, "text": "Größe"},
                "groundingChunkIndices": [0],
            },
            {
                "segment": {"startIndex": 9, "endIndex": 15, "text": "20 °C"},
                "groundingChunkIndices": [0],
            },
        ],
    }
    again = written("Größe: 20 °C").grounding(grounding(**said), 0, "gemini")
    assert [(citation.start, citation.end) for citation in again] == [
        (0, 5),
        (7, 12),
        (None, None),
        (None, None),
    ]
    assert written("x").spell([Citation(url="u")]) == {"groundingChunks": [{"web": {"uri": "u"}}]}


def test_a_lone_surrogate_has_no_place() -> None:
    raw = grounding(groundingChunks=SOURCES[:1], groundingSupports=[support(1, 4, "abc", 0)])

    assert written("\ud800abc").grounding(raw, 0, "gemini") == [cited("http://a", "A", 1, 4)]
