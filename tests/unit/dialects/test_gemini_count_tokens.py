"""Gemini's token counting."""

import json
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import types

from proxy.chat import Chat, Message, Omissions, Quirks, Rendering, TextPart, Tool
from proxy.dialects.gemini_count_tokens import GeminiCountTokens
from proxy.errors import BadRequest, BadResponse
from proxy.event import End, Usage, Used
from proxy.testing import check_dialect

COUNT = GeminiCountTokens()
PATH = "/v1beta/models/m:countTokens"
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
HI = Message("user", [TextPart(text="hi")])


def read(**fields: Any) -> Chat:
    return COUNT.read(COUNT.parse(json.dumps(fields).encode(), PATH))


def render(chat: Chat, *, whole: bool = True, model: str = "m") -> Any:
    rendering = Rendering(
        model=model,
        omissions=Omissions("gemini_count_tokens", reject=True),
        quirks=Quirks(counts_whole_requests=whole),
    )
    return json.loads(COUNT.render(chat, rendering))


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(COUNT, [json.dumps({"contents": CONTENTS}).encode()], [b'{"totalTokens":7}'])


def test_it_is_the_counting_endpoint_of_the_family() -> None:
    assert (COUNT.name, COUNT.family, COUNT.operation, COUNT.form) == (
        *("gemini_count_tokens", "gemini", "count_tokens", "count"),
    )
    for template in (COUNT.path, *COUNT.aliases):
        request = COUNT.parse(b"{}", template.replace("{model}", "x"))
        assert (request.model is None, request.stream) == (False, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"contents": CONTENTS, "systemInstruction": {"parts": [{"text": "s"}]}},
        {
            "generateContentRequest": {
                "model": "models/m",
                "contents": CONTENTS,
                "systemInstruction": {"parts": [{"text": "s"}]},
            }
        },
        {
            "generate_content_request": {
                "contents": CONTENTS,
                "system_instruction": {"parts": [{"text": "s"}]},
            }
        },
    ],
)
def test_a_request_is_counted_whole_or_by_its_fields(fields: dict[str, Any]) -> None:
    assert read(**fields) == Chat(
        model="m",
        messages=[Message("system", [TextPart(text="s")]), HI],
        origin="gemini",
    )


def test_contents_stand_in_one_of_the_two() -> None:
    with pytest.raises(BadRequest, match="`contents` and `generateContentRequest` exclude"):
        read(contents=CONTENTS, generateContentRequest={"contents": CONTENTS})


def test_only_what_the_model_reads_is_asked_about() -> None:
    chat = Chat(
        model="m",
        messages=[Message("system", [TextPart(text="s")]), HI],
        tools=[Tool(name="f")],
        temperature=0.5,
        seed=1,
        logit_bias=None,
    )
    fields = {
        "contents": CONTENTS,
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    }

    assert render(chat) == {"generateContentRequest": {**fields, "model": "models/m"}}
    assert render(chat, model="tunedModels/t")["generateContentRequest"]["model"] == "tunedModels/t"
    assert render(chat, whole=False) == fields
    assert render(Chat(model="m", messages=[HI])) == {"contents": CONTENTS}


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (
            b'{"contents":[ 1 ]}',
            b'{"contents":[{"role":"user","parts":[{"text":"x"}]},1]}',
        ),
        (b"{}", b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}'),
        (
            b'{"systemInstruction":{"parts":[ {} ]},"contents":[ 1 ]}',
            b'{"systemInstruction":{"parts":[{"text":"x"},{}]},"contents":[ 1 ]}',
        ),
        (
            b'{"generateContentRequest":{"contents":[ 1 ]}}',
            b'{"generateContentRequest":{"contents":[ 1 ],'
            b'"systemInstruction":{"parts":[{"text":"x"}]}}}',
        ),
    ],
)
def test_a_system_prompt_is_counted_too(body: bytes, edited: bytes) -> None:
    request = COUNT.parse(body, PATH)
    COUNT.add_system(request, "x")

    assert request.body() == edited


def test_another_model_is_named_where_the_body_names_one() -> None:
    request = COUNT.parse(b'{"generateContentRequest":{"model":"models/m","contents":[ ]}}', PATH)
    COUNT.name_model(request, "n")
    assert request.body() == b'{"generateContentRequest":{"model":"models/n","contents":[ ]}}'

    request = COUNT.parse(b'{"contents":[ ]}', PATH)
    COUNT.name_model(request, "n")
    assert request.body() is request.raw


def test_a_count_is_usage() -> None:
    raw = b'{"totalTokens":7,"cachedContentTokenCount":2,"promptTokensDetails":[]}'
    events = COUNT.decode(raw)

    assert events == [Used(Usage(7, cached_tokens=2)), End()]
    chat = Chat(model="m", messages=[])
    assert COUNT.encode(chat, events) == b'{"totalTokens":7,"cachedContentTokenCount":2}'
    assert COUNT.encode(chat, [Used(Usage(3)), End()]) == b'{"totalTokens":3}'


@pytest.mark.parametrize("body", [b"", b"{}", b'{"totalTokens":"x"}', b"[]", b"\xff"])
def test_what_counts_nothing_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        COUNT.decode(body)
    with pytest.raises(BadResponse, match="counts no tokens"):
        COUNT.encode(Chat(model="m", messages=[]), [End()])


def test_the_sdk_counts() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        chat = COUNT.read(COUNT.parse(request.read(), request.url.path))
        assert chat.messages == [HI]
        return httpx2.Response(200, content=COUNT.encode(chat, [Used(Usage(5)), End()]))

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    client = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=transport))

    assert client.models.count_tokens(model="m", contents="hi").total_tokens == 5
