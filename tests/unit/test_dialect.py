"""What a dialect is that says nothing of translation."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.chat import Chat, Omissions, Rendering
from proxy.dialect import Dialect
from proxy.dialects.openai_chat import OpenAIChat
from proxy.errors import BadRequest, Unsupported
from proxy.exchange import ParsedRequest


class Plain(OpenAIChat):
    name = "plain"
    form = ""
    read = Dialect.read
    render = Dialect.render
    decode = Dialect.decode
    encode = Dialect.encode
    decoder = Dialect.decoder
    encoder = Dialect.encoder


CHAT = Chat(model="m", messages=[])
REQUEST = ParsedRequest(raw=b"{}", model="m", stream=False)
RENDERING = Rendering(model="m", omissions=Omissions("plain", reject=False))


@pytest.mark.parametrize(
    "use",
    [
        lambda dialect: dialect.read(REQUEST),
        lambda dialect: dialect.render(CHAT, RENDERING),
        lambda dialect: dialect.decode(b"{}"),
        lambda dialect: dialect.encode(CHAT, []),
        lambda dialect: dialect.decoder(),
        lambda dialect: dialect.encoder(CHAT),
    ],
)
def test_a_dialect_without_a_form_cannot_be_translated(use: Callable[[Dialect], Any]) -> None:
    with pytest.raises(Unsupported, match="plain cannot be translated"):
        use(Plain())


def test_an_error_has_its_own_status() -> None:
    assert Plain().status(BadRequest("no", status=422)) == 422


def test_streams_are_server_sent_events_and_answers_json() -> None:
    assert Plain().content_type(CHAT, stream=True).startswith(b"text/event-stream")
    assert Plain().content_type(CHAT, stream=False) == b"application/json"


class Named(Plain):
    model_in_path = True


def test_another_model_is_named_where_the_body_names_one() -> None:
    request = ParsedRequest(raw=b'{"model":"m","a": 1}', model="m", stream=False)
    Plain().name_model(request, "n")
    assert request.body() == b'{"model":"n","a":1}'

    request = ParsedRequest(raw=b'{"a": 1}', model="m", stream=False)
    Named().name_model(request, "n")
    assert request.body() is request.raw
