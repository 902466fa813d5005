"""Cohere's embeddings: https://docs.cohere.com/reference/embed."""

import msgspec

from proxy.chat import Ask, Rendering
from proxy.dialects._embeddings import (
    Answer,
    ProvidersEmbeddings,
    asked,
    cohere_fields,
    read_answer,
    to_events,
)
from proxy.event import Event, Usage


class _Units(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None


class _Vectors(msgspec.Struct, rename={"floats": "float"}):
    floats: list[list[float]] = []


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


_answer = msgspec.json.Decoder(_Answer)


class CohereEmbeddings(ProvidersEmbeddings):
    """``POST /v2/embed``."""

    name = "cohere_embeddings"
    family = "cohere"
    path = "/v2/embed"

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        embedding = asked(ask, rendering.omissions, keeps=("task",))
        fields = cohere_fields(embedding, rendering.omissions)
        return msgspec.json.encode({"model": rendering.model, **fields})

    def decode(self, body: bytes) -> list[Event]:
        found = read_answer(_answer, body)
        units = None if found.meta is None else found.meta.billed_units
        tokens = None if units is None else units.input_tokens
        usage = None if tokens is None else Usage(int(tokens))
        return to_events(Answer("", found.embeddings.floats, usage))
