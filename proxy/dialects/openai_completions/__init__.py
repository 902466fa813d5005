"""OpenAI's legacy completions: https://platform.openai.com/docs/api-reference/completions."""

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._openai import OpenAI
from proxy.dialects.openai_completions.answer import answer
from proxy.dialects.openai_completions.decoder import CompletionsDecoder
from proxy.dialects.openai_completions.encoder import CompletionsEncoder
from proxy.dialects.openai_completions.render import render
from proxy.dialects.openai_completions.request import read
from proxy.errors import Unsupported
from proxy.event import Event
from proxy.exchange import ParsedRequest


class OpenAICompletions(OpenAI):
    """``POST /v1/completions``."""

    name = "openai_completions"
    path = "/v1/completions"
    operation = "text_completion"
    form = "chat"
    has_usage_option = True

    def add_system(self, request: ParsedRequest, text: str) -> None:
        raise Unsupported("this route has a system prompt, and /v1/completions has no place for it")

    def read(self, request: ParsedRequest) -> Ask:
        return read(request.fields, stream=request.stream)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        return render(ask, rendering)

    def decode(self, body: bytes) -> list[Event]:
        return CompletionsDecoder().whole(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        assert isinstance(ask, Chat)
        return answer(ask, events)

    def decoder(self) -> Decoder:
        return CompletionsDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        assert isinstance(ask, Chat)
        return CompletionsEncoder(ask, self.error_event)
