"""Embeddings of Vertex AI's text models.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

import msgspec

from proxy.chat import Ask, Rendering
from proxy.dialects._embeddings import (
    Answer,
    ProvidersEmbeddings,
    asked,
    only,
    read_answer,
    texts_of,
    to_events,
)
from proxy.dialects._gemini.embedding import TASK_WORDS
from proxy.dialects._gemini.errors import read_refusal
from proxy.errors import ProxyError
from proxy.event import Event, Usage


class _Statistics(msgspec.Struct):
    token_count: float | None = None


class _Embeddings(msgspec.Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Embeddings


class _Answer(msgspec.Struct):
    predictions: list[_Prediction]


_answer = msgspec.json.Decoder(_Answer)


class VertexEmbeddings(ProvidersEmbeddings):
    """``POST …/publishers/google/models/{model}:predict``."""

    name = "vertex_embeddings"
    family = "gemini"
    path = "/v1/publishers/google/models/{model}:predict"
    model_in_path = True

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        return read_refusal(status, body)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        embedding = asked(ask, rendering.omissions, keeps=("task",))
        task = embedding.task
        word = None if task is None else TASK_WORDS.get(task, task.upper())
        texts = texts_of(embedding, rendering.omissions)
        body: dict[str, object] = {
            "instances": [only({"content": text, "task_type": word}) for text in texts]
        }
        if embedding.dimensions is not None:
            body["parameters"] = {"outputDimensionality": embedding.dimensions}
        return msgspec.json.encode(body)

    def decode(self, body: bytes) -> list[Event]:
        found = [each.embeddings for each in read_answer(_answer, body).predictions]
        counts = [each.statistics.token_count for each in found if each.statistics is not None]
        known = [count for count in counts if count is not None]
        usage = Usage(int(sum(known))) if len(known) == len(found) else None
        return to_events(Answer("", [each.values for each in found], usage))
