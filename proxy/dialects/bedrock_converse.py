"""Amazon Bedrock's Converse, of every model there.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import msgspec

from proxy.chat import Ask, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._bedrock import Bedrock
from proxy.dialects._bedrock.answer import encode_answer, read_answer
from proxy.dialects._bedrock.decoder import StreamDecoder
from proxy.dialects._bedrock.encoder import StreamEncoder
from proxy.dialects._bedrock.reading import read_chat
from proxy.dialects._bedrock.request import render_chat
from proxy.event import Event
from proxy.exchange import ParsedRequest


class BedrockConverse(Bedrock):
    """``POST /model/{model}/converse``, and ``converse-stream``."""

    name = "bedrock_converse"
    path = "/model/{model}/converse"
    stream_path = "/model/{model}/converse-stream"
    operation = "chat"
    form = "chat"

    def read(self, request: ParsedRequest) -> Ask:
        return read_chat(request)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        return msgspec.json.encode(render_chat(self._chat(ask), rendering))

    def decode(self, body: bytes) -> list[Event]:
        return read_answer(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return encode_answer(self._chat(ask), events)

    def decoder(self) -> Decoder:
        return StreamDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        return StreamEncoder(self._chat(ask))
