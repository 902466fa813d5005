"""What Chat and Completions have in common of chunks: two dialects, one behaviour."""

import pytest

from proxy.chat import Chat
from proxy.dialect import Dialect
from proxy.dialects._openai.chunks import head
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.errors import BadResponse, ProviderBroke
from proxy.event import Begin, End, Event, Failure, Other, Stop, Usage, Used

ASK = Chat(model="asked", messages=[])

both = pytest.mark.parametrize("dialect", [OpenAIChat(), OpenAICompletions()], ids=lambda d: d.name)


def decoded(dialect: Dialect, *frames: bytes) -> list[Event]:
    decoder = dialect.decoder()
    return [event for frame in frames for event in decoder.feed(frame)] + decoder.close()


def test_a_head_says_what_the_provider_did_not() -> None:
    made = head(Begin(), ASK, "kind", "prefix-")

    assert made["id"].startswith("prefix-")
    assert (made["object"], made["model"]) == ("kind", "asked")
    assert made.keys() == {"id", "object", "created", "model"}


def test_a_head_says_what_the_provider_did() -> None:
    assert head(Begin("i", "m", 7, "flex", "fp"), ASK, "kind", "prefix-") == {
        **{"id": "i", "object": "kind", "created": 7, "model": "m"},
        **{"service_tier": "flex", "system_fingerprint": "fp"},
    }


@both
def test_a_choice_stops_once(dialect: Dialect) -> None:
    stop = b'data: {"id":"r","choices":[{"index":0,"finish_reason":"stop"}]}\n\n'

    assert decoded(dialect, stop, stop) == [Begin("r"), Stop("stop", "stop"), End()]


@both
def test_usage_stands_in_many_places(dialect: Dialect) -> None:
    for place in (b'"usage":%b', b'"x_groq":{"usage":%b}'):
        usage = place % b'{"prompt_tokens":1,"completion_tokens":2}'
        assert decoded(dialect, b'data: {"choices":[],%b}\n\n' % usage) == [Used(Usage(1, 2))]
    of_choice = b'data: {"choices":[{"index":0,"usage":{"prompt_tokens":1}}]}\n\n'
    assert decoded(dialect, of_choice)[1:] == [Used(Usage(1, 0))]


@both
@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b'data: {"choices":[{"index":0,"finish_reason":"error"}]}\n\n', ProviderBroke),
        (b'data: {"error":{"message":"no"}}\n\n', ProviderBroke),
        (b"data: nonsense\n\n", BadResponse),
    ],
)
def test_what_ends_a_stream(dialect: Dialect, frame: bytes, error: type[Exception]) -> None:
    failure = decoded(dialect, frame, b"data: [DONE]\n\n")[-1]

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, error)


@both
def test_fields_of_a_wrong_type_are_passed_over(dialect: Dialect) -> None:
    events = decoded(dialect, b'data: {"id":7,"choices":[{"index":0,"finish_reason":"stop"}]}\n\n')

    assert events == [Begin(), Stop("stop", "stop"), End()]


@both
def test_events_of_other_names_are_nobody_elses(dialect: Dialect) -> None:
    odd = b"event: odd\ndata: {}\n\n"

    assert decoded(dialect, odd) == [Other(odd, dialect.name)]
    assert b"odd" not in dialect.encoder(ASK).feed([Other(odd, dialect.name)])


@both
def test_a_whole_answer_without_choices_is_none(dialect: Dialect) -> None:
    with pytest.raises(BadResponse, match="no choices"):
        dialect.decode(b'{"choices":[]}')
    with pytest.raises(BadResponse, match="is not one of OpenAI's"):
        dialect.decode(b"[]")
    with pytest.raises(ProviderBroke, match="oh"):
        dialect.decode(b'{"error":{"message":"oh"}}')


@both
def test_a_stream_of_nothing_is_a_whole_one(dialect: Dialect) -> None:
    assert dialect.encoder(ASK).feed([]) == b""
    assert dialect.encoder(ASK).close().endswith(b"data: [DONE]\n\n")
