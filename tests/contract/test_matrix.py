"""Every SDK against every API behind the proxy, feature by feature: docs/compatibility.md."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.testing import ProxyURL, Upstream, answer, serve
from tests.contract.clients import CLIENTS, Client
from tests.contract.features import FEATURES, SCHEMA, Feature, Said, Seen, Turn
from tests.contract.matrix import document, gap
from tests.contract.providers import PROVIDERS, Provider

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"

# google-genai's own class, which aiohttp would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

CONFIG = """
[provider.up]
type = "openai_compatible"
url = "{url}"
dialects = ["{dialect}"]
stream_usage = true

[[route]]
targets = ["up/up-model"]
"""

pairs = pytest.mark.parametrize(
    ("client", "provider"),
    [(client, provider) for client in CLIENTS for provider in PROVIDERS],
    ids=[f"{client.dialect}-{provider.dialect}" for client in CLIENTS for provider in PROVIDERS],
)
_CASES = [
    (client, provider, feature)
    for client in CLIENTS
    for provider in PROVIDERS
    for feature in FEATURES
    if feature.name not in client.lacks
]


def _cases(*, lacking: bool) -> pytest.MarkDecorator:
    """What a client can ask and a provider can be asked; or (`lacking`) cannot."""
    found = [case for case in _CASES if (case[2].name in case[1].lacks) is lacking]
    ids = [f"{client.dialect}-{up.dialect}-{feature.name}" for client, up, feature in found]
    return pytest.mark.parametrize(("client", "provider", "feature"), found, ids=ids)


streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@asynccontextmanager
async def proxy_before(provider: Provider, upstream: Upstream) -> AsyncIterator[ProxyURL]:
    version = "" if provider.dialect in ("gemini", "bedrock_converse") else "/v1"
    config = CONFIG.format(url=upstream.url + version, dialect=provider.dialect)
    async with serve(config) as url:
        yield url


def seen_by(provider: Provider, upstream: Upstream) -> Seen:
    [request] = upstream.requests
    seen = provider.read(request.target, json.loads(request.body))
    return replace(seen, turns=_renamed(seen.turns))


def _renamed(turns: list[Turn]) -> list[Turn]:
    """The turns, with the ids of calls as the features have them: APIs without ids invent some."""
    names: dict[str, str] = {}
    renamed = []
    for turn in turns:
        for call in turn.calls:
            names.setdefault(call.id, f"call_{'abc'[len(names)]}")
        calls = tuple(replace(call, id=names[call.id]) for call in turn.calls)
        renamed.append(replace(turn, calls=calls, answers=names.get(turn.answers, turn.answers)))
    return renamed


def expected(feature: Feature, provider: Provider) -> Said:
    """The answer, without what the provider's API does not tell."""
    said = feature.said
    if provider.dialect == "bedrock_converse":
        said = replace(said, reasoning_tokens=0)
    if provider.dialect == "openai_completions":
        said = replace(said, thinking="")
    return said


@_cases(lacking=False)
@streams
async def test_a_feature_passes(
    client: Client, provider: Provider, feature: Feature, stream: bool
) -> None:
    kind, body = provider.answer(feature.said, stream)
    async with (
        Upstream(answer(200, body, {"content-type": kind})) as upstream,
        proxy_before(provider, upstream) as url,
        client.open(url) as sdk,
    ):
        said = await client.ask(sdk, feature, stream)
        seen = seen_by(provider, upstream)
        line = url.exchanges[-1]

    assert said == expected(feature, provider)
    assert (seen.model, seen.stream) == ("up-model", stream)
    assert (seen.system, seen.turns) == (feature.system, list(feature.turns))
    assert seen.tools == (["weather"] if feature.tools else [])
    assert seen.must_call == feature.must_call
    assert seen.schema == (SCHEMA if feature.schema else None)
    if feature.max_tokens is not None:
        assert seen.max_tokens == feature.max_tokens
    lost = gap(feature, client, provider)
    assert seen.thinks == (bool(feature.effort) and "reasoning" not in lost)
    assert seen.stop == (() if "stop" in lost else feature.stop)
    assert seen.temperature == (None if "temperature" in lost else feature.temperature)
    assert (line.get("error"), line["status"]) == (None, 200)
    assert (line["input_tokens"], line["output_tokens"]) == (
        feature.said.input_tokens,
        feature.said.output_tokens,
    )


@_cases(lacking=True)
@streams
async def test_what_an_api_has_no_words_for_is_refused(
    client: Client, provider: Provider, feature: Feature, stream: bool
) -> None:
    async with (
        Upstream() as upstream,
        proxy_before(provider, upstream) as url,
        client.open(url) as sdk,
    ):
        with pytest.raises(client.refused, match="cannot be carried to a provider"):
            await client.ask(sdk, feature, stream)
        assert url.exchanges[-1]["error"] == "client.unsupported"
    assert upstream.requests == []


@pairs
@streams
async def test_a_rate_limit_is_one_to_the_sdk(
    client: Client, provider: Provider, stream: bool
) -> None:
    status, body = provider.error
    async with (
        Upstream(answer(status, body, {"content-type": "application/json"})) as upstream,
        proxy_before(provider, upstream) as url,
        client.open(url) as sdk,
    ):
        with pytest.raises(client.limited, match="slow down") as caught:
            await client.ask(sdk, FEATURES[0], stream)
    code = getattr(caught.value, "status_code", None) or getattr(caught.value, "code", None)
    assert code == 429


@pairs
async def test_a_stream_that_fails_is_no_answer(client: Client, provider: Provider) -> None:
    kind, body = provider.answer(Said("A text that is cut off."), True)
    half = body[: len(body) // 2]
    if provider.dialect != "bedrock_converse":
        end = b"\r\n\r\n" if b"\r\n\r\n" in half else b"\n\n"
        half = half[: half.rindex(end) + len(end)]
    else:
        half = b""
    broken = answer(200, half + provider.broken, {"content-type": kind})
    async with (
        Upstream(broken) as upstream,
        proxy_before(provider, upstream) as url,
        client.open(url) as sdk,
    ):
        with pytest.raises(client.failed):
            await client.ask(sdk, FEATURES[0], True)
        error = url.exchanges[-1].get("error")
    assert error is not None
    assert error.startswith("provider.")


def test_the_document_says_what_is_proven() -> None:
    assert DOCUMENT.read_text("utf-8") == document()
