"""Amazon Bedrock's token counting.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
"""

import msgspec

from proxy.chat import Ask, Rendering
from proxy.dialects._bedrock import Bedrock
from proxy.dialects._bedrock.reading import read_question
from proxy.dialects._bedrock.request import render_question
from proxy.dialects._counting import counted, read_count
from proxy.event import End, Event, Usage, Used
from proxy.exchange import ParsedRequest


class _Counted(msgspec.Struct, rename="camel"):
    input_tokens: int


_counted = msgspec.json.Decoder(_Counted).decode


class BedrockCountTokens(Bedrock):
    """``POST /model/{model}/count-tokens``: how many tokens a request to Converse would have."""

    name = "bedrock_count_tokens"
    path = "/model/{model}/count-tokens"
    operation = "count_tokens"
    form = "count"

    def read(self, request: ParsedRequest) -> Ask:
        return read_question(request)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        question = render_question(self._chat(ask), rendering)
        return msgspec.json.encode({"input": {"converse": question}})

    def decode(self, body: bytes) -> list[Event]:
        return [Used(Usage(input_tokens=read_count(_counted, body).input_tokens)), End()]

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return msgspec.json.encode({"inputTokens": counted(events).input_tokens})
