"""What dialects of embeddings share, and what those need that only providers speak."""

import struct
from base64 import b64decode, b64encode
from typing import Any, NamedTuple, TypeVar

import msgspec

from proxy.chat import Ask, Embedding, Omissions
from proxy.dialect import Dialect, Watch
from proxy.dialects._refusals import plain, refused
from proxy.errors import BadResponse, ProxyError
from proxy.event import Begin, End, Event, Usage, Used, Vector
from proxy.exchange import ParsedRequest
from proxy.framing.envelope import parse_envelope
from proxy.framing.usage import UsageWatch

T = TypeVar("T")


class Answer(NamedTuple):
    """A response, all of it."""

    model: str
    vectors: list[list[float]]
    """In the order of the inputs."""
    usage: Usage | None


class _Words(msgspec.Struct):
    message: Any = None
    # Bedrock writes some of them with a capital.
    Message: Any = None


_words = msgspec.json.Decoder(_Words)


class ProvidersEmbeddings(Dialect):
    """An endpoint for embeddings that only we speak, to providers; it fails with a `message`."""

    operation = "embeddings"
    client_facing = False
    form = "embedding"

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        return parse_envelope(body)

    def ask_usage(self, request: ParsedRequest) -> bool:
        return False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        pass

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return UsageWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        try:
            found = _words.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return refused(status, plain(body), fit=False), False
        words = str(found.message or found.Message or "")
        return refused(status, words, fit=True, too_long=self.too_long(words)), True

    def too_long(self, words: str) -> bool:
        """Whether a provider's words say that an input is too long."""
        return "too many" in words.lower() and "token" in words.lower()

    def failure(self, chunk: bytes) -> ProxyError | None:
        return None

    def error(self, error: ProxyError) -> bytes:
        return msgspec.json.encode({"message": str(error)})

    def error_event(self, error: ProxyError) -> bytes:
        return b"data: %b\n\n" % self.error(error)


def asked(ask: Ask, omissions: Omissions, *, keeps: tuple[str, ...] = ()) -> Embedding:
    """The request, its hints named that are left out: all but those in `keeps`."""
    assert isinstance(ask, Embedding), "only dialects of one form are translated into each other"
    for name in ("user", "task"):
        if name not in keeps:
            omissions.hint(name, getattr(ask, name))
    if ask.origin != omissions.dialect:
        for name in ask.extra:
            omissions.hint(name)
    return ask


def texts_of(ask: Embedding, omissions: Omissions) -> list[str]:
    """The inputs as texts. Raises Unsupported if they are tokens: whose, nobody says."""
    texts = [each for each in ask.inputs if isinstance(each, str)]
    if len(texts) != len(ask.inputs):
        omissions.refuse("an input of tokens", param="input")
    return texts


def only(values: dict[str, Any]) -> dict[str, Any]:
    """The members that are there."""
    return {name: value for name, value in values.items() if value is not None}


def read_answer(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """What a response's body says. Raises BadResponse."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadResponse("the provider's answer holds no embeddings").because(error) from error


def to_events(answer: Answer) -> list[Event]:
    """The events that a response is. Raises BadResponse for one without a vector."""
    if not answer.vectors:
        raise BadResponse("the provider's answer holds no embeddings")
    events: list[Event] = [Begin(model=answer.model)]
    events += [Vector(index, values) for index, values in enumerate(answer.vectors)]
    if answer.usage is not None:
        events.append(Used(answer.usage))
    return [*events, End()]


def of_events(ask: Ask, events: list[Event]) -> Answer:
    """The response that events are, to a client that asked `ask`."""
    model, usage = "", None
    vectors: dict[int, list[float]] = {}
    for event in events:
        if isinstance(event, Vector):
            vectors[event.index] = event.values
        elif isinstance(event, Used):
            usage = event.usage
        elif isinstance(event, Begin):
            model = event.model
    return Answer(model or ask.model, [vectors[index] for index in sorted(vectors)], usage)


def unpack(text: str) -> list[float]:
    """The numbers of a vector in base64 of little-endian float32. Raises BadResponse."""
    try:
        packed = b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, struct.error) as error:
        raise BadResponse("the provider's vectors are no base64 of float32") from error


def pack(values: list[float]) -> str:
    """A vector in base64 of little-endian float32. Raises BadResponse."""
    try:
        return b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError) as error:
        raise BadResponse("the provider's vectors do not fit float32") from error


def cohere_fields(embedding: Embedding, omissions: Omissions) -> dict[str, object]:
    """What Cohere's models are asked, wherever they are served."""
    return only(
        {
            "texts": texts_of(embedding, omissions),
            # Models since v3 take no request without one.
            "input_type": embedding.task or "search_document",
            "embedding_types": ["float"],
            "output_dimension": embedding.dimensions,
        }
    )
