"""A request through another dialect and its response back, with dialects that a line explains."""

from collections.abc import Iterable

import msgspec
import pytest

from proxy.chat import Ask, Chat, Message, Rendering, TextPart
from proxy.dialect import Decoder, Encoder, StreamFailed
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.errors import ProviderBroke, ProviderOverloaded, Unsupported
from proxy.event import Begin, End, Event, Failure, Stop, Text, Usage, Used
from proxy.exchange import ParsedRequest
from proxy.preset import Endpoint
from proxy.translation import Translation, Translator, read
from tests.unit.conftest import provider


def event_of(line: bytes) -> Event:
    word = line.decode()
    if word == "end":
        return End()
    if word == "stop":
        return Stop("stop", "done")
    if word.isdigit():
        return Used(Usage(output_tokens=int(word)))
    return Failure(ProviderOverloaded("busy")) if word == "busy" else Text(word)


class LineDecoder:
    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Event]:
        *lines, self._held = (self._held + data).split(b"\n")
        return [event_of(line) for line in lines]

    def close(self) -> list[Event]:
        return [event_of(self._held)] if self._held else []


class BracketEncoder:
    def feed(self, events: Iterable[Event]) -> bytes:
        return b"".join(b"<%b>" % e.text.encode() for e in events if isinstance(e, Text))

    def close(self) -> bytes:
        return b"</>"


class Lines(OpenAIChat):
    """A dialect whose responses are lines, one an event."""

    name = "lines"
    form = "chat"

    def read(self, request: ParsedRequest) -> Ask:
        text = msgspec.json.decode(bytes(request.fields["say"]))
        message = Message("user", [TextPart(text=text)])
        return Chat(model="m", messages=[message], stream=request.stream, origin="lines")

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        assert isinstance(ask, Chat)
        rendering.omissions.hint("seed", ask.seed)
        return msgspec.json.encode({"model": rendering.model, "usage": rendering.usage})

    def decode(self, body: bytes) -> list[Event]:
        return [Begin(), *map(event_of, body.split())]

    def encode(self, ask: Ask, events: list[Event]) -> bytes:
        return BracketEncoder().feed(events)

    def decoder(self) -> Decoder:
        return LineDecoder()

    def encoder(self, ask: Ask) -> Encoder:
        return BracketEncoder()


LINES = Lines()


def chat(*, stream: bool = False, **more: object) -> Chat:
    return msgspec.structs.replace(
        Chat(model="m", messages=[], stream=stream, origin="openai_chat"), **more
    )


def translation(ask: Chat) -> Translation:
    return Translation(LINES, provider(dialects=[LINES]).speaks(LINES, "m"), ask)


def test_a_request_is_rendered_for_its_provider() -> None:
    made = translation(chat(seed=1))
    request = made.render(provider(stream_usage=True), "theirs", reject=False)

    assert msgspec.json.decode(request.body()) == {"model": "theirs", "usage": True}
    assert made.dropped == ["seed"]
    assert not request.stream


def test_hints_are_refused_where_the_route_says_so() -> None:
    with pytest.raises(Unsupported, match="seed"):
        translation(chat(seed=1)).render(provider(), "m", reject=True)


def test_a_providers_endpoint_may_want_other_fields() -> None:
    who = provider(dialects=[LINES], endpoints={"lines": Endpoint(set={"v": "1"}, drop=("model",))})
    made = Translation(LINES, who.speaks(LINES, "m"), chat())
    request = made.render(who, "m", reject=False)

    assert request.body() == b'{"usage":false,"v":"1"}'


def test_a_whole_answer_is_said_in_the_clients_dialect() -> None:
    made = translation(chat())

    assert made.whole(b"a b 3 stop", events=False) == b"<a><b>"
    assert made.usage == Usage(output_tokens=3)
    assert made.native_stop == "done"


def test_a_whole_answer_becomes_a_stream_where_one_was_asked_for() -> None:
    assert translation(chat(stream=True)).whole(b"a stop end", events=False) == b"<a></>"


def test_a_stream_becomes_a_whole_answer_where_one_was_asked_for() -> None:
    assert translation(chat()).whole(b"a\nb\nstop\nend\n", events=True) == b"<a><b>"


def test_a_stream_that_is_not_whole_is_no_answer() -> None:
    with pytest.raises(ProviderBroke, match="before its end"):
        translation(chat()).whole(b"a\nstop\n", events=True)


def test_what_the_provider_said_went_wrong_is_raised() -> None:
    with pytest.raises(ProviderOverloaded, match="busy"):
        translation(chat()).whole(b"a busy", events=False)


def test_a_stream_is_translated_read_by_read() -> None:
    made = translation(chat(stream=True))
    translator = Translator(made)

    assert translator.feed(b"a\nb") == b"<a>"
    assert translator.feed(b"c\n") == b"<bc>"
    assert translator.feed(b"7\nend") == b""
    assert translator.close() == b"</>"
    assert translator.usage == Usage(output_tokens=7)


def test_what_came_before_a_failure_is_still_sent() -> None:
    translator = Translator(translation(chat(stream=True)))
    with pytest.raises(StreamFailed) as caught:
        translator.feed(b"a\nbusy\n")

    assert caught.value.rest == b"<a>"
    assert isinstance(caught.value.error, ProviderOverloaded)


def test_a_stream_that_is_cut_off_has_no_end() -> None:
    translator = Translator(translation(chat(stream=True)))
    translator.feed(b"a\n")
    with pytest.raises(StreamFailed) as caught:
        translator.close()

    assert caught.value.rest == b""
    assert isinstance(caught.value.error, ProviderBroke)


def test_a_request_is_read_by_its_own_dialect() -> None:
    ask = read(LINES, LINES.parse(b'{"model":"m","say":"hi"}'))

    assert isinstance(ask, Chat)
    assert ask.messages == [Message("user", [TextPart(text="hi")])]


def test_what_has_no_neutral_form_is_refused() -> None:
    class Formless(OpenAIEmbeddings):
        form = ""

    with pytest.raises(Unsupported, match="/v1/embeddings"):
        read(Formless(), ParsedRequest(raw=b"{}", model="m", stream=False))
