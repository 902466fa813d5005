"""Gemini's embeddings, one at a time: https://ai.google.dev/api/embeddings."""

from proxy.chat import Ask, Embedding, Rendering
from proxy.dialects._embeddings import Answer, of_events, read_answer, to_events
from proxy.dialects._gemini.embedding import answers, read_embedding, render_requests
from proxy.dialects._gemini.endpoint import Gemini
from proxy.dialects._gemini.fields import Fields
from proxy.dialects._gemini.path import resource
from proxy.dialects._gemini.wire import encode
from proxy.event import Event
from proxy.exchange import ParsedRequest


class GeminiEmbedContent(Gemini):
    """``POST /v1beta/models/{model}:embedContent``; instructs no model."""

    name = "gemini_embed_content"
    path = "/v1beta/models/{model}:embedContent"
    aliases = tuple(
        f"{place}/{{model}}:embedContent"
        for place in ("/v1/models", "/v1beta1/publishers", "/v1/publishers", "/v1beta1/projects")
    )
    operation = "embeddings"
    form = "embedding"
    methods = ("embedContent",)

    def add_system(self, request: ParsedRequest, text: str) -> None:
        pass

    def name_model(self, request: ParsedRequest, model: str) -> None:
        if "model" in request.fields:
            request.set("model", resource(model))

    def read(self, request: ParsedRequest) -> Embedding:
        return read_embedding([Fields(request.body())], request.model or "")

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        requests = render_requests(ask, rendering.model, rendering.omissions)
        if len(requests) != 1:
            rendering.omissions.refuse("more than one input in a request", param="input")
        return encode(requests[0])

    def decode(self, body: bytes) -> list[Event]:
        found = read_answer(answers, body)
        usage = None if found.usage_metadata is None else found.usage_metadata.usage()
        vectors = [] if found.embedding is None else [found.embedding.values]
        return to_events(Answer("", vectors, usage))

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        answer = of_events(ask, events)
        found: dict[str, object] = {"embedding": {"values": answer.vectors[0]}}
        if answer.usage is not None:
            found["usageMetadata"] = {"promptTokenCount": answer.usage.input_tokens}
        return encode(found)
