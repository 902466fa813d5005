"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses."""

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._openai import OpenAI
from proxy.dialects.openai_responses.decoder import ResponsesDecoder
from proxy.dialects.openai_responses.encoder import ResponsesEncoder
from proxy.dialects.openai_responses.render import render
from proxy.dialects.openai_responses.request import read
from proxy.errors import BadRequest, ProxyError
from proxy.event import Event
from proxy.exchange import ParsedRequest

_text = msgspec.json.Decoder(str | None)


class OpenAIResponses(OpenAI):
    """``POST /v1/responses``; a model may be left to the stored prompt that it names."""

    name = "openai_responses"
    path = "/v1/responses"
    operation = "chat"
    form = "chat"
    needs_model = False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        try:
            own = _text.decode(request.fields.get("instructions", b"null"))
        except msgspec.ValidationError as error:
            raise BadRequest("`instructions` must be a string", param="instructions") from error
        request.set("instructions", f"{text}\n\n{own}" if own else text)

    def error_event(self, error: ProxyError) -> bytes:
        # The object is for SDKs that raise nothing without one; the rest is as the API has it.
        event = {
            "type": "error",
            "code": error.code,
            "message": str(error),
            "param": error.param,
            "sequence_number": 0,
            "error": self.error_object(error),
        }
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)

    def read(self, request: ParsedRequest) -> Ask:
        return read(request.fields, stream=request.stream)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        return render(ask, rendering)

    def decode(self, body: bytes) -> list[Event]:
        return ResponsesDecoder().whole(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        assert isinstance(ask, Chat)
        encoder = ResponsesEncoder(ask, self.error_event)
        encoder.feed(events)
        encoder.close()
        return encoder.whole()

    def decoder(self) -> Decoder:
        return ResponsesDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        assert isinstance(ask, Chat)
        return ResponsesEncoder(ask, self.error_event)
