"""Embeddings on Amazon Bedrock: Titan's models take one text, Cohere's several.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

import msgspec

from proxy.chat import Ask, Embedding, Omissions, Rendering
from proxy.dialects._embeddings import (
    Answer,
    ProvidersEmbeddings,
    asked,
    cohere_fields,
    only,
    read_answer,
    texts_of,
    to_events,
)
from proxy.event import Event, Usage


class _Vectors(msgspec.Struct, rename={"floats": "float"}):
    floats: list[list[float]] = []


class _Answer(msgspec.Struct, rename={"tokens": "inputTextTokenCount"}):
    # Titan's
    embedding: list[float] | None = None
    tokens: int | None = None
    # Cohere's, which says what it counted in a field of the head
    embeddings: _Vectors | list[list[float]] | None = None


_answer = msgspec.json.Decoder(_Answer)


class BedrockEmbeddings(ProvidersEmbeddings):
    """``POST /model/{model}/invoke``, for models named ``titan-embed-text`` or ``cohere.embed``."""

    name = "bedrock_embeddings"
    family = "bedrock"
    path = "/model/{model}/invoke"
    model_in_path = True

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        model, omissions = rendering.model, rendering.omissions
        if "titan-embed-text" in model:
            return _titan(asked(ask, omissions), omissions)
        if "cohere.embed" in model:
            embedding = asked(ask, omissions, keeps=("task",))
            return msgspec.json.encode(cohere_fields(embedding, omissions))
        omissions.refuse(f"an input for the model `{model}`", param="model")

    def decode(self, body: bytes) -> list[Event]:
        found = read_answer(_answer, body)
        vectors = found.embeddings or []
        if isinstance(vectors, _Vectors):
            vectors = vectors.floats
        elif found.embedding is not None:
            vectors = [found.embedding]
        return to_events(Answer("", vectors, None if found.tokens is None else Usage(found.tokens)))


def _titan(embedding: Embedding, omissions: Omissions) -> bytes:
    texts = texts_of(embedding, omissions)
    if len(texts) != 1:
        omissions.refuse(
            f"more than one input in a request (there are {len(texts)})", param="input"
        )
    return msgspec.json.encode(only({"inputText": texts[0], "dimensions": embedding.dimensions}))
