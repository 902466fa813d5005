"""Requests for embeddings, of either method."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import Embedding, Omissions
from proxy.dialects._gemini.embedding import answers, read_embedding, render_requests
from proxy.dialects._gemini.fields import Fields
from proxy.errors import BadRequest, Unsupported


def read(*requests: dict[str, Any]) -> Embedding:
    return read_embedding([Fields(json.dumps(each).encode()) for each in requests], "m")


def of(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "models/m", "content": {"parts": [{"text": text}]}, **more}


def test_several_requests_are_one() -> None:
    settings = {"taskType": "RETRIEVAL_QUERY", "output_dimensionality": 256, "title": "t"}
    found = read(of("a", **settings), of("b", **settings))

    assert found == Embedding(
        model="m",
        inputs=["a", "b"],
        dimensions=256,
        task="search_query",
        extra={"title": msgspec.Raw(b'"t"')},
        origin="gemini",
    )


def test_settings_may_stand_in_a_config() -> None:
    config = {"taskType": "CLUSTERING", "outputDimensionality": 9}

    for name in ("embedContentConfig", "config"):
        found = read(of("a", **{name: config}))
        assert (found.task, found.dimensions, found.extra) == ("clustering", 9, {})


@pytest.mark.parametrize("task", [None, "TASK_TYPE_UNSPECIFIED"])
def test_a_task_may_be_left_open(task: str | None) -> None:
    assert read(of("a", taskType=task)).task is None


def test_the_parts_of_an_input_are_one_text() -> None:
    assert read({"content": {"parts": [{"text": "a"}, {"text": "b"}]}}).inputs == ["ab"]


def test_what_cannot_be_asked_together_is_refused() -> None:
    with pytest.raises(Unsupported, match="embedded differently"):
        read(of("a"), of("b", taskType="CLUSTERING"))
    image = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}
    with pytest.raises(Unsupported, match="what is no text"):
        read({"content": {"parts": [image]}})


@pytest.mark.parametrize("request_", [{}, {"content": {}}, {"content": 7}])
def test_a_request_must_say_what_to_embed(request_: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as raised:
        read(request_)
    assert raised.value.param == "content"


def test_each_input_is_a_request() -> None:
    omissions = Omissions("gemini_embeddings", reject=False)
    ask = Embedding(model="m", inputs=["a", "b"], dimensions=9, task="search_document", user="u")

    assert render_requests(ask, "their-m", omissions) == [
        {
            "content": {"parts": [{"text": text}]},
            "model": "models/their-m",
            "taskType": "RETRIEVAL_DOCUMENT",
            "outputDimensionality": 9,
        }
        for text in "ab"
    ]
    assert omissions.names == ["user"]
    ask = Embedding(model="m", inputs=["a"], task="clustering", extra={"title": msgspec.Raw(b"1")})
    (request,) = render_requests(ask, "tunedModels/t", Omissions("x", reject=False))
    assert (request["taskType"], request["model"]) == ("CLUSTERING", "tunedModels/t")
    assert "title" not in request
    ask.origin = "gemini"
    assert "title" in render_requests(ask, "m", Omissions("gemini", reject=True))[0]


def test_tokens_are_refused() -> None:
    with pytest.raises(Unsupported, match="an input of tokens"):
        render_requests(Embedding(model="m", inputs=[[1]]), "m", Omissions("x", reject=False))


def test_an_answer_has_one_vector_or_several() -> None:
    one = answers.decode(b'{"embedding":{"values":[1]}}')
    several = answers.decode(b'{"embeddings":[{"values":[1]}],"usageMetadata":{}}')

    assert one.embedding is not None
    assert (one.embedding.values, one.embeddings) == ([1.0], None)
    assert several.embeddings is not None
    assert several.embeddings[0].values == [1.0]
