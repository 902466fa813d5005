"""Credentials at work: pools, the client's own, OAuth 2.0."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from proxy.config.load import TEXT
from proxy.errors import ConfigError
from proxy.testing import (
    Cut,
    ProxyURL,
    RawClient,
    Reset,
    Script,
    Send,
    Stall,
    Upstream,
    answer,
    request,
    serve,
)
from proxy.tokens import _refreshed as refreshed
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


# OAuth 2.0.

OAUTH2 = """
[provider.x.token]
type = "oauth2"
token_url = "{url}/token"
client_id = "me"
client_secret = "env:SECRET"
timeout = "1s"
"""
ENVIRON = {"SECRET": "canary-secret"}


def given(value: str, expires: float = 3600) -> Send:
    body = {"access_token": value, "token_type": "Bearer", "expires_in": expires}
    return answer(200, json.dumps(body))


async def test_an_access_token_is_asked_for_and_sent_as_bearer() -> None:
    async with Upstream(answer()) as upstream, Upstream(given("canary-one")) as service:
        more = OAUTH2.format(url=service.url)
        async with serve(config(upstream, more), environ=ENVIRON) as url:
            for _ in range(3):
                assert (await ask(url)).status == 200
            assert "canary" not in str(url.lines) + repr(vars(url.app))
        assert sent(upstream) == ["Bearer canary-one"] * 3
        [asked] = service.requests
        assert (asked.method, asked.target) == ("POST", "/token")
        assert asked.body == b"grant_type=client_credentials"
        assert asked.header("content-type") == "application/x-www-form-urlencoded"
        assert asked.header("authorization") == "Basic bWU6Y2FuYXJ5LXNlY3JldA=="


async def test_it_is_renewed_ahead_of_its_expiry_and_kept_where_that_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refreshed, "AHEAD", (0.05, 0.05))
    monkeypatch.setattr(refreshed, "SHORTEST", 0.01)
    monkeypatch.setattr(refreshed, "RETRY", (0.05, 0.05))
    scripts: list[Script] = [given("one", 1), answer(503, "no"), [Cut()], given("two")]
    async with Upstream(answer()) as upstream, Upstream(*scripts) as service:
        text = config(upstream, OAUTH2.format(url=service.url))
        async with serve(text, environ=ENVIRON) as url:
            for _ in range(300):
                assert (await ask(url)).status == 200
                if sent(upstream)[-1] == "Bearer two":
                    break
                await asyncio.sleep(0.01)
        *before, last = sent(upstream)
        assert (set(before), last) == ({"Bearer one"}, "Bearer two")
        assert len(service.requests) == 4, "one at a time"
    assert "the token endpoint answered 503; the old credential stays in use" in caplog.text
    assert "canary" not in caplog.text


async def test_the_proxy_starts_while_the_service_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refreshed, "RETRY", (0.05, 0.05))
    async with Upstream(answer()) as upstream:
        service = Upstream(given("one"))
        async with service:
            pass
        text = config(upstream, OAUTH2.format(url=service.url))
        async with serve(text, environ=ENVIRON) as url:
            told = await ask(url)
            assert (told.status, told.error["code"]) == (502, "provider.credentials")
            async with service:
                for _ in range(300):
                    if (await ask(url)).status == 200:
                        break
                    await asyncio.sleep(0.01)
            assert sent(upstream) == ["Bearer one"]


async def test_it_does_not_start_with_a_secret_that_is_wrong() -> None:
    refusal = answer(401, '{"error":"invalid_client"}')
    async with Upstream(answer()) as upstream, Upstream(refusal) as service:
        text = config(upstream, OAUTH2.format(url=service.url))
        with pytest.raises(ConfigError) as raised:
            async with serve(text, environ=ENVIRON):
                pass
    assert raised.value.problems == [
        f"{TEXT}:6: [provider.x.token]: the token endpoint answered 401 (invalid_client)"
    ]


async def test_a_token_that_its_provider_refuses_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refreshed, "UNASKED", 0.0)
    scripts = answer(401, "{}"), answer()
    async with Upstream(*scripts) as upstream, Upstream(given("one"), given("two")) as service:
        text = config(upstream, OAUTH2.format(url=service.url))
        async with serve(text, environ=ENVIRON) as url:
            assert (await ask(url)).status == 502
            await service.received(2)
            for _ in range(300):
                assert (await ask(url)).status == 200
                if sent(upstream)[-1] == "Bearer two":
                    break
                await asyncio.sleep(0.01)
        assert sent(upstream)[-1] == "Bearer two"
        assert len(service.requests) == 2


@pytest.mark.parametrize("script", [[Stall()], [Cut()], [Reset()], [Send(b"garbage\r\n\r\n")]])
async def test_a_service_that_is_not_well_is_no_reason_not_to_start(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async with Upstream(answer()) as upstream, Upstream(script) as service:
        text = config(upstream, OAUTH2.format(url=service.url))
        async with serve(text, environ=ENVIRON) as url:
            assert (await ask(url)).status == 502
    assert "the token endpoint" in caplog.text
    assert "; there is none so far" in caplog.text


async def test_a_redirect_takes_the_secret_nowhere() -> None:
    async with Upstream(answer()) as trap, Upstream(answer()) as upstream:
        away = answer(307, "", {"location": f"{trap.url}/token"})
        async with Upstream(away) as service:
            with pytest.raises(ConfigError, match="answered 307"):
                async with serve(config(upstream, OAUTH2.format(url=service.url)), environ=ENVIRON):
                    pass
        assert trap.connections == 0


async def test_the_service_is_asked_through_no_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Upstream(answer()) as trap, Upstream(answer()) as upstream:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.url)
        async with Upstream(given("one")) as service:
            text = config(upstream, OAUTH2.format(url=service.url))
            async with serve(text, environ=ENVIRON) as url:
                assert (await ask(url)).status == 200
        assert trap.connections == 0
