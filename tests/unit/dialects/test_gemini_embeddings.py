"""Gemini's embeddings, several at once."""

import json
from pathlib import Path

import httpx2
import pytest
from google import genai
from google.genai import types

from proxy.chat import Embedding, Omissions, Rendering
from proxy.dialects.gemini_embeddings import GeminiEmbeddings
from proxy.errors import BadRequest, BadResponse
from proxy.event import Begin, End, Event, Usage, Used, Vector
from proxy.testing import check_dialect

EMBEDDINGS = GeminiEmbeddings()
PATH = "/v1beta/models/m:batchEmbedContents"
REQUEST = b'{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}'
EVENTS: list[Event] = [
    Begin(model="m"),
    Vector(0, [0.5, -1.0]),
    Vector(1, [0.25, 2.0]),
    Used(Usage(7)),
    End(),
]


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(EMBEDDINGS, [REQUEST], [b'{"embeddings":[{"values":[0.1]}]}'])


def test_it_is_the_embeddings_endpoint_of_the_family() -> None:
    assert (EMBEDDINGS.name, EMBEDDINGS.family, EMBEDDINGS.operation, EMBEDDINGS.form) == (
        *("gemini_embeddings", "gemini", "embeddings", "embedding"),
    )
    for template in (EMBEDDINGS.path, *EMBEDDINGS.aliases):
        assert EMBEDDINGS.parse(b"{}", template.replace("{model}", "x")).model == "x"


def test_a_system_prompt_does_not_concern_it() -> None:
    request = EMBEDDINGS.parse(REQUEST, PATH)
    EMBEDDINGS.add_system(request, "x")

    assert request.body() is request.raw


def test_another_model_is_named_in_each_request() -> None:
    request = EMBEDDINGS.parse(b'{"requests":[{"model":"models/m","content":{ }},{}]}', PATH)
    EMBEDDINGS.name_model(request, "n")

    assert request.body() == (
        b'{"requests":[{"model":"models/n","content":{ }},{"model":"models/n"}]}'
    )
    for body in (b"{}", b'{"requests":7}'):
        with pytest.raises(BadRequest, match="`requests` must be a list"):
            EMBEDDINGS.name_model(EMBEDDINGS.parse(body, PATH), "n")


@pytest.mark.parametrize("body", [b"{}", b'{"requests":[]}'])
def test_there_must_be_a_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="`requests` must hold at least one"):
        EMBEDDINGS.read(EMBEDDINGS.parse(body, PATH))


def test_a_request_is_read_and_rendered() -> None:
    ask = EMBEDDINGS.read(EMBEDDINGS.parse(REQUEST, PATH))
    rendering = Rendering(model="m", omissions=Omissions("gemini_embeddings", reject=True))

    assert ask == Embedding(model="m", inputs=["a"], origin="gemini")
    assert json.loads(EMBEDDINGS.render(ask, rendering)) == json.loads(REQUEST)


def test_an_answer_is_decoded_and_encoded() -> None:
    ask = Embedding(model="m", inputs=["a", "b"])
    body = EMBEDDINGS.encode(ask, EVENTS)

    assert body == (
        b'{"embeddings":[{"values":[0.5,-1.0]},{"values":[0.25,2.0]}],'
        b'"usageMetadata":{"promptTokenCount":7}}'
    )
    assert EMBEDDINGS.decode(body) == [Begin(), *EVENTS[1:]]
    assert b"usageMetadata" not in EMBEDDINGS.encode(ask, [Vector(0, [1.0])])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":[]}', b'{"embeddings":[{}]}'])
def test_what_holds_no_vector_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="holds no embeddings"):
        EMBEDDINGS.decode(body)


def test_the_sdk_reads_what_is_encoded() -> None:
    asked: list[Embedding] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(EMBEDDINGS.read(EMBEDDINGS.parse(request.read(), request.url.path)))
        return httpx2.Response(200, content=EMBEDDINGS.encode(asked[-1], EVENTS))

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    client = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=transport))
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=2)
    found = client.models.embed_content(model="m", contents=["a", "b"], config=config)

    assert asked == [
        Embedding(model="m", inputs=["a", "b"], dimensions=2, task="search_query", origin="gemini")
    ]
    assert [each.values for each in found.embeddings or []] == [[0.5, -1.0], [0.25, 2.0]]


def test_recorded_traffic(cassettes: Path) -> None:
    number = 0
    for line in (cassettes / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        path = row["path"].partition("?")[0]
        if not path.endswith(":batchEmbedContents"):
            continue
        body = (cassettes / "bodies" / row["resp_body"]).read_bytes()
        request = (cassettes / "bodies" / row["req_body"]).read_bytes()
        number += 1
        if row["status"] != 200:
            assert EMBEDDINGS.refusal(row["status"], body)[0].status == 404
            continue
        events = EMBEDDINGS.decode(body)
        theirs = json.loads(body)["embeddings"]
        assert [e.values for e in events if isinstance(e, Vector)] == [t["values"] for t in theirs]
        if b"inline_data" in request:
            continue
        parsed = EMBEDDINGS.parse(request, path)
        omissions = Omissions("gemini_embeddings", reject=True)
        rendering = Rendering(model=parsed.model or "", omissions=omissions)
        again = EMBEDDINGS.render(EMBEDDINGS.read(parsed), rendering)
        asked = json.loads(request.replace(b"output_dimensionality", b"outputDimensionality"))
        assert json.loads(again) == asked, row["id"]
    assert number == 4
