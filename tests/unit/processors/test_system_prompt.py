"""The operator's prompt stands before whatever the client tells the model."""

import msgspec
import pytest

from proxy.dialect import Dialect
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import Unsupported
from proxy.processors.system_prompt import SystemPrompt
from proxy.testing import check_processor
from tests.unit.conftest import Request

PROMPT = SystemPrompt(text='Say "yes".')


@pytest.mark.parametrize(
    ("dialect", "body", "edited"),
    [
        (
            OpenAIChat(),
            b'{"messages":[{"role":"user",  "content":"hi"}],"model":"m"}',
            b'{"messages":[{"role":"system","content":"Say \\"yes\\"."},'
            b'{"role":"user",  "content":"hi"}],"model":"m"}',
        ),
        (
            OpenAIResponses(),
            b'{"model":"m","instructions":"Be kind."}',
            b'{"model":"m","instructions":"Say \\"yes\\".\\n\\nBe kind."}',
        ),
        (OpenAIEmbeddings(), b'{"model":"m", "input":"x"}', b'{"model":"m", "input":"x"}'),
    ],
)
async def test_the_prompt_comes_first(dialect: Dialect, body: bytes, edited: bytes) -> None:
    assert await check_processor(PROMPT, dialect, body, raw=Request()) == edited


async def test_an_endpoint_without_a_place_for_it_is_refused() -> None:
    answer = await check_processor(PROMPT, OpenAICompletions(), b'{"model":"m"}', raw=Request())

    assert msgspec.json.decode(answer)["error"]["code"] == Unsupported.code


def test_an_empty_prompt_is_refused_at_load() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"length >= 1.*\$\.text"):
        msgspec.convert({"text": ""}, SystemPrompt)
