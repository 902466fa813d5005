"""Amazon Bedrock's Converse, which only we speak, to providers.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Dialect, Encoder, Watch
from proxy.dialects._refusals import plain, refused
from proxy.dialects.bedrock_converse.answer import encode_answer, read_answer
from proxy.dialects.bedrock_converse.reading import read_chat
from proxy.dialects.bedrock_converse.request import render_chat
from proxy.dialects.bedrock_converse.stream import StreamDecoder, StreamEncoder
from proxy.errors import ProviderRefused, ProxyError, Unsupported
from proxy.event import Event
from proxy.exchange import ParsedRequest
from proxy.framing.aws_eventstream import encode_message
from proxy.framing.usage import UsageWatch

STREAM_TYPE = b"application/vnd.amazon.eventstream"

_TOO_LONG = ("input is too long", "too many input tokens", "exceeds the context window")


class _Body(msgspec.Struct, frozen=True):
    message: str = ""


_body = msgspec.json.Decoder(_Body).decode


class BedrockConverse(Dialect):
    """``POST /model/{model}/converse``, and ``converse-stream``."""

    name = "bedrock_converse"
    family = "bedrock"
    path = "/model/{model}/converse"
    stream_path = "/model/{model}/converse-stream"
    operation = "chat"
    form = "chat"
    model_in_path = True
    client_facing = False

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        model, _, method = path.removeprefix("/model/").rpartition("/")
        stream = method == "converse-stream"
        return ParsedRequest(raw=body, model=unquote(model), stream=stream, path=path)

    def ask_usage(self, request: ParsedRequest) -> bool:
        return False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        raise Unsupported("no client speaks Converse to the proxy")

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return UsageWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        try:
            words, fit = _body(body).message, True
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            words, fit = plain(body), False
        if status == 403:
            # Their credentials' faults have this status as well as those of rights to a model.
            return ProviderRefused(words[:500] or "access was denied", status=403), fit
        if status == 424:
            status = 502
        too_long = any(phrase in words.lower() for phrase in _TOO_LONG)
        return refused(status, words, fit=fit, too_long=too_long), fit

    def failure(self, chunk: bytes) -> ProxyError | None:
        return None

    def error(self, error: ProxyError) -> bytes:
        return msgspec.json.encode({"message": str(error)})

    def error_event(self, error: ProxyError) -> bytes:
        headers = {
            ":exception-type": "internalServerException",
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        return encode_message(headers, self.error(error))

    def read(self, request: ParsedRequest) -> Ask:
        return read_chat(request)

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        return msgspec.json.encode(render_chat(ask, rendering))

    def decode(self, body: bytes) -> list[Event]:
        return read_answer(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        assert isinstance(ask, Chat)
        return encode_answer(ask, events)

    def decoder(self) -> Decoder:
        return StreamDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        assert isinstance(ask, Chat)
        return StreamEncoder(ask)

    def content_type(self, ask: Any, *, stream: bool) -> bytes:
        return STREAM_TYPE if stream else b"application/json"
