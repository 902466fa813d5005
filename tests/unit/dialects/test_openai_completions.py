"""OpenAI's legacy completions."""

import pytest

from proxy.dialects.openai_completions import OpenAICompletions
from proxy.errors import BadRequest, Unsupported
from proxy.testing import check_dialect

COMPLETIONS = OpenAICompletions()
STREAM = (
    b'data: {"object":"text_completion","choices":[{"index":0,"text":"a"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\ndata: [DONE]\n\n'
)


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(COMPLETIONS, [b'{"model":"m","prompt":["a",[1,2]]}'], [STREAM])


def test_it_is_the_completions_endpoint_of_the_family() -> None:
    assert (COMPLETIONS.name, COMPLETIONS.family, COMPLETIONS.path, COMPLETIONS.operation) == (
        *("openai_completions", "openai", "/v1/completions", "text_completion"),
    )


def test_a_request_must_name_its_model() -> None:
    with pytest.raises(BadRequest, match="you must provide a model parameter"):
        COMPLETIONS.parse(b'{"prompt":"a"}')


def test_its_streams_are_asked_for_usage() -> None:
    assert COMPLETIONS.ask_usage(COMPLETIONS.parse(b'{"model":"m","stream":true}'))


def test_it_has_no_place_for_a_system_prompt() -> None:
    request = COMPLETIONS.parse(b'{"model":"m","prompt":"a"}')

    with pytest.raises(Unsupported, match="/v1/completions has no place for it"):
        COMPLETIONS.add_system(request, "x")
    assert not request.changed
