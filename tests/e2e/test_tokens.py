"""Credentials at work: pools, the client's own."""

from collections.abc import Mapping

import pytest

from proxy.testing import ProxyURL, RawClient, Upstream, answer, request, serve
from tests.e2e.conftest import CHAT, Answer, read_answer

CONFIG = """
[provider.x]
type = "openai_compatible"
url = "{url}/v1"
{more}
[[route]]
name = "all"
path = ["/v1/*"]
targets = ["x"]
{route}
"""
BODY = {"model": "m", "messages": []}


def config(upstream: Upstream, more: str = "", route: str = "") -> str:
    return CONFIG.format(url=upstream.url, more=more, route=route)


async def ask(url: ProxyURL, path: str = CHAT, headers: Mapping[str, str] | None = None) -> Answer:
    async with RawClient(url) as client:
        await client.send(request(path, BODY, headers=headers or {}))
        return await read_answer(client)


def sent(upstream: Upstream, name: str = "authorization") -> list[str | None]:
    return [received.header(name) for received in upstream.requests]


# Pools.


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_token_that_is_refused_rests_while_another_serves(status: int) -> None:
    refusal = answer(status, '{"error":{"message":"no","code":"x"}}')
    async with Upstream(refusal, answer()) as upstream:
        more = 'token = { type = "pool", tokens = ["env:A", "env:B"], select = "ordered" }'
        async with serve(config(upstream, more), environ={"A": "sk-a", "B": "sk-b"}) as url:
            first = await ask(url)
            assert first.status == (502 if status == 401 else status)
            assert [(await ask(url)).status for _ in range(3)] == [200] * 3
            assert sent(upstream) == ["Bearer sk-a", *["Bearer sk-b"] * 3]
            assert "sk-" not in str(url.lines)


async def test_a_rest_is_as_long_as_usual_where_the_provider_says_less() -> None:
    limited = answer(429, "{}", {"content-type": "application/json", "retry-after-ms": "1"})
    async with Upstream(limited, answer()) as upstream:
        more = 'token = ["env:A", "env:B"]'
        async with serve(config(upstream, more), environ={"A": "sk-a", "B": "sk-b"}) as url:
            assert (await ask(url)).status == 429
            for _ in range(4):
                assert (await ask(url)).status == 200
            assert sent(upstream)[1:] == ["Bearer sk-b"] * 4


async def test_a_pool_serves_what_passes_through_too() -> None:
    async with Upstream(answer()) as upstream:
        more = 'token = ["env:A", "env:B"]'
        async with serve(config(upstream, more), environ={"A": "sk-a", "B": "sk-b"}) as url:
            for _ in range(4):
                assert (await ask(url, "/v1/files")).status == 200
        assert sent(upstream) == ["Bearer sk-a", "Bearer sk-b"] * 2


# The client's own.


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
@pytest.mark.parametrize("where", ["provider", "route"])
async def test_the_clients_own_credential_goes_in_the_providers_header(
    path: str, where: str
) -> None:
    own = 'token = "client"'
    more = f"auth = 'x-api-key: {{token}}'\n{own if where == 'provider' else ''}"
    async with Upstream(answer()) as upstream:
        text = config(upstream, more, own if where == "route" else "")
        async with serve(text, environ={"A": "sk-ours"}) as url:
            headers = {"authorization": "Bearer canary-1", "x-llm-proxy-key": "canary-ours"}
            assert (await ask(url, path, headers)).status == 200
            assert (await ask(url, f"{path}?key=canary-2")).status == 200
            assert "canary" not in str(url.lines)
        assert sent(upstream, "x-api-key") == ["canary-1", "canary-2"]
        assert sent(upstream) == [None, None]
        assert sent(upstream, "x-llm-proxy-key") == [None, None]
        assert [received.target for received in upstream.requests] == [path, path]


async def test_a_routes_word_wins_over_the_providers_token() -> None:
    async with Upstream(answer()) as upstream:
        text = config(upstream, 'token = "env:A"', 'token = "client"')
        async with serve(text, environ={"A": "sk-ours"}) as url:
            assert (await ask(url, headers={"x-api-key": "sk-mine"})).status == 200
            assert (await ask(url)).status == 401
        assert sent(upstream) == ["Bearer sk-mine"], "never ours instead"


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
async def test_a_client_without_a_credential_is_told_so_in_its_dialect(path: str) -> None:
    async with Upstream(answer()) as upstream:
        async with serve(config(upstream, 'token = "client"')) as url:
            told = await ask(url, path)
            assert told.status == 401
            assert told.fields["x-llm-proxy-error"] == "policy.unauthenticated"
            assert told.error["type"] == "authentication_error"
            assert url.exchanges[0]["error"] == "policy.unauthenticated"
        assert upstream.requests == []


async def test_a_provider_that_refuses_the_clients_credential_tells_the_client() -> None:
    words = '{"error":{"message":"Incorrect API key","type":"x","param":null,"code":"y"}}'
    async with Upstream(answer(401, words)) as upstream:
        async with serve(config(upstream, 'token = "client"')) as url:
            told = await ask(url, headers={"authorization": "Bearer sk-mine"})
        assert told.status == 401
        assert told.error["message"] == "Incorrect API key"
