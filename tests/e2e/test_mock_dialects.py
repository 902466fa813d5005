"""The mock provider in the dialects that it speaks by their codecs, asked by official SDKs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types
from google.genai.models import AsyncModels

from proxy.testing import ProxyURL, RawClient, request, serve

ASKED = {"max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_anthropics_clients(stream: bool) -> None:
    async with (
        serve() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        if stream:
            async with client.messages.stream(model="mock", **ASKED) as events:  # type: ignore[arg-type]
                message = await events.get_final_message()
        else:
            message = await client.messages.create(model="mock", **ASKED)  # type: ignore[call-overload]
        counted = await client.messages.count_tokens(model="mock", messages=ASKED["messages"])  # type: ignore[arg-type]
        line = url.exchanges[0]

    assert message.content[0].type == "text"
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 8
    assert counted.input_tokens > 0
    assert line["dialect"] == "anthropic_messages"
    assert (line["output_tokens"], line["stream"]) == (8, stream)


async def test_it_fails_as_it_is_asked_to() -> None:
    async with (
        serve() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.InternalServerError):
            await client.messages.create(model="mock-status-503", **ASKED)  # type: ignore[call-overload]
        with pytest.raises(anthropic.APIError):
            async with client.messages.stream(model="mock-error-2", **ASKED) as events:  # type: ignore[arg-type]
                await events.get_final_message()


@asynccontextmanager
async def google(url: str) -> AsyncIterator[AsyncModels]:
    """Google's SDK over httpx2: its use of aiohttp is what aiohttp warns of."""
    async with httpx2.AsyncClient() as transport:
        options = types.HttpOptions(base_url=url, httpx_async_client=transport)
        yield genai.Client(api_key="k", http_options=options).aio.models


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_googles_clients(stream: bool) -> None:
    config = types.GenerateContentConfig(max_output_tokens=8)
    async with serve() as url, google(url) as models:
        if stream:
            chunks = [
                chunk
                async for chunk in await models.generate_content_stream(
                    model="mock", contents="Hello", config=config
                )
            ]
        else:
            chunks = [await models.generate_content(model="mock", contents="Hello", config=config)]
        counted = await models.count_tokens(model="mock", contents="Hello")
        embedded = await models.embed_content(model="mock", contents=["a", "b"])
        line = url.exchanges[0]

    assert "".join(chunk.text or "" for chunk in chunks)
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.candidates_token_count == 8
    assert counted.total_tokens
    assert len(embedded.embeddings or []) == 2
    assert line["dialect"] == "gemini"
    assert (line["output_tokens"], line["stream"]) == (8, stream)


async def test_it_streams_an_array_to_who_asks_for_no_events() -> None:
    body = {"contents": [{"parts": [{"text": "Hello"}]}]}
    path = "/v1beta/models/mock:streamGenerateContent"
    async with serve() as url, RawClient(url) as client:
        await client.send(request(path, body))
        head = await client.read_head()
        chunks = json.loads(await client.read_body())

    assert dict(head.headers)[b"content-type"] == b"application/json"
    assert len(chunks) > 2
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


async def test_it_fails_googles_clients_as_it_is_asked_to() -> None:
    async with serve() as url, google(url) as models:
        with pytest.raises(errors.ServerError):
            await models.generate_content(model="mock-status-503", contents="Hello")
        with pytest.raises(errors.APIError):
            async for _ in await models.generate_content_stream(
                model="mock-error-2", contents="Hello"
            ):
                pass


TRANSLATED = """
[provider.up]
type = "openai_compatible"
url = "{url}"
dialects = ["{dialect}"]
stream_usage = true

[[route]]
targets = ["up"]
"""


@asynccontextmanager
async def before_a_mock_of(
    dialect: str,
) -> AsyncIterator[tuple[openai.AsyncOpenAI, ProxyURL]]:
    """OpenAI's SDK before a proxy, before a mock that is asked in `dialect` only."""
    async with serve() as mock:
        base = mock if dialect == "gemini" else f"{mock}/v1"
        async with (
            serve(TRANSLATED.format(url=base, dialect=dialect)) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
        ):
            yield client, url


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["openai_completions", "openai_chat", "gemini"])
async def test_a_completion_is_had_of_every_api(dialect: str, stream: bool) -> None:
    async with before_a_mock_of(dialect) as (client, url):
        asked: dict[str, Any] = {"model": "mock", "prompt": "Hello", "n": 2, "max_tokens": 8}
        texts = ["", ""]
        finishes: list[str] = []
        if stream:
            asked["stream_options"] = {"include_usage": True}
            async for chunk in await client.completions.create(stream=True, **asked):
                for choice in chunk.choices:
                    texts[choice.index] += choice.text
                    finishes += [choice.finish_reason] if choice.finish_reason else []
                usage = chunk.usage
        else:
            answer = await client.completions.create(**asked)
            texts = [choice.text for choice in answer.choices]
            finishes = [choice.finish_reason for choice in answer.choices]
            usage = answer.usage
        line = url.exchanges[0]

    assert [len(text.split()) for text in texts] == [8, 8]
    assert finishes == ["length", "length"]
    assert usage is not None
    assert usage.completion_tokens == 16
    assert (line["dialect"], line["output_tokens"]) == ("openai_completions", 16)


async def test_a_chat_is_had_of_who_knows_completions_only() -> None:
    async with before_a_mock_of("openai_completions") as (client, _):
        asked: Any = {"model": "mock", "messages": ASKED["messages"], "max_tokens": 8}
        answer = await client.chat.completions.create(**asked)
        asked |= {"model": "mock-error-2", "stream": True}
        with pytest.raises(openai.APIError, match="asked to fail"):
            async for _ in await client.chat.completions.create(**asked):
                pass

    assert answer.object == "chat.completion"
    assert len((answer.choices[0].message.content or "").split()) == 8
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


async def test_what_only_completions_know_needs_a_provider_of_them() -> None:
    async with before_a_mock_of("anthropic_messages") as (client, _):
        with pytest.raises(openai.BadRequestError, match="`prompt: several texts`") as raised:
            await client.completions.create(model="mock", prompt=["a", "b"])
    assert raised.value.param == "prompt"
