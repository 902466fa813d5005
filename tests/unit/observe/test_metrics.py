"""What is counted of finished exchanges, read back as Prometheus reads it."""

from collections import Counter
from itertools import product

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from proxy.errors import ClientLeft, ProviderBroke, ProxyError
from proxy.event import Usage
from proxy.exchange import Exchange
from proxy.observe.metrics import Metrics
from tests.unit.conftest import Request, exchange_of

GAP_BOUNDS = (0.1, 0.2)


class Counted:
    """Metrics, with what runs and what the log lost as the test says."""

    def __init__(self) -> None:
        self.running: list[Exchange] = []
        self.lost = 0
        self.metrics = Metrics(
            version="1.2.3",
            gap_bounds=GAP_BOUNDS,
            running=lambda: self.running,
            lost_lines=lambda: self.lost,
        )

    def families(self) -> dict[str, Metric]:
        text = self.metrics.render().decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self) -> list[Sample]:
        return [sample for family in self.families().values() for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The value of exactly one sample."""
        [value] = [s.value for s in self.samples() if s.name == name and s.labels == labels]
        return value


@pytest.fixture
def counted() -> Counted:
    return Counted()


def finished(
    *,
    route: str = "chat",
    provider: str = "a",
    error: ProxyError | None = None,
    usage: Usage | None = None,
    stream: bool = False,
    retries: str = "0",
) -> Exchange:
    """An exchange of half a second; of a stream, the first bytes after a quarter."""
    exchange = exchange_of(Request(headers={"X-Stainless-Retry-Count": retries}))
    exchange.route, exchange.provider, exchange.operation = route, provider, "chat"
    exchange.pattern = exchange.model = "gpt-*"
    exchange.status, exchange.error, exchange.usage = 200, error, usage
    exchange.read_at, exchange.sent_at, exchange.head_at, exchange.started_at = 1, 1.0625, 1.2, 1.2
    exchange.end(1.5)
    if stream:
        exchange.events = True
        exchange.first_at, exchange.last_at, exchange.gaps = 1.25, 1.5, [1, 2, 0]
    return exchange


MODEL = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "a",
    "gen_ai_request_model": "gpt-*",
    "gen_ai_response_model": "gpt-*",
}


def test_a_finished_exchange_is_counted_by_what_came_of_it(counted: Counted) -> None:
    for exchange in (finished(), finished(), finished(error=ProviderBroke("x"))):
        exchange.status = 502 if exchange.error else 200
        counted.metrics.exchange(exchange)

    labels = {"route": "chat", "provider": "a", "model": "gpt-*"}
    assert counted("llm_proxy_requests_total", **labels, status="200", error="") == 2
    assert counted("llm_proxy_requests_total", **labels, status="502", error="provider.broke") == 1
    durations = "gen_ai_server_request_duration_seconds"
    assert counted(f"{durations}_count", **MODEL, error_type="") == 2
    assert counted(f"{durations}_sum", **MODEL, error_type="provider.broke") == 0.5
    assert counted(f"{durations}_bucket", **MODEL, error_type="", le="0.64") == 2
    assert counted(f"{durations}_bucket", **MODEL, error_type="", le="0.32") == 0
    assert counted("llm_proxy_overhead_seconds_sum", route="chat") == pytest.approx(0.1875)


def test_tokens_are_counted_by_kind(counted: Counted) -> None:
    usage = Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=3)
    for exchange in (finished(usage=usage), finished(usage=usage), finished()):
        counted.metrics.exchange(exchange)

    kinds = {"input": 22, "output": 14, "cached": 10, "reasoning": 6}
    for kind, number in kinds.items():
        name = "llm_proxy_tokens_total"
        assert counted(name, route="chat", provider="a", kind=kind) == number
    usages = "gen_ai_client_token_usage"
    assert counted(f"{usages}_count", **MODEL, gen_ai_token_type="input") == 2
    assert counted(f"{usages}_sum", **MODEL, gen_ai_token_type="output") == 14
    assert counted(f"{usages}_bucket", **MODEL, gen_ai_token_type="output", le="16.0") == 2
    assert counted(f"{usages}_bucket", **MODEL, gen_ai_token_type="output", le="4.0") == 0


def test_a_stream_has_a_first_token_a_pace_and_gaps(counted: Counted) -> None:
    counted.metrics.exchange(finished(stream=True, usage=Usage(output_tokens=6)))

    assert counted("gen_ai_server_time_to_first_token_seconds_sum", **MODEL) == 0.25
    assert counted("gen_ai_server_time_per_output_token_seconds_sum", **MODEL) == 0.05
    gaps = "llm_proxy_inter_chunk_seconds"
    assert counted(f"{gaps}_count", route="chat", provider="a") == 3
    assert counted(f"{gaps}_bucket", route="chat", provider="a", le="0.1") == 1
    assert counted(f"{gaps}_sum", route="chat", provider="a") == 0.25


@pytest.mark.parametrize("usage", [None, Usage(output_tokens=1)])
def test_a_stream_of_one_token_has_no_pace(counted: Counted, usage: Usage | None) -> None:
    counted.metrics.exchange(finished(stream=True, usage=usage))

    assert counted("gen_ai_server_time_per_output_token_seconds_count", **MODEL) == 0


def test_an_answer_in_one_piece_and_a_stream_of_nothing_have_no_first_token(
    counted: Counted,
) -> None:
    counted.metrics.exchange(finished(usage=Usage(output_tokens=6)))
    silent = finished(stream=True)
    silent.first_at = silent.last_at = 0.0
    counted.metrics.exchange(silent)

    assert counted("gen_ai_server_time_to_first_token_seconds_count", **MODEL) == 0


def test_what_was_never_sent_is_a_request_and_nothing_more(counted: Counted) -> None:
    exchange = exchange_of()
    exchange.status, exchange.error = 400, ProviderBroke("x")
    counted.metrics.exchange(exchange)

    labels = {"route": "", "provider": "", "model": ""}
    name = "llm_proxy_requests_total"
    assert counted(name, **labels, status="400", error="provider.broke") == 1
    assert not [s for s in counted.samples() if s.name.startswith("gen_ai_")]


def test_the_model_is_the_targets_else_the_pattern_and_never_the_clients(counted: Counted) -> None:
    exchange = finished()
    exchange.model = "secret-of-a-client"
    counted.metrics.exchange(exchange)
    renamed = finished()
    renamed.target_model = renamed.model = "gpt-4o"
    counted.metrics.exchange(renamed)

    labels = {"route": "chat", "provider": "a", "status": "200", "error": ""}
    assert counted("llm_proxy_requests_total", **labels, model="gpt-*") == 1
    assert counted("llm_proxy_requests_total", **labels, model="gpt-4o") == 1
    response = MODEL | {"gen_ai_response_model": "gpt-4o"}
    assert counted("gen_ai_server_request_duration_seconds_count", **response, error_type="") == 1
    assert "secret-of-a-client" not in counted.metrics.render().decode()


def test_clients_that_left_are_counted_by_how_far_they_got(counted: Counted) -> None:
    for phase in ("waiting", "streaming", "waiting"):
        exchange = finished(error=ClientLeft("x"))
        exchange.phase = phase
        counted.metrics.exchange(exchange)

    assert counted("llm_proxy_client_left_total", phase="waiting") == 2
    assert counted("llm_proxy_client_left_total", phase="streaming") == 1


def test_repetitions_that_an_sdk_tells_of_are_counted(counted: Counted) -> None:
    for retries in ("0", "1", "2"):
        counted.metrics.exchange(finished(retries=retries))

    assert counted("llm_proxy_client_retries_total", route="chat") == 2


def test_what_runs_now_is_a_gauge_that_goes_back_to_nought(counted: Counted) -> None:
    counted.metrics.exchange(finished())
    counted.running = [finished(), finished(stream=True), finished(route="new", stream=True)]
    assert counted("llm_proxy_in_flight", route="chat") == 2
    assert counted("llm_proxy_in_flight", route="new") == 1
    assert counted("llm_proxy_open_streams") == 2

    counted.running = []
    assert counted("llm_proxy_in_flight", route="chat") == 0
    assert counted("llm_proxy_open_streams") == 0


def test_the_version_the_lost_lines_and_the_process_are_told(counted: Counted) -> None:
    counted.lost = 7
    counted.metrics.connect_seconds.observe(0.3)

    assert counted("llm_proxy_build_info", version="1.2.3") == 1
    assert counted("llm_proxy_log_lines_lost_total") == 7
    assert counted("llm_proxy_stage_seconds_count", stage="connect") == 1
    assert counted("llm_proxy_stage_seconds_bucket", stage="connect", le="0.25") == 0
    assert counted("process_resident_memory_bytes") > 0


def test_no_series_stands_twice_and_every_family_is_documented(counted: Counted) -> None:
    kinds = product(
        *(("chat", "b"), ("a", "b"), ("chat", "embeddings"), ("", "m"), (False, True)),
        (None, ProviderBroke("x"), ClientLeft("x")),
    )
    for route, provider, operation, target, stream, error in kinds:
        exchange = finished(route=route, provider=provider, error=error, stream=stream)
        exchange.operation, exchange.target_model = operation, target
        counted.metrics.exchange(exchange)
    counted.metrics.exchange(exchange_of())

    series = Counter((s.name, *sorted(s.labels.items())) for s in counted.samples())
    assert len(series) > 500
    assert [name for name, number in series.items() if number > 1] == []
    assert [family.name for family in counted.families().values() if not family.documentation] == []
    types = [
        line.split()[2]
        for line in counted.metrics.render().decode().splitlines()
        if line.startswith("# TYPE ")
    ]
    assert len(types) == len(set(types)), "a family stands twice"


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "é€"])
def test_a_label_may_hold_anything(counted: Counted, label: str) -> None:
    counted.metrics.exchange(finished(route=label))

    assert counted("llm_proxy_overhead_seconds_count", route=label) == 1


def test_rendering_twice_tells_the_same(counted: Counted) -> None:
    counted.metrics.exchange(finished(stream=True, usage=Usage(output_tokens=6)))

    ours = [
        [s for s in counted.samples() if s.name.startswith(("llm_proxy", "gen_ai"))]
        for _ in range(2)
    ]
    assert ours[0] == ours[1] != []
