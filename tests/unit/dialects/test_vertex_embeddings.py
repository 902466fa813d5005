"""Embeddings of Vertex AI's text models."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.chat import Embedding, Omissions, Rendering
from proxy.dialects.vertex_embeddings import VertexEmbeddings
from proxy.errors import BadResponse, ProviderRateLimited, Unsupported
from proxy.event import Begin, End, Usage, Used, Vector

VERTEX = VertexEmbeddings()


def render(ask: Embedding) -> tuple[Any, list[str]]:
    omissions = Omissions("vertex_embeddings", reject=False)
    body = VERTEX.render(ask, Rendering(model="text-embedding-005", omissions=omissions))
    return json.loads(body), omissions.names


def test_it_is_what_only_we_speak_to_vertex() -> None:
    assert (VERTEX.name, VERTEX.family, VERTEX.form) == (
        *("vertex_embeddings", "gemini", "embedding"),
    )
    assert (VERTEX.client_facing, VERTEX.model_in_path) == (False, True)


def test_a_request_is_rendered() -> None:
    ask = Embedding(model="m", inputs=["a", "b"], dimensions=256, task="search_query", user="u")

    assert render(ask) == (
        {
            "instances": [
                {"content": "a", "task_type": "RETRIEVAL_QUERY"},
                {"content": "b", "task_type": "RETRIEVAL_QUERY"},
            ],
            "parameters": {"outputDimensionality": 256},
        },
        ["user"],
    )
    assert render(Embedding(model="m", inputs=["a"])) == ({"instances": [{"content": "a"}]}, [])
    with pytest.raises(Unsupported, match="an input of tokens"):
        render(Embedding(model="m", inputs=[[1]]))


def test_an_answer_is_decoded() -> None:
    one = {"embeddings": {"values": [0.5], "statistics": {"token_count": 3, "truncated": False}}}
    bare = {"embeddings": {"values": [1]}}

    assert VERTEX.decode(json.dumps({"predictions": [one, one]}).encode()) == [
        *(Begin(), Vector(0, [0.5]), Vector(1, [0.5]), Used(Usage(6)), End()),
    ]
    assert VERTEX.decode(json.dumps({"predictions": [one, bare]}).encode()) == [
        *(Begin(), Vector(0, [0.5]), Vector(1, [1.0]), End()),
    ]
    for body in (b"{}", b'{"predictions":[]}', b'{"predictions":[{}]}'):
        with pytest.raises(BadResponse, match="holds no embeddings"):
            VERTEX.decode(body)


def test_a_refusal_is_googles() -> None:
    error, fit = VERTEX.refusal(429, b'{"error":{"code":429,"message":"slow down"}}')

    assert (type(error), str(error), fit) == (ProviderRateLimited, "slow down", True)


def test_recorded_traffic(cassettes: Path) -> None:
    for line in (cassettes / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row["path"].endswith(":predict"):
            continue
        body = (cassettes / "bodies" / row["resp_body"]).read_bytes()
        events = VERTEX.decode(body)

        (prediction,) = json.loads(body)["predictions"]
        assert events[1] == Vector(0, prediction["embeddings"]["values"])
        assert events[2] == Used(Usage(10))
        return
    pytest.fail("nothing was recorded")
