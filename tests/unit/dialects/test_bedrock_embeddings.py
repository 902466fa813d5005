"""Embeddings on Amazon Bedrock."""

import json
from typing import Any

import pytest

from proxy.chat import Embedding, Omissions, Rendering
from proxy.dialects.bedrock_embeddings import BedrockEmbeddings
from proxy.errors import BadResponse, Unsupported
from proxy.event import Begin, End, Usage, Used, Vector

BEDROCK = BedrockEmbeddings()
TITAN = "amazon.titan-embed-text-v2:0"


def render(ask: Embedding, model: str) -> tuple[Any, list[str]]:
    omissions = Omissions("bedrock_embeddings", reject=False)
    body = BEDROCK.render(ask, Rendering(model=model, omissions=omissions))
    return json.loads(body), omissions.names


def test_it_is_what_only_we_speak_to_bedrock() -> None:
    assert (BEDROCK.name, BEDROCK.family, BEDROCK.path) == (
        *("bedrock_embeddings", "bedrock", "/model/{model}/invoke"),
    )
    assert (BEDROCK.client_facing, BEDROCK.model_in_path) == (False, True)


def test_titan_takes_one_text() -> None:
    ask = Embedding(model="m", inputs=["a"], dimensions=256, task="clustering")

    assert render(ask, TITAN) == ({"inputText": "a", "dimensions": 256}, ["task"])
    assert render(Embedding(model="m", inputs=["a"]), TITAN)[0] == {"inputText": "a"}
    with pytest.raises(Unsupported, match="more than one input in a request"):
        render(Embedding(model="m", inputs=["a", "b"]), TITAN)
    with pytest.raises(Unsupported, match="an input of tokens"):
        render(Embedding(model="m", inputs=[[1]]), TITAN)


@pytest.mark.parametrize(
    "model",
    [
        "cohere.embed-english-v3",
        "us.cohere.embed-v4:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.cohere.embed-v4:0",
    ],
)
def test_cohere_takes_several(model: str) -> None:
    ask = Embedding(model="m", inputs=["a", "b"], dimensions=256, task="clustering")

    assert render(ask, model) == (
        {
            "texts": ["a", "b"],
            "input_type": "clustering",
            "embedding_types": ["float"],
            "output_dimension": 256,
        },
        [],
    )
    assert render(Embedding(model="m", inputs=["a"]), model)[0]["input_type"] == "search_document"


def test_another_model_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"an input for the model `meta\.llama`") as raised:
        render(Embedding(model="m", inputs=["a"]), "meta.llama")
    assert raised.value.param == "model"


@pytest.mark.parametrize(
    ("body", "vectors", "used"),
    [
        (
            b'{"embedding":[0.5],"inputTextTokenCount":3,"embeddingsByType":{"float":[0.5]}}',
            [[0.5]],
            [Used(Usage(3))],
        ),
        (b'{"embeddings":{"float":[[0.5],[1]]},"id":"x"}', [[0.5], [1.0]], []),
        (b'{"embeddings":[[0.5],[1]],"response_type":"embeddings_floats"}', [[0.5], [1.0]], []),
    ],
)
def test_answers_are_decoded(body: bytes, vectors: list[list[float]], used: list[Any]) -> None:
    assert BEDROCK.decode(body) == [
        Begin(),
        *(Vector(index, values) for index, values in enumerate(vectors)),
        *used,
        End(),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":{}}', b'{"embedding":"x"}'])
def test_what_holds_no_vector_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="holds no embeddings"):
        BEDROCK.decode(body)
