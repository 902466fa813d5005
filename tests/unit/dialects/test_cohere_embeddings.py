"""Cohere's embeddings."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.chat import Embedding, Omissions, Rendering
from proxy.dialects.cohere_embeddings import CohereEmbeddings
from proxy.errors import BadResponse, ProviderRefused, Unsupported
from proxy.event import Begin, End, Usage, Used, Vector

COHERE = CohereEmbeddings()


def render(ask: Embedding) -> tuple[Any, list[str]]:
    omissions = Omissions("cohere_embeddings", reject=False)
    body = COHERE.render(ask, Rendering(model="embed-v4.0", omissions=omissions))
    return json.loads(body), omissions.names


def test_it_is_what_only_we_speak_to_cohere() -> None:
    assert (COHERE.name, COHERE.family, COHERE.path, COHERE.client_facing) == (
        *("cohere_embeddings", "cohere", "/v2/embed", False),
    )


def test_a_request_is_rendered() -> None:
    ask = Embedding(model="m", inputs=["a", "b"], dimensions=256, task="search_query", user="u")

    assert render(ask) == (
        {
            "model": "embed-v4.0",
            "texts": ["a", "b"],
            "input_type": "search_query",
            "embedding_types": ["float"],
            "output_dimension": 256,
        },
        ["user"],
    )
    body, _ = render(Embedding(model="m", inputs=["a"]))
    assert body["input_type"] == "search_document"
    assert "output_dimension" not in body
    with pytest.raises(Unsupported, match="an input of tokens"):
        render(Embedding(model="m", inputs=[[1]]))


def test_an_answer_is_decoded() -> None:
    body = (
        b'{"id":"x","embeddings":{"float":[[0.5],[1]]},"texts":["a","b"],'
        b'"meta":{"billed_units":{"input_tokens":4.0}}}'
    )

    assert COHERE.decode(body) == [
        *(Begin(), Vector(0, [0.5]), Vector(1, [1.0]), Used(Usage(4)), End()),
    ]
    assert COHERE.decode(b'{"embeddings":{"float":[[1]]},"meta":{}}') == [
        *(Begin(), Vector(0, [1.0]), End()),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":{}}', b'{"embeddings":[[1]]}'])
def test_what_holds_no_vector_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="holds no embeddings"):
        COHERE.decode(body)


def test_recorded_traffic(cassettes: Path) -> None:
    number = 0
    for line in (cassettes / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["path"] != "/v2/embed":
            continue
        number += 1
        body = (cassettes / "bodies" / row["resp_body"]).read_bytes()
        if row["status"] == 200:
            (vector,) = json.loads(body)["embeddings"]["float"]
            assert COHERE.decode(body)[1:3] == [Vector(0, vector), Used(Usage(4))]
        else:
            error, fit = COHERE.refusal(row["status"], body)
            assert (type(error), error.status, fit) == (ProviderRefused, 404, True)
            assert str(error).startswith("model 'nonexistent' not found")
    assert number == 2
