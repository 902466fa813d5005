"""The admin listener: health for probes, and metrics as Prometheus reads them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.testing import (
    END,
    ProxyURL,
    RawClient,
    Stall,
    Upstream,
    answer,
    request,
    serve,
    sse,
    stream_head,
)

CHAT = "/v1/chat/completions"
CONFIG = """
[provider.fake]
type = "vllm"
url = "%s/v1"

[[route]]
name = "fast"
models = ["fast"]
targets = ["fake/llama"]

[[route]]
name = "all"
models = ["gpt-*"]
targets = ["fake"]

[[route]]
name = "files"
path = "/v1/files"
targets = ["fake"]
"""
USAGE = """{"prompt_tokens":10,"completion_tokens":6,"total_tokens":16,
    "prompt_tokens_details":{"cached_tokens":4},
    "completion_tokens_details":{"reasoning_tokens":2}}""".replace("\n", "")
WHOLE = answer(body=f'{{"choices":[],"usage":{USAGE}}}')
CHUNK = '{"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}'
LAST = f'{{"choices":[],"usage":{USAGE}}}'

GEN_AI = {
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
}
LABELS: dict[str, set[str]] = {
    "llm_proxy_requests": {"route", "provider", "model", "status", "error"},
    "llm_proxy_in_flight": {"route"},
    "llm_proxy_open_streams": set(),
    "llm_proxy_overhead_seconds": {"route"},
    "llm_proxy_inter_chunk_seconds": {"route", "provider"},
    "llm_proxy_tokens": {"route", "provider", "kind"},
    "llm_proxy_client_left": {"phase"},
    "llm_proxy_client_retries": {"route"},
    "llm_proxy_build_info": {"version"},
    "gen_ai_server_request_duration_seconds": GEN_AI | {"error_type"},
    "gen_ai_server_time_to_first_token_seconds": GEN_AI,
    "gen_ai_server_time_per_output_token_seconds": GEN_AI,
    "gen_ai_client_token_usage": GEN_AI | {"gen_ai_token_type"},
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds": set(),
    "process_open_fds": set(),
    "process_start_time_seconds": set(),
}
"""The families that are due, by the names that the parser gives them (no `_total`)."""

CONFIGURED = {
    *("", "fast", "all", "files", "fake", "llama", "gpt-*", __version__),
    *("chat", "text_completion", "embeddings", "models"),
    *("input", "output", "cached", "reasoning", "connect"),
}
"""What a label may say that is no status, no error, no phase and no bound."""

Labels = frozenset[tuple[str, str]]


class Scrape:
    """What one scrape brought: each series once, under the name that it has in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.series: dict[tuple[str, Labels], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.series, f"{key} stands twice"
                self.series[key] = sample.value

    def __getitem__(self, name: str) -> dict[Labels, float]:
        return {labels: value for (found, labels), value in self.series.items() if found == name}

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of this name that have these labels."""
        wanted = labels.items()
        found = [value for has, value in self[name].items() if wanted <= has]
        assert found, f"no {name} has {labels}: {list(self[name])}"
        return sum(found)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session


async def scrape(session: aiohttp.ClientSession, proxy: ProxyURL) -> Scrape:
    async with session.get(f"{proxy.admin}/metrics") as response:
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        return Scrape(await response.text())


async def ask(client: RawClient, target: str, **fields: Any) -> int:
    """The status of a whole exchange, whose request has these `headers` and other fields."""
    method, headers = fields.pop("method", "POST"), fields.pop("headers", None)
    await client.send(request(target, fields, method=method, headers=headers))
    head = await client.read_head(method)
    await client.read_body()
    return head.status


async def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.002)


async def test_the_probes(session: aiohttp.ClientSession) -> None:
    async with serve() as proxy:
        for path, status, body in (
            ("/livez", 200, "ok\n"),
            ("/healthz", 200, "ok\n"),
            ("/readyz", 200, "ready\n"),
            ("/nothing", 404, None),
        ):
            async with session.get(proxy.admin + path) as response:
                assert response.status == status
                assert body is None or await response.text() == body
        async with session.head(f"{proxy.admin}/readyz") as response:
            assert response.status == 200
        async with session.post(f"{proxy.admin}/readyz") as response:
            assert response.status == 405
        # An operator's endpoints are nobody else's, and a probe is no exchange.
        for path in ("/livez", "/readyz", "/metrics"):
            async with session.get(proxy + path) as response:
                assert response.status == 404
        assert len(proxy.exchanges) == 3


async def test_without_metrics_there_are_none(session: aiohttp.ClientSession) -> None:
    async with serve("[monitoring]\nmetrics = false") as proxy:
        async with session.get(f"{proxy.admin}/metrics") as response:
            assert response.status == 404
        async with session.get(f"{proxy.admin}/readyz") as response:
            assert response.status == 200


async def test_what_traffic_leaves_in_the_metrics(session: aiohttp.ClientSession) -> None:
    stream = [stream_head(), sse(CHUNK), sse(CHUNK), sse(LAST), sse("[DONE]"), END]
    busy = answer(503, '{"error":{"message":"busy"}}')
    async with (
        Upstream(WHOLE, stream, WHOLE, busy, answer()) as upstream,
        serve(CONFIG % upstream.url) as proxy,
        RawClient(proxy) as client,
    ):
        assert await ask(client, CHAT, model="fast") == 200
        assert await ask(client, CHAT, model="gpt-4o", stream=True) == 200
        retry = {"x-stainless-retry-count": "2"}
        assert await ask(client, CHAT, model="gpt-4.1", headers=retry) == 200
        assert await ask(client, CHAT, model="gpt-4o") == 503
        assert await ask(client, "/v1/files") == 200
        assert await ask(client, CHAT, model="other") == 404
        found = await scrape(session, proxy)

    for name, labels in LABELS.items():
        samples = found.families[name].samples
        assert samples or name.endswith(("left", "in_flight")), name
        for sample in samples:
            assert set(sample.labels) - {"le"} == labels, sample

    total = "llm_proxy_requests_total"
    assert found.value(total) == 6
    assert found.value(total, route="fast", provider="fake", model="llama", status="200") == 1
    assert found.value(total, route="all", model="gpt-*", status="200", error="") == 2
    assert found.value(total, route="all", status="503", error="provider.overloaded") == 1
    assert found.value(total, route="files", status="200") == 1
    assert found.value(total, route="", provider="", status="404", error="proxy.no_route") == 1

    tokens = "llm_proxy_tokens_total"
    for kind, each in (("input", 10), ("output", 6), ("cached", 4), ("reasoning", 2)):
        assert found.value(tokens, route="fast", provider="fake", kind=kind) == each
        assert found.value(tokens, route="all", provider="fake", kind=kind) == 2 * each

    assert found.value("llm_proxy_client_retries_total", route="all") == 1
    assert found.value("llm_proxy_in_flight") == 0
    assert found.value("llm_proxy_open_streams") == 0
    assert found.value("llm_proxy_build_info", version=__version__) == 1
    assert 0 < found.value("llm_proxy_overhead_seconds_sum", route="all") < 5
    assert found.value("llm_proxy_overhead_seconds_count", route="all") == 3

    of_all = {"gen_ai_request_model": "gpt-*", "gen_ai_response_model": "gpt-*"}
    of_fast = {"gen_ai_request_model": "fast", "gen_ai_response_model": "llama"}
    duration = "gen_ai_server_request_duration_seconds_count"
    assert found.value(duration, gen_ai_operation_name="chat", error_type="", **of_all) == 2
    assert found.value(duration, error_type="provider.overloaded", **of_all) == 1
    assert found.value(duration, gen_ai_provider_name="fake", **of_fast) == 1
    # Only a stream has a first token, and times between tokens.
    assert found.value("gen_ai_server_time_to_first_token_seconds_count", **of_all) == 1
    assert found.value("gen_ai_server_time_to_first_token_seconds_count", **of_fast) == 0
    assert found.value("gen_ai_server_time_per_output_token_seconds_count", **of_all) == 1
    usage = "gen_ai_client_token_usage_sum"
    assert found.value(usage, gen_ai_token_type="input", **of_all) == 20
    assert found.value(usage, gen_ai_token_type="output", **of_fast) == 6

    assert found.value("process_resident_memory_bytes") > 1e6
    assert found.value("process_open_fds") > 3
    assert_histograms(found)


def assert_histograms(found: Scrape) -> None:
    """Buckets only grow, and the last of them holds everything."""
    for name, family in found.families.items():
        if family.type != "histogram":
            continue
        rows: dict[Labels, list[tuple[float, float]]] = {}
        for labels, value in found[f"{name}_bucket"].items():
            rest = frozenset(label for label in labels if label[0] != "le")
            rows.setdefault(rest, []).append((float(dict(labels)["le"]), value))
        for rest, buckets in rows.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts)
            assert counts[-1] == found[f"{name}_count"][rest]
            assert sorted(buckets)[-1][0] == float("inf")


async def test_the_time_between_chunks(session: aiohttp.ClientSession) -> None:
    async def slow(connection: Any, /) -> None:
        for _ in range(3):
            await asyncio.sleep(0.02)
            await connection.send(sse(CHUNK).data)

    async with (
        Upstream([stream_head(), slow, END]) as upstream,
        serve(CONFIG % upstream.url) as proxy,
        RawClient(proxy) as client,
    ):
        assert await ask(client, CHAT, model="gpt-4o", stream=True) == 200
        found = await scrape(session, proxy)
    gaps = {"route": "all", "provider": "fake"}
    assert found.value("llm_proxy_inter_chunk_seconds_count", **gaps) == 2
    assert 0.03 <= found.value("llm_proxy_inter_chunk_seconds_sum", **gaps) < 5
    assert found.value("llm_proxy_inter_chunk_seconds_bucket", le="0.0009765625", **gaps) == 0


async def test_what_runs_now_and_who_left(session: aiohttp.ClientSession) -> None:
    async with (
        Upstream([stream_head(), sse(CHUNK), Stall()], [Stall()]) as upstream,
        serve(CONFIG % upstream.url) as proxy,
    ):
        async with RawClient(proxy) as streaming, RawClient(proxy) as waiting:
            await streaming.send(request(CHAT, {"model": "gpt-4o", "stream": True}))
            await streaming.read_until(b"Hi")
            await waiting.send(request(CHAT, {"model": "fast"}))
            await upstream.received(2)
            now = await scrape(session, proxy)
            assert now.value("llm_proxy_open_streams") == 1
            assert now.value("llm_proxy_in_flight", route="all") == 1
            assert now.value("llm_proxy_in_flight", route="fast") == 1
            assert not now["llm_proxy_requests_total"]
        await until(lambda: len(proxy.exchanges) == 2)
        await asyncio.sleep(1.05)  # a scrape is served again for a second
        after = await scrape(session, proxy)
    assert after.value("llm_proxy_open_streams") == 0
    assert after.value("llm_proxy_in_flight") == 0
    left = {"status": "499", "error": "client.left"}
    assert after.value("llm_proxy_requests_total", route="fast", **left) == 1
    assert after.value("llm_proxy_requests_total", route="all", error="client.left") == 1
    assert after.value("llm_proxy_client_left_total", phase="streaming") == 1
    assert after.value("llm_proxy_client_left_total", phase="waiting") == 1


async def test_names_that_clients_choose_are_no_labels(session: aiohttp.ClientSession) -> None:
    names = [f"gpt-{number}" for number in range(40)]
    names += ['gpt-"}\n# HELP x', "gpt-\\", "gpt-\u2028\U0001f600", "gpt-" + "x" * 200, "other"]
    async with (
        Upstream(answer()) as upstream,
        serve(CONFIG % upstream.url) as proxy,
        RawClient(proxy) as client,
    ):
        statuses = set()
        for name in names:
            hostile = {"x-stainless-retry-count": name[:40].encode("ascii", "replace").decode()}
            fields = (
                {"headers": hostile} if hostile["x-stainless-retry-count"].isprintable() else {}
            )
            statuses.add(await ask(client, CHAT, model=name, **fields))
        for target in ("/v1/hostile-path", "/v1/files?hostile=query", "/v1/files"):
            statuses.add(await ask(client, target, method="PATCH"))
        assert statuses == {200, 400, 404}
        found = await scrape(session, proxy)
    assert found.value("llm_proxy_requests_total") == len(names) + 3
    free = {"le", "status", "error", "error_type", "phase", "outcome"}
    for _, labels in found.series:
        for name, value in labels:
            assert name in free or value in CONFIGURED, (name, value)
    assert len(found["llm_proxy_requests_total"]) <= 5
    assert "hostile" not in found.text
