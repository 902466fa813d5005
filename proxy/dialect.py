"""A dialect: how one API family spells one endpoint's requests, responses, streams and errors.

Pure: nothing in a dialect waits, reads or writes. One instance serves every exchange; what
belongs to one response lives in the watch, decoder or encoder that is made for it.

Where client and provider speak the same dialect, bytes pass through and a :class:`Watch` looks
on. Where they do not, the client's dialect *reads* the request into the neutral form and the
provider's *renders* it; the provider's *decodes* the response into events, and the client's
*encodes* them.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn, Protocol

from proxy.chat import Ask, Rendering
from proxy.errors import ProxyError, Unsupported
from proxy.event import Event, Usage
from proxy.exchange import ParsedRequest


class Watch(Protocol):
    """Looks at a response that passes by; cut anywhere, it sees the same."""

    whole_frames: ClassVar[bool]
    """Whether what it sends on are whole frames, but for the last."""

    @property
    def usage(self) -> Usage | None:
        """What has been found so far."""

    def feed(self, data: bytes) -> bytes:
        """Some of the body; returns what is to be sent on: the same object if nothing changed.

        Raises FramingError for what no provider of this dialect sends, StreamFailed where the
        stream itself says that it failed and the client is to be told in other words.
        """

    def close(self) -> bytes:
        """The body is whole; returns what was held back. Raises StreamFailed."""


class StreamFailed(Exception):
    """A watch read, in the midst of a stream, what ends it.

    `rest` is what is still to be sent on before `error` is told.
    """

    def __init__(self, error: ProxyError, rest: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.rest = rest


class Decoder(Protocol):
    """Makes events of a streamed response; cut anywhere, it makes the same ones."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes; never raises.

        What cannot be read becomes a `Failure` with a BadResponse, and nothing comes after it.
        """

    def close(self) -> list[Event]:
        """The body is whole: the events that only its end completes.

        If neither `End` nor `Failure` is among all the events, the stream was cut off.
        """


class Encoder(Protocol):
    """Makes a streamed response of events."""

    def feed(self, events: Iterable[Event]) -> bytes:
        """The whole frames that say them; what cannot be said yet is held."""

    def close(self) -> bytes:
        """What was held back, and what ends the stream. Not called where it broke."""


class Dialect(ABC):
    """One endpoint of an API family. Members live in ``dialects/``."""

    name: ClassVar[str]
    family: ClassVar[str]
    """The API family, as providers' presets name it."""
    path: ClassVar[str]
    """The endpoint's canonical path; in one that names the model, ``{model}`` stands for it."""
    stream_path: ClassVar[str] = ""
    """Where streams are asked for, if not there."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Further paths that answer; routes match the canonical one."""
    operation: ClassVar[str]
    """What OpenTelemetry's GenAI conventions call it (`gen_ai.operation.name`)."""
    model_in_path: ClassVar[bool] = False
    """The path names the model, and the body does not."""
    client_facing: ClassVar[bool] = True
    """Clients may speak it to us; otherwise only we speak it to providers."""
    form: ClassVar[str] = ""
    """What its requests are: `chat`, `count` (a chat whose tokens are to be counted) or
    `embedding`. Dialects of one form can be translated into each other; "" is none."""
    arrays: ClassVar[bool] = False
    """A stream may be one JSON array that grows, rather than events."""
    stream_query: ClassVar[str] = ""
    """What the query has to say for a stream that we translate."""

    @abstractmethod
    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        """Read what policy needs of a request. Raises BadJSON or BadRequest."""

    @abstractmethod
    def ask_usage(self, request: ParsedRequest) -> bool:
        """Have the stream report its usage; returns whether the client is to be spared it."""

    @abstractmethod
    def add_system(self, request: ParsedRequest, text: str) -> None:
        """Put `text` before whatever the request tells the model; raises Unsupported.

        An endpoint that instructs no model (embeddings) is left as it is.
        """

    def name_model(self, request: ParsedRequest, model: str) -> None:
        """Ask for `model` in the client's stead, where the body says which."""
        if not self.model_in_path:
            request.set("model", model)

    def place(self, path: str, model: str) -> str:
        """Where `model` is asked for that usually is at `path`: with the model's place in it
        (:func:`proxy.provider.fill_model`)."""
        return path

    @abstractmethod
    def watch(self, *, stream: bool, strip: bool) -> Watch:
        """A watch for one response; `strip`: the usage chunk was not asked for by the client."""

    @abstractmethod
    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        """What a provider's answer of 400 or more means.

        The flag says whether the body is fit to be passed on to a client of this dialect.
        """

    @abstractmethod
    def failure(self, chunk: bytes) -> ProxyError | None:
        """The error event in the last chunk of a stream, if that is how the stream ended."""

    @abstractmethod
    def error(self, error: ProxyError) -> bytes:
        """The body of an answer that says what went wrong."""

    @abstractmethod
    def error_event(self, error: ProxyError) -> bytes:
        """The last frame of a stream that went wrong after its head was out."""

    def error_element(self, error: ProxyError, *, first: bool) -> bytes:
        """The last of a stream that is an array (see `arrays`) and went wrong.

        `first`: the client has nothing of it so far.
        """
        return b""

    def status(self, error: ProxyError) -> int:
        """The status of the answer that says what went wrong."""
        return error.status

    # Translation: a dialect whose `form` is not "" has all of these.

    def read(self, request: ParsedRequest) -> Ask:
        """The whole request in the neutral form.

        Raises BadRequest for what no provider would take: a wrong type, a missing field.
        """
        self._untranslatable()

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        """A request's body. Raises Unsupported for what this dialect cannot say."""
        self._untranslatable()

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole response. Raises BadResponse for what is none."""
        self._untranslatable()

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        """The whole response that says the events, to a client that asked `ask`."""
        self._untranslatable()

    def decoder(self) -> Decoder:
        """A decoder for one streamed response."""
        self._untranslatable()

    def encoder(self, ask: Ask) -> Encoder:
        """An encoder for one streamed response, to a client that asked `ask`."""
        self._untranslatable()

    def content_type(self, ask: Any, *, stream: bool) -> bytes:
        """The content type of what `encode` or `encoder` make."""
        return b"text/event-stream; charset=utf-8" if stream else b"application/json"

    def _untranslatable(self) -> NoReturn:
        raise Unsupported(f"{self.name} cannot be translated")


class Endpoints:
    """Finds the dialect whose endpoint a path is."""

    __slots__ = ("_patterns", "exact")

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self.exact: dict[str, Dialect] = {}
        """By the paths that name no model."""
        self._patterns: list[tuple[re.Pattern[str], Dialect]] = []
        for dialect in dialects:
            for path in (dialect.path, dialect.stream_path, *dialect.aliases):
                if "{model}" in path:
                    before, after = map(re.escape, path.split("{model}"))
                    self._patterns.append((re.compile(f"{before}.+{after}"), dialect))
                elif path:
                    self.exact[path] = dialect

    def find(self, path: str) -> Dialect | None:
        """The dialect, if the path is an endpoint of any."""
        dialect = self.exact.get(path)
        if dialect is None:
            for pattern, named in self._patterns:
                if pattern.fullmatch(path):
                    return named
        return dialect
