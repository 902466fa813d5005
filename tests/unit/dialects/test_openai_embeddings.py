"""OpenAI embeddings."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from proxy.chat import Embedding, Omissions, Quirks, Rendering
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.errors import BadRequest, BadResponse
from proxy.event import Begin, End, Event, Usage, Used, Vector
from proxy.testing import check_dialect

EMBEDDINGS = OpenAIEmbeddings()
ANSWER = (
    b'{"object":"list","data":[{"embedding":[0.1,-2e-3]}],'
    b'"usage":{"prompt_tokens":8,"total_tokens":8}}'
)
EVENTS: list[Event] = [
    Begin(model="m-1"),
    Vector(0, [0.5, -1.0]),
    Vector(1, [0.25, 2.0]),
    Used(Usage(7)),
    End(),
]


def read(**fields: Any) -> Embedding:
    return EMBEDDINGS.read(EMBEDDINGS.parse(json.dumps({"model": "m", **fields}).encode()))


def render(ask: Embedding, *refuses: str) -> tuple[Any, list[str]]:
    omissions = Omissions("openai_embeddings", reject=False)
    quirks = Quirks(refuses=refuses)
    rendering = Rendering(model="their-m", omissions=omissions, quirks=quirks)
    return json.loads(EMBEDDINGS.render(ask, rendering)), omissions.names


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(EMBEDDINGS, [b'{"model":"m","input":[[1,2],[3]]}'], [ANSWER])


def test_it_is_the_embeddings_endpoint_of_the_family() -> None:
    assert (EMBEDDINGS.name, EMBEDDINGS.family, EMBEDDINGS.path, EMBEDDINGS.operation) == (
        *("openai_embeddings", "openai", "/v1/embeddings", "embeddings"),
    )
    assert EMBEDDINGS.form == "embedding"


def test_a_request_must_name_its_model() -> None:
    with pytest.raises(BadRequest, match="you must provide a model parameter"):
        EMBEDDINGS.parse(b'{"input":"a"}')


def test_the_usage_of_an_answer_is_found() -> None:
    watch = EMBEDDINGS.watch(stream=False, strip=False)
    watch.feed(ANSWER)

    assert watch.usage == Usage(input_tokens=8)


def test_a_system_prompt_does_not_concern_it() -> None:
    request = EMBEDDINGS.parse(b'{"model":"m","input":"a"}')
    EMBEDDINGS.add_system(request, "x")

    assert request.body() is request.raw


@pytest.mark.parametrize(
    ("said", "inputs"),
    [
        ("a", ["a"]),
        (["a", ""], ["a", ""]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_inputs_are_texts_or_tokens(said: Any, inputs: Any) -> None:
    assert read(input=said) == Embedding(model="m", inputs=inputs, origin="openai_embeddings")


def test_a_request_says_everything() -> None:
    found = read(
        input="a",
        dimensions=256,
        encoding_format="base64",
        user="u",
        input_type="passage",
        truncate_prompt_tokens=7,
        other=None,
    )

    assert (found.dimensions, found.base64, found.user) == (256, True, "u")
    assert found.task == "search_document"
    assert {name: bytes(raw) for name, raw in found.extra.items()} == {
        "truncate_prompt_tokens": b"7"
    }
    assert read(input="a", input_type="clustering", encoding_format="float").task == "clustering"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [["a"]]}, "input[0][0]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_an_error_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert raised.value.param == param


def test_a_request_of_another_dialect_is_rendered() -> None:
    ask = Embedding(
        model="m", inputs=["a"], dimensions=9, task="search_query", origin="gemini_embeddings"
    )

    assert render(ask) == ({"model": "their-m", "input": ["a"], "dimensions": 9}, ["task"])


def test_a_request_of_its_own_is_rendered_to_what_it_was() -> None:
    fields = {
        "input": [[1, 2]],
        "dimensions": 9,
        "encoding_format": "base64",
        "user": "u",
        "truncate_prompt_tokens": 7,
    }

    assert render(read(**fields)) == ({"model": "their-m", **fields}, [])
    body, omitted = render(read(**fields), "user")
    assert "user" not in body
    assert omitted == ["user"]


@pytest.mark.parametrize(
    ("data", "vectors"),
    [
        ([{"embedding": [0.5, -1]}, {"embedding": [2]}], [[0.5, -1.0], [2.0]]),
        (
            [{"embedding": [1.0], "index": 1}, {"embedding": [0.5], "index": 0}],
            [[0.5], [1.0]],
        ),
        ([{"embedding": "AAAAPwAAgL8=", "index": 0}], [[0.5, -1.0]]),
    ],
)
def test_vectors_come_as_numbers_or_packed_and_in_any_order(data: Any, vectors: Any) -> None:
    events = EMBEDDINGS.decode(json.dumps({"data": data, "model": "m"}).encode())

    assert events == [
        Begin(model="m"),
        *(Vector(index, values) for index, values in enumerate(vectors)),
        End(),
    ]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, 5),
        ({"total_tokens": 3}, 3),
        ({"prompt_tokens": 0, "total_tokens": 5}, 0),
        ({}, 0),
    ],
)
def test_usage(usage: Any, tokens: int) -> None:
    body = json.dumps({"data": [{"embedding": [1]}], "usage": usage}).encode()

    assert EMBEDDINGS.decode(body)[-2] == Used(Usage(tokens))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data":[]}', b'{"data":[{"embedding":"%"}]}', b"\xff"]
)
def test_what_holds_no_vector_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse):
        EMBEDDINGS.decode(body)


@pytest.mark.parametrize("shape", ["float", "base64", None])
def test_the_sdk_reads_what_is_encoded(shape: Any) -> None:
    """It asks for base64 unless told otherwise, and unpacks it itself."""
    asked: list[Embedding] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(EMBEDDINGS.read(EMBEDDINGS.parse(request.read())))
        return httpx2.Response(200, content=EMBEDDINGS.encode(asked[-1], EVENTS))

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    client = OpenAI(api_key="k", base_url="http://x/v1", http_client=transport)
    given = {} if shape is None else {"encoding_format": shape}
    found = client.embeddings.create(model="m", input=["a", "b"], dimensions=2, **given)

    assert asked[0].base64 is (shape != "float")
    assert (asked[0].inputs, asked[0].dimensions) == (["a", "b"], 2)
    if shape == "base64":
        # Whoever asks for it gets it as it is.
        packed: Any = found.data[0].embedding
        assert packed == "AAAAPwAAgL8="
    else:
        assert [each.embedding for each in found.data] == [[0.5, -1.0], [0.25, 2.0]]
    assert [each.index for each in found.data] == [0, 1]
    assert (found.model, found.usage.prompt_tokens) == ("m-1", 7)


def test_recorded_answers_are_decoded_and_encoded_again(cassettes: Path) -> None:
    number = 0
    for line in (cassettes / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        ours = row["path"].partition("?")[0].endswith("/embeddings") and row["method"] == "POST"
        if not ours or row["provider"] in ("ollama", "perplexity") or row["status"] != 200:
            continue  # Ollama's own API; bytes for numbers.
        body = (cassettes / "bodies" / row["resp_body"]).read_bytes()
        request = (cassettes / "bodies" / row["req_body"]).read_bytes()
        events = EMBEDDINGS.decode(body)
        ask = EMBEDDINGS.read(EMBEDDINGS.parse(request))
        again = EMBEDDINGS.encode(ask, events)
        assert sum(isinstance(event, Vector) for event in events) == len(ask.inputs), row["id"]
        ask.base64 = b'"embedding":"' in body.replace(b" ", b"")
        again = EMBEDDINGS.encode(ask, events)
        told = [each["embedding"] for each in json.loads(again)["data"]]
        assert told == [each["embedding"] for each in json.loads(body)["data"]], row["id"]
        assert EMBEDDINGS.decode(again)[1:-2] == events[1:-2], row["id"]
        number += 1
    assert number > 8
