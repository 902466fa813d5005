"""Gemini: https://ai.google.dev/api/generate-content."""

from typing import Any
from urllib.parse import parse_qs

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._gemini.endpoint import Gemini, add_instruction
from proxy.dialects._gemini.read import read_chat
from proxy.dialects._gemini.render import render_chat
from proxy.dialects._gemini.stream import StreamDecoder, StreamEncoder
from proxy.dialects._gemini.whole import decode_whole, encode_whole
from proxy.dialects._gemini.wire import encode
from proxy.errors import BadResponse, ProxyError
from proxy.event import End, Event, Failure
from proxy.exchange import ParsedRequest

_PLACES = (
    *("/v1beta/models", "/v1/models", "/v1alpha/models", "/v1beta/tunedModels"),
    *("/v1beta1/publishers", "/v1/publishers", "/v1beta1/projects", "/v1/projects"),
)
_METHODS = ("generateContent", "streamGenerateContent")


class GeminiGenerate(Gemini):
    """``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent``.

    A stream is server-sent events where the query has ``alt=sse``, else one growing JSON array.
    """

    name = "gemini"
    path = "/v1beta/models/{model}:generateContent"
    stream_path = "/v1beta/models/{model}:streamGenerateContent"
    aliases = tuple(f"{place}/{{model}}:{method}" for place in _PLACES for method in _METHODS)
    operation = "generate_content"
    form = "chat"
    arrays = True
    stream_query = "alt=sse"
    methods = _METHODS

    def add_system(self, request: ParsedRequest, text: str) -> None:
        request.set(*add_instruction(request.fields, text))

    def read(self, request: ParsedRequest) -> Chat:
        array = request.stream and parse_qs(request.query).get("alt", [""])[-1] != "sse"
        return read_chat(request.body(), request.model or "", stream=request.stream, array=array)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        return encode(render_chat(ask, rendering))

    def decode(self, body: bytes) -> list[Event]:
        if body[:64].lstrip().startswith(b"["):
            # A stream in its other form: not every server of this API heeds `alt=sse`.
            decoder = StreamDecoder()
            events = [*decoder.feed(body), *decoder.close()]
            if not events or type(events[-1]) not in (End, Failure):
                raise BadResponse("the provider's answer is an array that was cut off")
            return events
        return decode_whole(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return encode_whole(ask, events)

    def decoder(self) -> Decoder:
        return StreamDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        return StreamEncoder(ask)

    def error_element(self, error: ProxyError, *, first: bool) -> bytes:
        return b"%b%b\n]" % (b"[" if first else b",\n", self.error(error))

    def content_type(self, ask: Any, *, stream: bool) -> bytes:
        if stream and isinstance(ask, Chat) and ask.array:
            return b"application/json"
        return super().content_type(ask, stream=stream)
