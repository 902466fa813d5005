"""Anthropic's Messages: https://docs.claude.com/en/api/messages."""

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._anthropic import (
    AnswerEncoder,
    Anthropic,
    SSEDecoder,
    StreamEncoder,
    encode,
    read_answer,
    read_chat,
    render_chat,
)
from proxy.event import Event
from proxy.exchange import ParsedRequest


class AnthropicMessages(Anthropic):
    """``POST /v1/messages``, of either API version.

    The versions differ in what they refuse: sampling (`temperature`, `top_p`, `top_k`) is refused
    by 2026-10-21 and taken by 2023-06-01. Which one a provider is asked for, and with it what is
    left out for it, is the provider's affair (:class:`proxy.chat.Quirks`).
    """

    name = "anthropic_messages"
    path = "/v1/messages"
    aliases = ("/messages",)
    operation = "chat"
    form = "chat"

    def read(self, request: ParsedRequest) -> Chat:
        return read_chat(request, answers=True)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        chat = self._chat(ask)
        body = {"model": rendering.model, **render_chat(chat, rendering)}
        if chat.stream:
            body["stream"] = True
        return encode(body)

    def decode(self, body: bytes) -> list[Event]:
        return read_answer(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return AnswerEncoder(self._chat(ask)).answer(events)

    def decoder(self) -> Decoder:
        return SSEDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        return StreamEncoder(self._chat(ask))
