"""What real providers answered, as the official SDKs have it, and clients of other APIs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from proxy.event import Usage
from proxy.testing import Connection, ProxyURL, RawClient, Upstream, answer, request, serve
from tests.contract.clients import CLIENTS
from tests.recorded import Recorded, recordings, used

# google-genai's own class, which aiohttp would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

CONFIG = """
[provider.up]
type = "openai_compatible"
url = "{url}"
dialects = [{dialects}]
stream_usage = true
forward_headers = ["x-case"]

[[route]]
targets = ["up"]
usage = "never"
"""


class Replay:
    """A script's step: answers with what was recorded under the id that the request names."""

    def __init__(self, cases: list[Recorded]) -> None:
        self._cases = {case.id: case for case in cases}

    async def __call__(self, connection: Connection, /) -> None:
        got = connection.request
        assert got is not None
        case = self._cases[got.header("x-case") or ""]
        fields = {name: value for name, value in case.fields if name != "connection"}
        await answer(case.status, case.response, fields)(connection)


@asynccontextmanager
async def replaying(cases: list[Recorded]) -> AsyncIterator[tuple[Upstream, ProxyURL]]:
    """A provider of all these recordings, and a proxy before it."""
    dialects = ", ".join(f'"{name}"' for name in dict.fromkeys(case.dialect for case in cases))
    async with Upstream(Replay(cases)) as upstream:
        url = upstream.url + ("" if dialects.startswith('"gemini') else "/v1")
        async with serve(CONFIG.format(url=url, dialects=dialects)) as proxy:
            yield upstream, proxy


# The SDKs, asked straight and through the proxy.

OPENERS = {client.dialect: client.open for client in CLIENTS}


@dataclass(frozen=True)
class SDK:
    name: str
    dialects: tuple[str, ...]
    open: Callable[[str], Any]
    ask: Callable[[Any, Recorded], Awaitable[Any]]
    """Asks for a recording; the result, or what iterates over it."""


_OPENAI_TYPES: dict[str, tuple[Any, Any]] = {
    "openai_chat": (ChatCompletion, openai.AsyncStream[ChatCompletionChunk]),
    "openai_completions": (Completion, openai.AsyncStream[Completion]),
    "openai_responses": (Response, openai.AsyncStream[ResponseStreamEvent]),
    "openai_embeddings": (CreateEmbeddingResponse, None),
}


async def _ask_openai(client: openai.AsyncOpenAI, case: Recorded) -> Any:
    whole, chunks = _OPENAI_TYPES[case.dialect]
    more: dict[str, Any] = {}
    if case.streamed and case.status < 400:
        more = {"stream": True, "stream_cls": chunks}
    return await client.post(
        case.path.removeprefix("/v1"),
        cast_to=whole,
        body=json.loads(case.request),
        options={"headers": {"x-case": case.id}},
        **more,
    )


async def _ask_anthropic(client: anthropic.AsyncAnthropic, case: Recorded) -> Any:
    more: dict[str, Any] = {}
    if case.streamed and case.status < 400:
        more = {"stream": True, "stream_cls": anthropic.AsyncStream[RawMessageStreamEvent]}
    return await client.post(
        case.path,
        cast_to=Message if case.path == "/v1/messages" else MessageTokensCount,
        body=json.loads(case.request),
        options={"headers": {"x-case": case.id}},
        **more,
    )


async def _ask_google(client: Any, case: Recorded) -> Any:
    asks = {
        "model": "m",
        "contents": "Hi",
        "config": {"http_options": {"headers": {"x-case": case.id}}},
    }
    if case.path.endswith(":countTokens"):
        return await client.models.count_tokens(**asks)
    if case.path.endswith(":streamGenerateContent"):
        return await client.models.generate_content_stream(**asks)
    return await client.models.generate_content(**asks)


SDKS = (
    SDK("openai", tuple(_OPENAI_TYPES), OPENERS["openai_chat"], _ask_openai),
    SDK(
        "anthropic",
        ("anthropic_messages", "anthropic_count_tokens"),
        OPENERS["anthropic_messages"],
        _ask_anthropic,
    ),
    SDK("google-genai", ("gemini", "gemini_count_tokens"), OPENERS["gemini"], _ask_google),
)


async def understood(sdk: SDK, client: Any, case: Recorded) -> list[Any]:
    """All that an SDK makes of a recording, up to what it raises."""
    found: list[Any] = []
    try:
        result = await sdk.ask(client, case)
        if hasattr(result, "__aiter__"):
            async for event in result:
                found.append(_plain(event))
        else:
            found.append(_plain(result))
    except Exception as error:
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        found.append((type(error), str(error), status, getattr(error, "body", None)))
    return found


def _plain(result: Any) -> Any:
    # Google's SDK keeps the head of the response, which has fields of ours.
    return (type(result), result.model_dump(exclude={"sdk_http_response"}))


@pytest.mark.parametrize("sdk", SDKS, ids=[sdk.name for sdk in SDKS])
async def test_an_sdk_understands_the_same_with_the_proxy_and_without(
    sdk: SDK, cassettes: Path
) -> None:
    cases = [
        case
        for case in recordings(cassettes, *sdk.dialects)
        # This SDK asks for no stream that is an array.
        if "gemini" not in case.dialect or case.streamed or "stream" not in case.path
    ]
    succeeded = failed = 0
    async with (
        replaying(cases) as (upstream, proxy),
        sdk.open(upstream.url) as straight,
        sdk.open(proxy) as client,
    ):
        for case in cases:
            expected = await understood(sdk, straight, case)
            assert await understood(sdk, client, case) == expected, case.id
            refused = isinstance(expected[-1][0], type) and issubclass(expected[-1][0], Exception)
            assert refused or case.status < 400, case.id
            succeeded += not refused
            failed += refused
    assert succeeded > 20
    assert failed > 1


# Clients of other APIs.

DIALECTS = (
    *("openai_chat", "openai_responses", "anthropic_messages", "gemini"),
    *("bedrock_converse", "bedrock_messages"),
)
_HI = [{"role": "user", "content": "Hi"}]
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", {"model": "m", "messages": _HI}),
    "openai_responses": ("/v1/responses", {"model": "m", "input": "Hi"}),
    "anthropic_messages": ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": _HI}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    ),
}
pairs = pytest.mark.parametrize(
    ("client", "dialect"),
    [(client, dialect) for client in ASKS for dialect in DIALECTS if client != dialect],
)


async def translated(
    proxy: ProxyURL, client: str, case: Recorded
) -> tuple[int, dict[str, str], bytes, dict[str, Any]]:
    """What a client of another API gets of a recording, and what the log says of it."""
    path, body = ASKS[client]
    stream = case.status < 400 and ("eventstream" in case.kind or case.streamed or _is_array(case))
    if stream and client == "gemini":
        path = path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
    elif stream:
        body = body | {"stream": True}
    async with RawClient(proxy) as raw:
        await raw.send(request(path, body, headers={"x-case": case.id}))
        head = await raw.read_head()
        payload = await raw.read_body()
    fields = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
    return head.status, fields, payload, proxy.exchanges[-1]


def _is_array(case: Recorded) -> bool:
    return case.response.lstrip()[:1] == b"["


@pairs
async def test_recorded_usage_is_counted_whoever_asked(
    client: str, dialect: str, cassettes: Path
) -> None:
    cases = [
        case
        for case in recordings(cassettes, dialect)
        if case.status == 200 and used(case) is not None
    ]
    assert len(cases) > 5
    async with replaying(cases) as (_, proxy):
        for case in cases:
            status, _, _, line = await translated(proxy, client, case)
            assert status == 200, (case.id, line)
            counted = Usage(*(line.get(name, 0) for name in Usage.__struct_fields__))
            assert counted == used(case), case.id


@pairs
async def test_recorded_errors_keep_their_meaning_whoever_asked(
    client: str, dialect: str, cassettes: Path
) -> None:
    cases = [case for case in recordings(cassettes, dialect) if case.status >= 400]
    assert cases
    async with replaying(cases) as (_, proxy):
        for case in cases:
            status, fields, payload, line = await translated(proxy, client, case)
            assert status == case.status, case.id
            assert fields["x-llm-proxy-upstream-status"] == str(case.status)
            assert line["error"].startswith("provider.") or line["error"].startswith("client.")
            error = json.loads(payload)["error"]
            if case.status == 401:
                assert "the proxy's credentials" in error["message"]
            else:
                assert words(case) in error["message"], case.id
            assert error.get("type") or error.get("status")
            theirs = dict(case.fields)
            for name in fields.keys() | theirs.keys():
                if (
                    name.startswith("retry-after")
                    or "ratelimit" in name
                    or name == "x-should-retry"
                ):
                    assert fields.get(name) == theirs.get(name), (case.id, name)


def words(case: Recorded) -> str:
    """The provider's own words, wherever they stand."""
    found = json.loads(case.response)
    error = found.get("error") or found
    return str(error if isinstance(error, str) else error.get("message") or error.get("detail"))
