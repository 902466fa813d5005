"""Claude on Amazon Bedrock, in Anthropic's Messages: the body is theirs, the frames are AWS's.

Newer models (from 4.7 on) are served with Anthropic's own API and streams, and need none of this.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

import msgspec

from proxy.chat import Ask, Chat, Rendering
from proxy.dialect import Decoder, Encoder
from proxy.dialects._anthropic.answer import AnswerEncoder
from proxy.dialects._anthropic.encoder import PIECES, StreamEncoder
from proxy.dialects._anthropic.reader import Reader, read_answer
from proxy.dialects._anthropic.rendering import render_chat
from proxy.dialects._anthropic.request import read_chat
from proxy.dialects._bedrock import Bedrock
from proxy.dialects._bedrock.frames import FrameDecoder, event_frame
from proxy.event import Event
from proxy.exchange import ParsedRequest

VERSION = "bedrock-2023-05-31"


class _Chunk(msgspec.Struct, gc=False):
    bytes: bytes


_chunk = msgspec.json.Decoder(_Chunk).decode
_betas = msgspec.json.Decoder(list[str]).decode


def _with_own(betas: list[str], own: msgspec.Raw | None) -> list[str] | msgspec.Raw:
    """Features that were asked for in the head, after those (`own`) that the body asks for."""
    try:
        said = [] if own is None else _betas(own)
    except msgspec.ValidationError:
        return own if own is not None else betas  # the provider is to say what is wrong with it
    return [*said, *(beta for beta in betas if beta not in said)]


class ChunkDecoder(FrameDecoder):
    """Makes events of a stream whose messages each hold one of Anthropic's events, in base64."""

    __slots__ = ("_reader",)

    def __init__(self) -> None:
        super().__init__()
        self._reader = Reader()

    def close(self) -> list[Event]:
        """Nothing: the end is said, or it did not come."""
        return []

    def _read(self, kind: str, payload: bytes) -> list[Event]:
        if kind != "chunk":
            return []
        events = self._reader.read(_chunk(payload).bytes)
        self._over = self._reader.done
        return events


class ChunkEncoder(StreamEncoder):
    """Makes such a stream of events."""

    def _piece(self, text: str) -> None:
        kind, member = PIECES[self._kind]
        self._say({"type": kind.decode(), member.decode(): text})

    def _frame(self, kind: str, data: bytes) -> bytes:
        return event_frame("chunk", {"bytes": data})


class BedrockMessages(Bedrock):
    """``POST /model/{model}/invoke``, and ``invoke-with-response-stream``, of Claude."""

    name = "bedrock_messages"
    path = "/model/{model}/invoke"
    stream_path = "/model/{model}/invoke-with-response-stream"
    operation = "chat"
    form = "chat"

    def read(self, request: ParsedRequest) -> Chat:
        named = request.branch()
        named.set("model", request.model)
        chat = read_chat(named, answers=True)
        chat.stream = request.stream
        chat.extra.pop("anthropic_version", None)
        return chat

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        chat = self._chat(ask)
        body = render_chat(chat, rendering)
        taken = [beta for beta in chat.betas if beta in rendering.quirks.betas]
        if taken:
            body["anthropic_beta"] = _with_own(taken, body.get("anthropic_beta"))
        return msgspec.json.encode({"anthropic_version": VERSION, **body})

    def decode(self, body: bytes) -> list[Event]:
        return read_answer(body)

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return AnswerEncoder(self._chat(ask)).answer(events)

    def encoder(self, ask: Ask) -> Encoder:
        return ChunkEncoder(self._chat(ask))

    def decoder(self) -> Decoder:
        return ChunkDecoder()
