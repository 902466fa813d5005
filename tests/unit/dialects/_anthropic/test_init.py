"""What Anthropic's endpoints share."""

import json
from typing import Any

import pytest

from proxy.dialects._anthropic.watch import CumulativeWatch
from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.errors import BadRequest, InternalError, Overloaded, ProviderOverloaded, TooLong

MESSAGES = AnthropicMessages()
BOTH = [MESSAGES, AnthropicCountTokens()]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_request_must_name_its_model(dialect: Any) -> None:
    for body in (b'{"messages":[]}', b'{"model":null}'):
        with pytest.raises(BadRequest, match="`model` is required") as raised:
            dialect.parse(body)
        assert raised.value.param == "model"


def test_usage_needs_no_asking_and_every_response_is_watched_for_it() -> None:
    request = MESSAGES.parse(b'{"model":"m","stream":true}')

    assert not MESSAGES.ask_usage(request)
    assert not request.changed
    for stream in (False, True):
        for strip in (False, True):
            assert type(MESSAGES.watch(stream=stream, strip=strip)) is CumulativeWatch


@pytest.mark.parametrize(
    ("fields", "edited"),
    [
        (b"", b',"system":"first"'),
        (b',"system":null', b',"system":"first"'),
        (b',"system":""', b',"system":"first"'),
        (b',"system":"own","x":1', b',"system":"first\\n\\nown","x":1'),
        (
            b',"system":[{"type":"text", "text":"own"}]',
            b',"system":[{"type":"text","text":"first"},{"type":"text", "text":"own"}]',
        ),
        (b',"system":[]', b',"system":[{"type":"text","text":"first"}]'),
    ],
)
@pytest.mark.parametrize("dialect", BOTH)
def test_a_system_prompt_stands_before_the_clients(
    dialect: Any, fields: bytes, edited: bytes
) -> None:
    request = dialect.parse(b'{"model":"m"%b}' % fields)
    dialect.add_system(request, "first")

    assert request.body() == b'{"model":"m"%b}' % edited


@pytest.mark.parametrize("value", [b"1", b"{}"])
def test_a_system_that_is_neither_text_nor_blocks_has_no_place_for_one(value: bytes) -> None:
    request = MESSAGES.parse(b'{"model":"m","system":%b}' % value)

    with pytest.raises(BadRequest, match="`system` must be a string or an array") as raised:
        MESSAGES.add_system(request, "x")
    assert raised.value.param == "system"


def test_an_error_event_is_one_frame_with_the_error_of_an_answer() -> None:
    event = MESSAGES.error_event(ProviderOverloaded("it\nis"))

    assert event == b"event: error\ndata: " + MESSAGES.error(ProviderOverloaded("it\nis")) + b"\n\n"
    told = MESSAGES.failure(event)
    assert (type(told), str(told)) == (ProviderOverloaded, "it\nis")


def test_refusals_and_statuses_are_theirs() -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    words = "prompt is too long: 9 tokens > 8 maximum"
    too_long = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}

    assert str(MESSAGES.refusal(400, json.dumps(body).encode())[0]) == "no"
    assert type(MESSAGES.refusal(400, json.dumps(too_long).encode())[0]) is TooLong
    assert MESSAGES.status(Overloaded("full")) == 529
    assert MESSAGES.status(InternalError("x")) == 500
