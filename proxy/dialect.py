"""A dialect: how one API family spells one endpoint's requests, responses, streams and errors.

Pure: nothing in a dialect waits, reads or writes. One instance serves every exchange; what
belongs to one response lives in the watch that is made for it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from proxy.errors import ProxyError
from proxy.exchange import ParsedRequest, Usage


class Watch(Protocol):
    """Looks at a response that passes by; cut anywhere, it sees the same."""

    usage: Usage | None
    """What has been found so far."""

    def feed(self, data: bytes) -> bytes:
        """Some of the body; returns what is to be sent on: the same object if nothing changed.

        Raises FramingError for what no provider of this dialect sends.
        """

    def close(self) -> bytes:
        """The body is whole; returns what was held back."""


class Dialect(ABC):
    """One endpoint of an API family. Members live in ``dialects/``."""

    name: ClassVar[str]
    family: ClassVar[str]
    """The API family, as providers' presets name it."""
    path: ClassVar[str]
    """The endpoint's canonical path."""
    operation: ClassVar[str]
    """What OpenTelemetry's GenAI conventions call it (`gen_ai.operation.name`)."""

    @abstractmethod
    def parse(self, body: bytes) -> ParsedRequest:
        """Read what policy needs of a request. Raises BadJSON or BadRequest."""

    @abstractmethod
    def ask_usage(self, request: ParsedRequest) -> bool:
        """Have the stream report its usage; returns whether the client is to be spared it."""

    @abstractmethod
    def add_system(self, request: ParsedRequest, text: str) -> None:
        """Put `text` before whatever the request tells the model; raises Unsupported.

        An endpoint that instructs no model (embeddings) is left as it is.
        """

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
