"""OpenAI embeddings: https://platform.openai.com/docs/api-reference/embeddings."""

import msgspec

from proxy.chat import Ask, Embedding, Rendering
from proxy.dialects._embeddings import (
    Answer,
    asked,
    of_events,
    only,
    pack,
    read_answer,
    to_events,
    unpack,
)
from proxy.dialects._openai import OpenAI
from proxy.dialects._openai.fields import TEXT, WHOLE, Fields
from proxy.event import Event, Usage
from proxy.exchange import ParsedRequest

_inputs = msgspec.json.Decoder(str | list[str | int | list[int]])
_TASKS = {
    "query": "search_query",
    "passage": "search_document",
    "document": "search_document",
}
"""What others that speak like OpenAI call what Cohere has other words for."""


class _Vector(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str | None = None
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


class OpenAIEmbeddings(OpenAI):
    """``POST /v1/embeddings``; instructs no model, so a system prompt does not concern it."""

    name = "openai_embeddings"
    path = "/v1/embeddings"
    operation = "embeddings"
    form = "embedding"

    def add_system(self, request: ParsedRequest, text: str) -> None:
        pass

    def read(self, request: ParsedRequest) -> Embedding:
        fields = Fields(dict(request.fields))
        fields.raw("model")
        shape = fields.take("encoding_format", TEXT)
        if shape not in (None, "float", "base64"):
            raise fields.wrong("encoding_format", '"float" or "base64"')
        found = Embedding(
            model=request.model or "",
            inputs=_read_inputs(fields),
            dimensions=fields.take("dimensions", WHOLE),
            base64=shape == "base64",
            user=fields.take("user", TEXT),
            origin=self.name,
        )
        task = fields.take("input_type", TEXT)
        found.task = _TASKS.get(task, task) if task is not None else None
        found.extra = fields.rest()
        return found

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        refused = rendering.quirks.refuses
        embedding = asked(ask, rendering.omissions, keeps=() if "user" in refused else ("user",))
        body = {
            "model": rendering.model,
            "input": embedding.inputs,
            "dimensions": embedding.dimensions,
            "encoding_format": "base64" if embedding.base64 else None,
            "user": None if "user" in refused else embedding.user,
        }
        extra = embedding.extra if embedding.origin == self.name else {}
        return msgspec.json.encode(only(body) | extra)

    def decode(self, body: bytes) -> list[Event]:
        found = read_answer(_answer, body)
        placed = sorted(
            (place if each.index is None else each.index, place, each.embedding)
            for place, each in enumerate(found.data)
        )
        vectors = [unpack(said) if isinstance(said, str) else said for _, _, said in placed]
        usage = None
        if found.usage is not None:
            prompt = found.usage.prompt_tokens
            usage = Usage((found.usage.total_tokens if prompt is None else prompt) or 0)
        return to_events(Answer(found.model or "", vectors, usage))

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        answer = of_events(ask, events)
        packs = isinstance(ask, Embedding) and ask.base64
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": pack(values) if packs else values,
            }
            for index, values in enumerate(answer.vectors)
        ]
        tokens = 0 if answer.usage is None else answer.usage.input_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return msgspec.json.encode(
            {"object": "list", "data": data, "model": answer.model, "usage": usage}
        )


def _read_inputs(fields: Fields) -> list[str] | list[list[int]]:
    """A text, tokens, or a list of either."""
    found = fields.need("input", _inputs)
    if isinstance(found, str):
        return [found]
    texts = [each for each in found if isinstance(each, str)]
    lists = [each for each in found if isinstance(each, list)]
    tokens = [each for each in found if isinstance(each, int)]
    if texts and len(texts) == len(found):
        return texts
    if lists and len(lists) == len(found):
        return lists
    if tokens and len(tokens) == len(found):
        return [tokens]
    raise fields.wrong("input", "a text, tokens, or a list of either")
