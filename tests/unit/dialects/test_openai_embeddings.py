"""OpenAI embeddings."""

import pytest

from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.errors import BadRequest
from proxy.event import Usage
from proxy.testing import check_dialect

EMBEDDINGS = OpenAIEmbeddings()
ANSWER = (
    b'{"object":"list","data":[{"embedding":[0.1,-2e-3]}],'
    b'"usage":{"prompt_tokens":8,"total_tokens":8}}'
)


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(EMBEDDINGS, [b'{"model":"m","input":[[1,2],[3]]}'], [ANSWER])


def test_it_is_the_embeddings_endpoint_of_the_family() -> None:
    assert (EMBEDDINGS.name, EMBEDDINGS.family, EMBEDDINGS.path, EMBEDDINGS.operation) == (
        *("openai_embeddings", "openai", "/v1/embeddings", "embeddings"),
    )


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
