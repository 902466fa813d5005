"""OpenAI Chat Completions."""

import pytest

from proxy.dialects.openai_chat import OpenAIChat
from proxy.errors import BadRequest
from proxy.testing import check_dialect

CHAT = OpenAIChat()
REQUESTS = [
    b'{"model":"m","messages":[]}',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}',
]
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"\\"usage\\":{} \xf0\x9f\x98\x80"}}]}\n\n'
    b": keep-alive\n\n"
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(CHAT, REQUESTS, [STREAM, STREAM.replace(b"\n", b"\r\n")])


def test_it_is_the_chat_endpoint_of_the_family() -> None:
    assert (CHAT.name, CHAT.family, CHAT.path, CHAT.operation) == (
        *("openai_chat", "openai", "/v1/chat/completions", "chat"),
    )


def test_a_request_must_name_its_model() -> None:
    for body in (b'{"messages":[]}', b'{"model":null}'):
        with pytest.raises(BadRequest, match="you must provide a model parameter") as raised:
            CHAT.parse(body)
        assert raised.value.param == "model"


def test_a_system_prompt_is_the_first_message() -> None:
    request = CHAT.parse(b'{"messages":[ {"role":"system", "content":"own"} ],"model":"m"}')
    CHAT.add_system(request, "é\n")

    assert request.body() == (
        '{"messages":[{"role":"system","content":"é\\n"},{"role":"system", "content":"own"}],'
        '"model":"m"}'.encode()
    )


@pytest.mark.parametrize("fields", ["", ',"messages":null', ',"messages":"hi"', ',"messages":{}'])
def test_messages_that_are_no_array_have_no_place_for_one(fields: str) -> None:
    request = CHAT.parse(f'{{"model":"m"{fields}}}'.encode())

    with pytest.raises(BadRequest, match="`messages` must be an array") as raised:
        CHAT.add_system(request, "x")
    assert raised.value.param == "messages"
