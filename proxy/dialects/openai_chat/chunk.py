"""What is read of a chunk, or of a whole answer, of OpenAI's Chat; the rest is passed over."""

import msgspec

from proxy.dialects._openai.chunks import ChoiceOf, Chunk, FirstChunk
from proxy.dialects._openai.logprobs import Token
from proxy.dialects.openai_chat.wire import Detail
from proxy.exchange import Raw


class Thought(msgspec.Struct, gc=False):
    text: str | None = None


class Piece(msgspec.Struct, gc=False):
    """A part of content that is a list (Mistral's)."""

    type: str = "text"
    text: str | None = None
    thinking: str | list[Thought] | None = None


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Raw] | None = None


class Custom(msgspec.Struct, gc=False):
    name: str | None = None
    input: str | None = None


class Google(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class Extra(msgspec.Struct, gc=False):
    google: Google | None = None


class CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Extra | None = None


class URL(msgspec.Struct, gc=False):
    url: str = ""


class Image(msgspec.Struct, gc=False):
    image_url: URL | None = None


class Audio(msgspec.Struct, gc=False):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | float | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | list[Piece] | dict[str, Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: Function | None = None
    annotations: list[Raw] | None = None
    images: list[Image] | None = None
    audio: Audio | None = None


class Tokens(msgspec.Struct, gc=False):
    content: list[Token] | None = None
    refusal: list[Token] | None = None


class Choice(ChoiceOf, gc=False):
    delta: Delta | None = None
    message: Delta | None = None
    logprobs: Tokens | None = None


class URLCitation(msgspec.Struct, gc=False):
    url: str = ""
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(msgspec.Struct, gc=False):
    type: str = ""
    url_citation: URLCitation | None = None


decode_chunk = msgspec.json.Decoder(Chunk[Choice])
decode_first = msgspec.json.Decoder(FirstChunk[Choice])
decode_annotation = msgspec.json.Decoder(Annotation)
