"""Translation: a request on its way to a provider of another dialect, and its response back.

The request goes through the neutral form once, however many targets are tried. A streamed
response goes frame by frame: what the provider's decoder makes of a read, the client's encoder
writes at once.
"""

from typing import ClassVar

from proxy.chat import Ask, Chat, Omissions, Rendering
from proxy.dialect import Dialect, StreamFailed
from proxy.errors import ProviderBroke, ProxyError, Unsupported
from proxy.event import End, Event, Failure, Stop, Usage, Used
from proxy.exchange import ParsedRequest
from proxy.provider import Provider, Spoken

CUT = "the provider's response ended before its end"


class Translation:
    """One request, as it is asked in the dialect (`spoken`) of a provider."""

    __slots__ = ("_endpoint", "ask", "client", "dropped", "native_stop", "spoken", "usage")

    def __init__(self, client: Dialect, endpoint: Spoken, ask: Ask) -> None:
        """`client` is the dialect of who asked `ask`; `endpoint` is who is to be asked it."""
        self.client = client
        self.spoken = endpoint.dialect
        self._endpoint = endpoint
        self.ask = ask
        self.dropped: list[str] = []
        """The hints that were left out."""
        self.usage: Usage | None = None
        self.native_stop = ""
        """The provider's own word for why its model stopped."""

    def render(self, provider: Provider, model: str, *, reject: bool) -> ParsedRequest:
        """What the provider is asked. Raises Unsupported for what it cannot be.

        `reject`: hints that it cannot be given are refused, too.
        """
        omissions = Omissions(self.spoken.name, reject=reject)
        rendering = Rendering(
            model=model,
            omissions=omissions,
            quirks=provider.quirks,
            usage=provider.stream_usage,
        )
        body = self.spoken.render(self.ask, rendering)
        self.dropped = omissions.names
        request = ParsedRequest(raw=body, model=model, stream=self.stream)
        self._endpoint.edit(request)
        return request

    @property
    def stream(self) -> bool:
        """Whether the client asked for a stream."""
        return isinstance(self.ask, Chat) and self.ask.stream

    def content_type(self) -> bytes:
        """Of what the client gets."""
        return self.client.content_type(self.ask, stream=self.stream)

    def whole(self, body: bytes, *, events: bool) -> bytes:
        """The client's response for a provider's, all of which is here.

        `events`: it is a stream. Raises BadResponse, or what the provider said went wrong.
        """
        if events:
            decoder = self.spoken.decoder()
            found = [*decoder.feed(body), *decoder.close()]
        else:
            found = self.spoken.decode(body)
        error = self.note(found)
        if error is None and events and not any(type(event) is End for event in found):
            error = ProviderBroke(CUT)
        if error is not None:
            raise error
        if not self.stream:
            return self.client.encode(self.ask, found)
        encoder = self.client.encoder(self.ask)
        return encoder.feed(found) + encoder.close()

    def note(self, events: list[Event]) -> ProxyError | None:
        """Remember what the exchange wants to know; returns what the provider said went wrong."""
        for event in events:
            kind = type(event)
            if kind is Used:
                assert isinstance(event, Used)
                self.usage = event.usage
            elif kind is Stop:
                assert isinstance(event, Stop)
                self.native_stop = event.native
            elif kind is Failure:
                assert isinstance(event, Failure)
                return event.error
        return None


class Translator:
    """The :class:`proxy.dialect.Watch` of a streamed response that is translated."""

    __slots__ = ("_decoder", "_encoder", "_ended", "_translation")
    whole_frames: ClassVar[bool] = False  # of a client's array there are none

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._decoder = translation.spoken.decoder()
        self._encoder = translation.client.encoder(translation.ask)
        self._ended = False

    @property
    def usage(self) -> Usage | None:
        return self._translation.usage

    def feed(self, data: bytes) -> bytes:
        """Some of the provider's stream; returns some of the client's. Raises StreamFailed."""
        events = self._decoder.feed(data)
        return self._encode(events) if events else b""

    def close(self) -> bytes:
        """The provider's stream is whole; returns the end of the client's. Raises StreamFailed."""
        rest = self._encode(self._decoder.close())
        if not self._ended:
            raise StreamFailed(ProviderBroke(CUT), rest)
        return rest + self._encoder.close()

    def _encode(self, events: list[Event]) -> bytes:
        error = self._translation.note(events)
        if error is not None:
            said = [event for event in events if type(event) is not Failure]
            raise StreamFailed(error, self._encoder.feed(said))
        if events and type(events[-1]) is End:
            self._ended = True
        return self._encoder.feed(events)


def read(
    dialect: Dialect, request: ParsedRequest, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Ask:
    """A client's request in the neutral form. Raises BadRequest, or Unsupported."""
    if not dialect.form:
        raise Unsupported(f"what {dialect.path} asks cannot be asked of a provider of other APIs")
    request.headers = headers
    return dialect.read(request)
