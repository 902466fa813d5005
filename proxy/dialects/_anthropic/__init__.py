"""What Anthropic's endpoints share, wherever they are served.

https://docs.claude.com/en/api/messages
"""

import msgspec

from proxy.chat import Ask, Chat, Raw
from proxy.dialect import Dialect, Watch
from proxy.dialects._anthropic.answer import AnswerEncoder
from proxy.dialects._anthropic.decoder import SSEDecoder
from proxy.dialects._anthropic.encoder import StreamEncoder
from proxy.dialects._anthropic.errors import failure, read_refusal, spell_error, status_of
from proxy.dialects._anthropic.reader import Reader, read_answer
from proxy.dialects._anthropic.rendering import render_chat, render_question
from proxy.dialects._anthropic.request import read_chat
from proxy.dialects._anthropic.watch import CumulativeWatch
from proxy.dialects._anthropic.wire import encode
from proxy.errors import BadRequest, ProxyError
from proxy.exchange import ParsedRequest
from proxy.framing.envelope import parse_envelope

__all__ = [
    "AnswerEncoder",
    "Anthropic",
    "Reader",
    "SSEDecoder",
    "StreamEncoder",
    "encode",
    "read_answer",
    "read_chat",
    "render_chat",
    "render_question",
]

_system = msgspec.json.Decoder(str | list[Raw] | None).decode


class Anthropic(Dialect):
    """An endpoint of Anthropic's, or of anybody who speaks like it."""

    family = "anthropic"

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        request = parse_envelope(body)
        if request.model is None:
            raise BadRequest("`model` is required", param="model")
        return request

    def ask_usage(self, request: ParsedRequest) -> bool:
        return False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        try:
            own = _system(request.fields.get("system", b"null"))
        except msgspec.ValidationError as error:
            raise BadRequest(
                "`system` must be a string or an array of blocks", param="system"
            ) from error
        if isinstance(own, list):
            request.set("system", [{"type": "text", "text": text}, *own])
        else:
            request.set("system", f"{text}\n\n{own}" if own else text)

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return CumulativeWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        return read_refusal(status, body)

    def failure(self, chunk: bytes) -> ProxyError | None:
        return failure(chunk)

    def error(self, error: ProxyError) -> bytes:
        return spell_error(error)

    def error_event(self, error: ProxyError) -> bytes:
        return b"event: error\ndata: %b\n\n" % spell_error(error)

    def status(self, error: ProxyError) -> int:
        return status_of(error)

    def _chat(self, ask: Ask) -> Chat:
        assert isinstance(ask, Chat), "only dialects of one form are translated into each other"
        return ask
