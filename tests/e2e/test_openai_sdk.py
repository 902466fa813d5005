"""The official OpenAI SDK against the proxy: it must not notice that there is one."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import openai
import pytest

from proxy.mock import Mock, MockSettings, start_mock
from proxy.testing import ProxyURL, Upstream, answer, serve

T = TypeVar("T")

CLIENT_KEY = "sk-client-0123456789"
USER: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
TOOLS: Any = [{"type": "function", "function": WEATHER}]

PROVIDER = """
[provider.fake]
type = "vllm"
url = "%s"
"""
COMPLETION = answer(body='{"id":"c","object":"chat.completion","choices":[]}')


@asynccontextmanager
async def sdk(proxy: ProxyURL, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client that gives up at the first failure, so that each failure is seen."""
    settings: dict[str, Any] = {"max_retries": 0, "timeout": 20.0, **options}
    async with openai.AsyncOpenAI(base_url=f"{proxy}/v1", api_key=CLIENT_KEY, **settings) as client:
        yield client


@asynccontextmanager
async def slow_mock(**settings: Any) -> AsyncIterator[tuple[Mock, ProxyURL]]:
    """A proxy before a mock provider whose counters are at hand."""
    mock = await start_mock(MockSettings(**settings))
    try:
        async with serve(PROVIDER % mock.url) as proxy:
            yield mock, proxy
    finally:
        await mock.close()


@pytest.fixture
async def proxy() -> AsyncIterator[ProxyURL]:
    async with serve() as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: ProxyURL) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(proxy) as client:
        yield client


async def until(holds: Callable[[], object], *, within: float = 5.0) -> float:
    """Waits for what happens elsewhere in this loop; returns how many seconds that took."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        assert waited < within, "it did not happen in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - began


async def collect(source: AsyncIterable[T], into: list[T]) -> None:
    """Keeps what came, whatever happens after it."""
    async for each in source:
        into.append(each)


def tokens(line: dict[str, Any]) -> tuple[int, int]:
    """What an exchange's line in the log says was used."""
    return line["input_tokens"], line["output_tokens"]


async def test_a_chat_completion(proxy: ProxyURL, client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="gpt-x", messages=USER)
    completion = raw.parse()
    assert completion.model == "gpt-x"
    assert completion.choices[0].message.content
    assert completion.usage is not None
    [line] = proxy.exchanges
    assert tokens(line) == (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    assert raw.headers["x-llm-proxy-request-id"] == line["request_id"]
    assert raw.headers["x-llm-proxy-provider"] == "mock"
    assert raw.headers["x-llm-proxy-model"] == "gpt-x"
    # The provider's own id stays under its own name: it is what its support asks for.
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")


@pytest.mark.parametrize("asked", [False, True])
async def test_a_streams_usage_is_counted_and_shown_to_whom_asked_for_it(
    proxy: ProxyURL, client: openai.AsyncOpenAI, asked: bool
) -> None:
    whole = await client.chat.completions.create(model="mock", messages=USER, n=2)
    options: Any = {"stream_options": {"include_usage": True}} if asked else {}
    stream = await client.chat.completions.create(
        model="mock", messages=USER, n=2, stream=True, **options
    )
    chunks = [chunk async for chunk in stream]
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    used = [chunk.usage for chunk in chunks if chunk.usage is not None]
    without_choices = [chunk for chunk in chunks if not chunk.choices]
    assert used == ([whole.usage] if asked else [])
    assert len(without_choices) == asked
    in_whole, in_stream = proxy.exchanges
    assert in_stream["stream"]
    assert tokens(in_stream) == tokens(in_whole)


async def test_usage_is_not_asked_for_where_the_route_never_does() -> None:
    config = '[provider.mock]\ntype = "mock"\n[[route]]\ntargets = ["mock"]\nusage = "never"'
    async with serve(config) as proxy, sdk(proxy) as client:
        stream = await client.chat.completions.create(model="mock", messages=USER, stream=True)
        assert all(chunk.choices for chunk in [chunk async for chunk in stream])
        assert "input_tokens" not in proxy.exchanges[-1]


async def test_a_tool_call_streamed_and_whole(client: openai.AsyncOpenAI) -> None:
    create = client.chat.completions.create
    whole = await create(model="mock", messages=USER, tools=TOOLS)
    async with client.chat.completions.stream(model="mock", messages=USER, tools=TOOLS) as stream:
        streamed = await stream.get_final_completion()
    for completion in (whole, streamed):
        [choice] = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        [call] = choice.message.tool_calls
        assert call.type == "function"
        assert call.function.name == "weather"
        assert set(msgspec.json.decode(call.function.arguments)) == {"city", "days"}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Rain"}
    last = await create(model="mock", messages=[*USER, result], tools=TOOLS)
    assert last.choices[0].message.content


async def test_a_json_schema_is_fitted(client: openai.AsyncOpenAI) -> None:
    wanted: Any = {"name": "weather", "schema": WEATHER["parameters"]}
    completion = await client.chat.completions.create(
        model="mock",
        messages=USER,
        response_format={"type": "json_schema", "json_schema": wanted},
    )
    content = msgspec.json.decode(completion.choices[0].message.content or "")
    assert isinstance(content["city"], str)
    assert isinstance(content["days"], int)


async def test_a_legacy_completion_streamed_and_whole(
    proxy: ProxyURL, client: openai.AsyncOpenAI
) -> None:
    whole = await client.completions.create(model="mock", prompt="Once", max_tokens=4)
    stream = await client.completions.create(model="mock", prompt="Once", max_tokens=4, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
    assert tokens(proxy.exchanges[0]) == tokens(proxy.exchanges[1])


async def test_embeddings_are_the_same_in_both_encodings(
    proxy: ProxyURL, client: openai.AsyncOpenAI
) -> None:
    # Without an encoding the SDK asks for base64, and decodes it.
    inputs = ["One", "Two"]
    packed = await client.embeddings.create(model="mock", input=inputs, dimensions=8)
    plain = await client.embeddings.create(
        model="mock", input=inputs, dimensions=8, encoding_format="float"
    )
    assert [each.embedding for each in packed.data] == [each.embedding for each in plain.data]
    assert proxy.exchanges[-1]["input_tokens"] == plain.usage.prompt_tokens


async def test_a_response_streamed_and_whole(proxy: ProxyURL, client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="mock", input="Hello")
    async with client.responses.stream(model="mock", input="Hello") as stream:
        deltas = [each.delta async for each in stream if each.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == whole.output_text == final.output_text
    assert whole.usage is not None
    assert final.usage == whole.usage
    used = (whole.usage.input_tokens, whole.usage.output_tokens)
    assert [tokens(line) for line in proxy.exchanges] == [used, used]


async def test_a_response_that_calls_a_function(client: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "strict": True, **WEATHER}]
    whole = await client.responses.create(model="mock", input="Hello", tools=tools)
    async with client.responses.stream(model="mock", input="Hello", tools=tools) as stream:
        final = await stream.get_final_response()
    [call], [streamed] = whole.output, final.output
    assert call.type == streamed.type == "function_call"
    assert call.arguments == streamed.arguments


async def test_the_models_are_the_providers_where_the_routes_name_none(
    client: openai.AsyncOpenAI,
) -> None:
    assert "mock" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("mock")).id == "mock"
    assert (await client.models.retrieve("org/any model")).id == "org/any model"


async def test_the_models_are_those_that_the_routes_name() -> None:
    config = """
        [provider.mock]
        type = "mock"
        [[route]]
        models = ["fast", "org/large", "gpt-*"]
        targets = ["mock/gpt-4o"]
    """
    async with serve(config) as proxy, sdk(proxy) as client:
        assert [model.id async for model in client.models.list()] == ["fast", "org/large", "gpt-4o"]
        assert (await client.models.retrieve("fast")).owned_by == "mock"
        assert (await client.models.retrieve("org/large")).id == "org/large"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("slow")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, openai.BadRequestError, "provider.refused"),
        (401, openai.AuthenticationError, "provider.refused"),
        (403, openai.PermissionDeniedError, "provider.refused"),
        (404, openai.NotFoundError, "provider.refused"),
        (409, openai.ConflictError, "provider.refused"),
        (422, openai.UnprocessableEntityError, "provider.refused"),
        (429, openai.RateLimitError, "provider.rate_limited"),
        (500, openai.InternalServerError, "provider.broke"),
        (503, openai.InternalServerError, "provider.overloaded"),
    ],
)
async def test_a_providers_status_raises_the_error_that_it_means(
    proxy: ProxyURL,
    client: openai.AsyncOpenAI,
    status: int,
    error: type[openai.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    with pytest.raises(error, match=f"asked for status {status}") as caught:
        await client.chat.completions.create(
            model=f"mock-status-{status}", messages=USER, stream=stream
        )
    headers = caught.value.response.headers
    assert caught.value.status_code == status
    assert caught.value.type
    assert caught.value.request_id == headers["x-request-id"]
    assert ("retry-after" in headers) == (status in (429, 503))
    assert headers["x-llm-proxy-error"] == code
    [line] = proxy.exchanges
    assert (line["status"], line["error"]) == (status, code)
    assert line["request_id"] == headers["x-llm-proxy-request-id"]


async def test_what_the_proxy_refuses_raises_the_error_that_it_means() -> None:
    config = """
        [server]
        max_body_size = "1KiB"
        [provider.mock]
        type = "mock"
        [[route]]
        models = ["mock*"]
        targets = ["mock"]
    """
    long: Any = [{"role": "user", "content": "x" * 1024}]
    cases: list[tuple[Any, type[openai.APIStatusError], int, str, str | None]] = [
        ({"model": "gpt-4o"}, openai.NotFoundError, 404, "proxy.no_route", "model"),
        ({"messages": long}, openai.APIStatusError, 413, "client.too_large", None),
        ({"extra_body": {"stream": "yes"}}, openai.BadRequestError, 400, "client.bad_request", ""),
        ({"model": "mock-refuse"}, openai.InternalServerError, 502, "provider.broke", None),
    ]
    async with serve(config) as proxy, sdk(proxy) as client:
        for arguments, error, status, code, param in cases:
            with pytest.raises(error) as caught:
                await client.chat.completions.create(
                    **({"model": "mock", "messages": USER} | arguments)
                )
            assert caught.value.status_code == status
            assert caught.value.code == code
            assert caught.value.type == (
                "server_error" if status == 502 else "invalid_request_error"
            )
            assert param == "" or caught.value.param == param
            assert caught.value.request_id == proxy.exchanges[-1]["request_id"]
            assert proxy.exchanges[-1]["error"] == code


async def test_a_provider_sees_its_own_token_and_never_the_clients_key() -> None:
    config = PROVIDER + 'token = "env:PROVIDER_TOKEN"'
    secret = "sk-provider-9876543210"
    async with (
        Upstream(COMPLETION, answer(401, '{"error":{"message":"bad key sk-prov***"}}')) as upstream,
        serve(config % f"{upstream.url}/v1", environ={"PROVIDER_TOKEN": secret}) as proxy,
        sdk(proxy, organization="org-1", default_headers={"x-api-key": CLIENT_KEY}) as client,
    ):
        await client.chat.completions.create(model="m", messages=USER)
        [seen] = upstream.requests
        assert seen.header("authorization") == f"Bearer {secret}"
        assert seen.header("openai-organization") == "org-1"
        assert seen.header("x-stainless-lang") == "python"
        assert CLIENT_KEY.encode() not in seen.head
        # A credential that is wrong is not the client's: neither its fault nor its to see.
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=USER)
        assert (caught.value.status_code, caught.value.code) == (502, "provider.credentials")
        assert "sk-prov" not in caught.value.response.text
        log = msgspec.json.encode(proxy.lines).decode()
        assert secret not in log
        assert CLIENT_KEY not in log


async def test_the_sdk_tries_again_and_says_so() -> None:
    busy = answer(503, '{"error":{"message":"busy"}}', {"retry-after-ms": "1"})
    async with (
        Upstream(busy, COMPLETION) as upstream,
        serve(PROVIDER % f"{upstream.url}/v1") as proxy,
        sdk(proxy, max_retries=1) as client,
    ):
        assert (await client.chat.completions.create(model="m", messages=USER)).id == "c"
        retries = [request.header("x-stainless-retry-count") for request in upstream.requests]
        assert retries == ["0", "1"]
        assert [line["status"] for line in proxy.exchanges] == [503, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_gives_up_waiting_takes_its_request_along(stream: bool) -> None:
    async with slow_mock(ttft="30s") as (mock, proxy), sdk(proxy, timeout=0.5) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="mock", messages=USER, stream=stream)
        await until(lambda: mock.cancelled == 1)
        assert mock.in_flight == 0
        [line] = proxy.exchanges
        assert (line["status"], line["error"], line["phase"]) == (499, "client.left", "waiting")


async def test_closing_a_stream_reaches_the_provider() -> None:
    async with slow_mock(itl="30s") as (mock, proxy), sdk(proxy) as client:
        stream = await client.chat.completions.create(model="mock", messages=USER, stream=True)
        assert (await anext(aiter(stream))).choices[0].delta.role == "assistant"
        assert mock.in_flight == 1
        await stream.close()
        await until(lambda: mock.cancelled == 1)
        assert mock.in_flight == 0
        [line] = proxy.exchanges
        assert (line["error"], line["phase"]) == ("client.left", "streaming")
        assert not proxy.app.pipeline.running


async def test_cancelling_the_task_that_waits_reaches_the_provider() -> None:
    async with slow_mock(ttft="30s") as (mock, proxy), sdk(proxy) as client:
        asking = asyncio.create_task(client.responses.create(model="mock", input="Hello"))
        await until(lambda: mock.in_flight == 1)
        asking.cancel()
        await until(lambda: mock.cancelled == 1)
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert proxy.exchanges[0]["error"] == "client.left"


async def test_a_provider_that_takes_too_long_is_a_504() -> None:
    config = '[provider.mock]\ntype = "mock"\nttft = "30s"\nfirst_byte_timeout = "100ms"'
    async with serve(config) as proxy, sdk(proxy) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="mock", messages=USER)
        assert (caught.value.status_code, caught.value.code) == (504, "provider.timeout")
        assert caught.value.request_id == proxy.exchanges[0]["request_id"]


@pytest.mark.parametrize(
    ("model", "words", "code"),
    [
        ("mock-cut-5", "cut off", "provider.broke"),
        ("mock-error-5", "after 5 events", "provider.broke"),
        ("mock-stall-5", "sent nothing", "provider.timeout"),
    ],
)
async def test_a_stream_that_does_not_end_well_raises(model: str, words: str, code: str) -> None:
    config = '[provider.mock]\ntype = "mock"\nidle_timeout = "100ms"'
    async with serve(config) as proxy, sdk(proxy) as client:
        stream = await client.chat.completions.create(model=model, messages=USER, stream=True)
        chunks: list[Any] = []
        with pytest.raises(openai.APIError, match=words):
            await collect(stream, chunks)
        assert len(chunks) == 5
        await until(lambda: proxy.exchanges)
        [line] = proxy.exchanges
        assert (line["status"], line["error"]) == (200, code)


async def test_a_responses_stream_that_does_not_end_well_raises(
    client: openai.AsyncOpenAI,
) -> None:
    # Ours has the `error` that the SDK raises.
    stream = await client.responses.create(model="mock-cut-5", input="Hello", stream=True)
    events: list[Any] = []
    with pytest.raises(openai.APIError, match="cut off"):
        await collect(stream, events)
    assert len(events) == 5

    # A provider's own may have none: it is an event like others, and what raises is the connection
    # that breaks behind it.
    stream = await client.responses.create(model="mock-error-5", input="Hello", stream=True)
    events.clear()
    with pytest.raises(openai.APIConnectionError):
        await collect(stream, events)
    assert len(events) == 6
    assert events[-1].type == "error"
    assert events[-1].message


async def test_the_sync_client(proxy: ProxyURL) -> None:
    def use() -> None:
        options: Any = {"base_url": f"{proxy}/v1", "api_key": CLIENT_KEY, "max_retries": 0}
        with openai.OpenAI(**options) as client:
            create = client.chat.completions.create
            whole = create(model="mock", messages=USER)
            chunks = list(create(model="mock", messages=USER, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert text == whole.choices[0].message.content
            assert client.embeddings.create(model="mock", input="One").data[0].embedding
            assert client.responses.create(model="mock", input="Hello").output_text
            assert client.models.retrieve("mock").id == "mock"
            with pytest.raises(openai.RateLimitError):
                create(model="mock-status-429", messages=USER)
            broken: Iterator[Any] = create(model="mock-cut-5", messages=USER, stream=True)
            with pytest.raises(openai.APIError, match="cut off"):
                list(broken)
            with create(model="mock-stall-5", messages=USER, stream=True) as stalled:
                next(iter(stalled))

    await asyncio.to_thread(use)
    await until(lambda: proxy.exchanges[-1].get("error") == "client.left")
    assert not proxy.app.pipeline.running
