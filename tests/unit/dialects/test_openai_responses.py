"""OpenAI Responses."""

import json

import pytest

from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import BadRequest, ProviderBroke, TooLong
from proxy.event import Usage
from proxy.testing import check_dialect

RESPONSES = OpenAIResponses()
STREAM = (
    b'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"delta":"\\"usage\\":{\\"input_tokens\\":9}"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"output":[],'
    b'"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":4,'
    b'"output_tokens_details":{"reasoning_tokens":2},"total_tokens":7}}}\n\n'
)


def test_it_keeps_the_contract_of_dialects() -> None:
    requests = [b'{"model":"m","input":"hi"}', b'{"prompt":{"id":"p"},"stream":true}']
    check_dialect(RESPONSES, requests, [STREAM])


def test_it_is_the_responses_endpoint_of_the_family() -> None:
    assert (RESPONSES.name, RESPONSES.family, RESPONSES.path, RESPONSES.operation) == (
        *("openai_responses", "openai", "/v1/responses", "chat"),
    )


def test_a_model_may_be_left_to_the_stored_prompt() -> None:
    assert RESPONSES.parse(b'{"prompt":{"id":"p"}}').model is None


def test_the_usage_of_the_last_event_is_found() -> None:
    watch = RESPONSES.watch(stream=True, strip=False)

    assert watch.feed(STREAM) is STREAM
    assert watch.usage == Usage(
        input_tokens=3, output_tokens=4, cached_tokens=1, reasoning_tokens=2
    )


@pytest.mark.parametrize(
    ("fields", "edited"),
    [
        (b"", b',"instructions":"first"'),
        (b',"instructions":null', b',"instructions":"first"'),
        (b',"instructions":""', b',"instructions":"first"'),
        (b',"instructions":"own","x":1', b',"instructions":"first\\n\\nown","x":1'),
    ],
)
def test_a_system_prompt_stands_before_the_instructions(fields: bytes, edited: bytes) -> None:
    request = RESPONSES.parse(b'{"model":"m"%b}' % fields)
    RESPONSES.add_system(request, "first")

    assert request.body() == b'{"model":"m"%b}' % edited


@pytest.mark.parametrize("value", [b"1", b'["a"]', b"{}"])
def test_instructions_that_are_no_string_have_no_place_for_one(value: bytes) -> None:
    request = RESPONSES.parse(b'{"model":"m","instructions":%b}' % value)

    with pytest.raises(BadRequest, match="`instructions` must be a string") as raised:
        RESPONSES.add_system(request, "x")
    assert raised.value.param == "instructions"


def test_an_error_event_has_its_own_shape_and_the_name_of_one() -> None:
    event = RESPONSES.error_event(TooLong("it\nis", param="input"))
    name, data, *rest = event.split(b"\n")

    assert (name, rest) == (b"event: error", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "code": "client.too_long",
        "message": "it\nis",
        "param": "input",
    }
    told = RESPONSES.failure(event)
    assert (type(told), str(told)) == (ProviderBroke, "it\nis")
