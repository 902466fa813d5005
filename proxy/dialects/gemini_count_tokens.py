"""Gemini's token counting: https://ai.google.dev/api/tokens."""

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialects._counting import counted, read_count
from proxy.dialects._gemini.endpoint import Gemini, add_instruction, items
from proxy.dialects._gemini.fields import Fields
from proxy.dialects._gemini.path import resource
from proxy.dialects._gemini.read import read_fields
from proxy.dialects._gemini.render import render_question
from proxy.dialects._gemini.wire import encode
from proxy.errors import BadRequest
from proxy.event import End, Event, Usage, Used
from proxy.exchange import ParsedRequest

_WHOLE = ("generateContentRequest", "generate_content_request")


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: int
    cached_content_token_count: int = 0


_counted = msgspec.json.Decoder(_Counted).decode


class GeminiCountTokens(Gemini):
    """``POST /v1beta/models/{model}:countTokens``: how many tokens a request would have.

    The Gemini API is asked of a whole request, or of contents alone; Vertex AI of the fields of a
    request.
    """

    name = "gemini_count_tokens"
    path = "/v1beta/models/{model}:countTokens"
    aliases = tuple(
        f"{place}/{{model}}:countTokens"
        for place in ("/v1/models", "/v1beta1/publishers", "/v1/publishers", "/v1beta1/projects")
    )
    operation = "count_tokens"
    form = "count"
    methods = ("countTokens",)

    def add_system(self, request: ParsedRequest, text: str) -> None:
        fields = request.fields
        for name in _WHOLE:
            if name in fields:
                whole = dict(Fields(fields[name], name).members)
                key, instruction = add_instruction(whole, text)
                request.set(name, whole | {key: instruction})
                return
        if "systemInstruction" in fields or "system_instruction" in fields:
            request.set(*add_instruction(fields, text))
            return
        # Contents alone have no place for it; as the user's words it counts the same.
        own = items(fields["contents"]) if "contents" in fields else []
        request.set("contents", [{"role": "user", "parts": [{"text": text}]}, *own])

    def name_model(self, request: ParsedRequest, model: str) -> None:
        # A whole request names the model once more, and it must be the same.
        for name in _WHOLE:
            if name in request.fields:
                whole = Fields(request.fields[name], name).members
                request.set(name, whole | {"model": resource(model)})

    def read(self, request: ParsedRequest) -> Chat:
        fields = Fields(request.body())
        whole = fields.object(_WHOLE[0])
        if whole is not None and "contents" in fields.members:
            raise BadRequest(f"`contents` and `{_WHOLE[0]}` exclude each other", param="contents")
        return read_fields(whole or fields, request.model or "")

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        body = render_question(ask, rendering)
        if rendering.quirks.counts_whole_requests and len(body) > 1:
            body["model"] = resource(rendering.model)
            body = {_WHOLE[0]: body}
        return encode(body)

    def decode(self, body: bytes) -> list[Event]:
        found = read_count(_counted, body)
        usage = Usage(found.total_tokens, cached_tokens=found.cached_content_token_count)
        return [Used(usage), End()]

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        usage = counted(events)
        spelled = {"totalTokens": usage.input_tokens}
        if usage.cached_tokens:
            spelled["cachedContentTokenCount"] = usage.cached_tokens
        return encode(spelled)
