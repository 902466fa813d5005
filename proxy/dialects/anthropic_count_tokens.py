"""Anthropic's token counting: https://docs.claude.com/en/api/messages-count-tokens."""

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialects._anthropic import Anthropic, encode, read_chat, render_question
from proxy.dialects._counting import counted, read_count
from proxy.event import End, Event, Usage, Used
from proxy.exchange import ParsedRequest


class _Counted(msgspec.Struct):
    input_tokens: int


_counted = msgspec.json.Decoder(_Counted).decode


class AnthropicCountTokens(Anthropic):
    """``POST /v1/messages/count_tokens``: how many tokens a request would have, and no answer."""

    name = "anthropic_count_tokens"
    path = "/v1/messages/count_tokens"
    aliases = ("/messages/count_tokens",)
    operation = "count_tokens"
    form = "count"

    def read(self, request: ParsedRequest) -> Chat:
        return read_chat(request, answers=False)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        return encode({"model": rendering.model, **render_question(self._chat(ask), rendering)})

    def decode(self, body: bytes) -> list[Event]:
        return [Used(Usage(input_tokens=read_count(_counted, body).input_tokens)), End()]

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return encode({"input_tokens": counted(events).input_tokens})
