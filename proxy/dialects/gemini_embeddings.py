"""Gemini's embeddings, several at once: https://ai.google.dev/api/embeddings."""

import msgspec

from proxy.chat import Ask, Embedding, Rendering
from proxy.dialects._embeddings import Answer, of_events, read_answer, to_events
from proxy.dialects._gemini.embedding import answers, read_embedding, render_requests
from proxy.dialects._gemini.endpoint import Gemini
from proxy.dialects._gemini.fields import Fields
from proxy.dialects._gemini.path import resource
from proxy.dialects._gemini.wire import encode
from proxy.errors import BadRequest
from proxy.event import Event
from proxy.exchange import ParsedRequest

_requests = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class GeminiEmbeddings(Gemini):
    """``POST /v1beta/models/{model}:batchEmbedContents``; instructs no model."""

    name = "gemini_embeddings"
    path = "/v1beta/models/{model}:batchEmbedContents"
    aliases = ("/v1/models/{model}:batchEmbedContents",)
    operation = "embeddings"
    form = "embedding"
    methods = ("batchEmbedContents",)

    def add_system(self, request: ParsedRequest, text: str) -> None:
        pass

    def name_model(self, request: ParsedRequest, model: str) -> None:
        # Each of them names the model once more, and it must be the same.
        try:
            requests = _requests.decode(request.fields["requests"])
        except (KeyError, msgspec.ValidationError) as error:
            raise BadRequest("`requests` must be a list", param="requests") from error
        request.set("requests", [each | {"model": resource(model)} for each in requests])

    def read(self, request: ParsedRequest) -> Embedding:
        requests = Fields(request.body()).objects("requests")
        if not requests:
            raise BadRequest("`requests` must hold at least one request", param="requests")
        return read_embedding(requests, request.model or "")

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        return encode({"requests": render_requests(ask, rendering.model, rendering.omissions)})

    def decode(self, body: bytes) -> list[Event]:
        found = read_answer(answers, body)
        usage = None if found.usage_metadata is None else found.usage_metadata.usage()
        vectors = [each.values for each in found.embeddings or []]
        return to_events(Answer("", vectors, usage))

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        answer = of_events(ask, events)
        found: dict[str, object] = {"embeddings": [{"values": each} for each in answer.vectors]}
        if answer.usage is not None:
            found["usageMetadata"] = {"promptTokenCount": answer.usage.input_tokens}
        return encode(found)
