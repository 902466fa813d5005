"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat."""

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._openai import OpenAI
from proxy.dialects.openai_chat.answer import answer
from proxy.dialects.openai_chat.decoder import ChatDecoder
from proxy.dialects.openai_chat.encoder import ChatEncoder
from proxy.dialects.openai_chat.render import render
from proxy.dialects.openai_chat.request import read
from proxy.errors import BadRequest
from proxy.event import Event
from proxy.exchange import ParsedRequest, Raw

_messages = msgspec.json.Decoder(list[Raw])


class OpenAIChat(OpenAI):
    """``POST /v1/chat/completions``."""

    name = "openai_chat"
    path = "/v1/chat/completions"
    operation = "chat"
    form = "chat"
    has_usage_option = True

    def add_system(self, request: ParsedRequest, text: str) -> None:
        try:
            messages = _messages.decode(request.fields["messages"])
        except (KeyError, msgspec.ValidationError) as error:
            raise BadRequest("`messages` must be an array", param="messages") from error
        system = Raw(msgspec.json.encode({"role": "system", "content": text}))
        request.set("messages", [system, *messages])

    def read(self, request: ParsedRequest) -> Ask:
        return read(request.fields, stream=request.stream)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        return render(ask, rendering)

    def decode(self, body: bytes) -> list[Event]:
        return ChatDecoder().whole(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        assert isinstance(ask, Chat)
        return answer(ask, events)

    def decoder(self) -> Decoder:
        return ChatDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        assert isinstance(ask, Chat)
        return ChatEncoder(ask, self.error_event)
