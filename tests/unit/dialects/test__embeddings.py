"""What dialects of embeddings share."""

import struct
from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.chat import Ask, Embedding, Omissions, Rendering
from proxy.dialects._embeddings import (
    Answer,
    ProvidersEmbeddings,
    asked,
    of_events,
    only,
    pack,
    read_answer,
    texts_of,
    to_events,
    unpack,
)
from proxy.errors import (
    BadResponse,
    ProviderBroke,
    ProviderRateLimited,
    ProviderRefused,
    TooLong,
    Unsupported,
)
from proxy.event import Begin, End, Usage, Used, Vector
from proxy.testing import check_dialect

ASK = Embedding(model="asked", inputs=["a", "b"], user="u", task="search_query", origin="openai")
ASK.extra = {"truncate": msgspec.Raw(b'"END"')}


class Plain(ProvidersEmbeddings):
    name = "plain"
    family = "plain"
    path = "/embed"

    def render(self, ask: Ask, rendering: Rendering) -> bytes:
        return b"{}"


PLAIN = Plain()


def test_what_only_we_speak_keeps_the_contract_of_dialects() -> None:
    check_dialect(PLAIN, [b"{}"], [b"{}"])
    assert (PLAIN.client_facing, PLAIN.form, PLAIN.operation) == (False, "embedding", "embeddings")
    request = PLAIN.parse(b'{"model":"m"}')
    PLAIN.add_system(request, "x")
    assert not PLAIN.ask_usage(request)
    assert not request.changed
    assert PLAIN.failure(b'data: {"error":{}}\n\n') is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "words", "fit"),
    [
        (400, b'{"message":"no"}', ProviderRefused, "no", True),
        (400, b'{"Message":"no"}', ProviderRefused, "no", True),
        (429, b'{"message":"slow"}', ProviderRateLimited, "slow", True),
        (500, b"{}", ProviderBroke, "the provider failed with 500", True),
        (500, b"<html>", BadResponse, "the provider failed with 500", False),
        (400, b"plain", ProviderRefused, "plain", False),
        (
            400,
            b'{"message":"Too many input tokens. Max input tokens: 8192"}',
            TooLong,
            "Too many input tokens. Max input tokens: 8192",
            True,
        ),
    ],
)
def test_a_refusal_has_a_message(
    status: int, body: bytes, kind: type, words: str, fit: bool
) -> None:
    error, whether = PLAIN.refusal(status, body)

    assert (type(error), str(error), whether) == (kind, words, fit)


def test_hints_that_are_left_out_are_named() -> None:
    omissions = Omissions("plain", reject=False)
    assert asked(ASK, omissions) is ASK
    assert omissions.names == ["user", "task", "truncate"]

    omissions = Omissions("openai", reject=False)
    asked(ASK, omissions, keeps=("user", "task"))
    assert omissions.names == []


def test_tokens_are_nobody_elses() -> None:
    omissions = Omissions("plain", reject=False)

    assert texts_of(ASK, omissions) == ["a", "b"]
    with pytest.raises(Unsupported, match="an input of tokens cannot be carried"):
        texts_of(Embedding(model="m", inputs=[[1, 2]]), omissions)


def test_what_is_not_there_is_left_out() -> None:
    assert only({"a": None, "b": 0, "c": []}) == {"b": 0, "c": []}


def test_a_response_is_events_and_back() -> None:
    answer = Answer("m", [[1.0], [2.0]], Usage(3))
    events = to_events(answer)

    assert events == [
        *(Begin(model="m"), Vector(0, [1.0]), Vector(1, [2.0]), Used(Usage(3)), End()),
    ]
    assert of_events(ASK, events) == answer
    assert of_events(ASK, [Vector(1, [2.0]), Begin(), Vector(0, [1.0])]) == Answer(
        "asked", [[1.0], [2.0]], None
    )
    with pytest.raises(BadResponse, match="holds no embeddings"):
        to_events(Answer("m", [], None))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_answer_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="holds no embeddings"):
        read_answer(msgspec.json.Decoder(dict[str, int]), body)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_vector_is_packed_and_unpacked(values: list[float]) -> None:
    assert unpack(pack(values)) == values


def test_what_does_not_fit_is_a_bad_response() -> None:
    with pytest.raises(BadResponse, match="do not fit float32"):
        pack([1e300])
    for text in ("%", "AAA", b64encode(struct.pack("<f", 1) + b"x").decode()):
        with pytest.raises(BadResponse, match="no base64 of float32"):
            unpack(text)
