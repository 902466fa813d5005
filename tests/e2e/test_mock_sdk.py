"""The mock provider as the official SDK sees it."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, TypeVar

import msgspec
import openai
import pytest

from proxy.mock import MockSettings, start_mock

T = TypeVar("T")

USER: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    mock = await start_mock(MockSettings())
    async with openai.AsyncOpenAI(base_url=mock.url, api_key="none", max_retries=0) as client:
        yield client
    await mock.close()


async def collect(source: AsyncIterable[T], into: list[T]) -> None:
    """Keeps what came, whatever happens after it."""
    async for each in source:
        into.append(each)


async def test_a_chat_completion(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(model="gpt-4o", messages=USER)
    assert completion.model == "gpt-4o"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 16
    assert completion._request_id is not None


async def test_a_chat_stream_with_usage(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="mock", messages=USER, n=2)
    stream = await client.chat.completions.create(
        model="mock", messages=USER, n=2, stream=True, stream_options={"include_usage": True}
    )
    texts = ["", ""]
    usage = None
    async for chunk in stream:
        usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert usage == whole.usage


async def test_a_chat_stream_of_a_tool_call(client: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": WEATHER}]
    async with client.chat.completions.stream(model="mock", messages=USER, tools=tools) as stream:
        completion = await stream.get_final_completion()
    [choice] = completion.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.function.name == "weather"
    assert set(msgspec.json.decode(call.function.arguments)) == {"city", "days"}

    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Rain"}
    answer = await client.chat.completions.create(
        model="mock", messages=[*USER, result], tools=tools
    )
    assert answer.choices[0].message.content


async def test_a_json_schema_is_fitted(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="mock",
        messages=USER,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "weather", "schema": WEATHER["parameters"]},
        },
    )
    content = msgspec.json.decode(completion.choices[0].message.content or "")
    assert isinstance(content["city"], str)
    assert isinstance(content["days"], int)


async def test_a_legacy_completion(client: openai.AsyncOpenAI) -> None:
    whole = await client.completions.create(model="mock", prompt="Once", max_tokens=4)
    stream = await client.completions.create(model="mock", prompt="Once", max_tokens=4, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"


async def test_embeddings_are_the_same_in_both_encodings(client: openai.AsyncOpenAI) -> None:
    # Without an encoding the SDK asks for base64, and decodes it.
    inputs = ["One", "Two"]
    packed = await client.embeddings.create(model="mock", input=inputs, dimensions=8)
    plain = await client.embeddings.create(
        model="mock", input=inputs, dimensions=8, encoding_format="float"
    )
    assert [each.embedding for each in packed.data] == [each.embedding for each in plain.data]
    assert [len(each.embedding) for each in plain.data] == [8, 8]


async def test_a_response_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="mock", input="Hello")
    assert len(whole.output_text.split()) == 16
    async with client.responses.stream(model="mock", input="Hello") as stream:
        deltas = [each.delta async for each in stream if each.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == whole.output_text == final.output_text
    assert final.usage == whole.usage


async def test_a_response_that_calls_a_function(client: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "strict": True, **WEATHER}]
    whole = await client.responses.create(model="mock", input="Hello", tools=tools)
    async with client.responses.stream(model="mock", input="Hello", tools=tools) as stream:
        final = await stream.get_final_response()
    [call], [streamed] = whole.output, final.output
    assert call.type == streamed.type == "function_call"
    assert call.arguments == streamed.arguments
    assert set(msgspec.json.decode(call.arguments)) == {"city", "days"}


async def test_the_models(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert "mock" in listed
    assert (await client.models.retrieve("org/any model")).id == "org/any model"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_status_raises_the_error_that_it_means(
    client: openai.AsyncOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model=f"mock-status-{status}", messages=USER)
    assert caught.value.status_code == status
    assert caught.value.type
    assert ("retry-after" in caught.value.response.headers) == (status in (429, 503))


async def test_a_cut_stream_raises(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="mock-cut-5", messages=USER, stream=True)
    chunks: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        await collect(stream, chunks)
    assert len(chunks) == 5


async def test_an_error_in_a_stream_raises(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="mock-error-5", messages=USER, stream=True)
    chunks: list[Any] = []
    with pytest.raises(openai.APIError, match="after 5 events"):
        await collect(stream, chunks)
    assert len(chunks) == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_raises(client: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="mock-refuse", messages=USER, stream=stream)
