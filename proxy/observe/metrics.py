"""Metrics of finished exchanges, kept in slots of our own and rendered for Prometheus.

prometheus_client's counters cost five times as much per request as a slot, so it does what it
is good at: the exposition format and the process's own figures. Names under ``gen_ai_`` are
OpenTelemetry's GenAI conventions 1.41; the rest is ours. Labels are values from the
configuration, never from a client.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.exchange import Exchange
from proxy.observe.buckets import (
    CONNECT,
    DURATION,
    FIRST_TOKEN,
    OVERHEAD,
    PER_TOKEN,
    TOKENS,
    Buckets,
)
from proxy.observe.sums import Family, families

_KINDS = ("input", "output", "cached", "reasoning")
_MODEL = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)


class _Pair:
    """What is counted of a route and a provider."""

    __slots__ = ("gaps", "tokens")

    def __init__(self, gap_bounds: tuple[float, ...]) -> None:
        self.gaps = Buckets(gap_bounds)
        self.tokens = [0] * len(_KINDS)


class _Model:
    """What is counted of an operation, a provider and its models."""

    __slots__ = ("durations", "first", "input_tokens", "output_tokens", "per_token")

    def __init__(self) -> None:
        self.durations: dict[str, Buckets] = {}
        self.first = Buckets(FIRST_TOKEN)
        self.per_token = Buckets(PER_TOKEN)
        self.input_tokens = Buckets(TOKENS)
        self.output_tokens = Buckets(TOKENS)


class _Bound:
    """Everything that an exchange of one kind counts in, looked up once."""

    __slots__ = ("model", "overhead", "pair", "requests")

    def __init__(
        self, requests: dict[tuple[int, str], int], overhead: Buckets, pair: _Pair, model: _Model
    ) -> None:
        self.requests = requests
        self.overhead = overhead
        self.pair = pair
        self.model = model


class Metrics(Collector):
    """Counts exchanges by its `exchange` method, and renders what it counted."""

    def __init__(
        self,
        *,
        version: str,
        gap_bounds: tuple[float, ...],
        running: Callable[[], Iterable[Exchange]],
        lost_lines: Callable[[], int],
    ) -> None:
        """`running`: the exchanges that are not over yet; `lost_lines`: what the log lost."""
        self._version = version
        self._gap_bounds = gap_bounds
        self._running = running
        self._lost_lines = lost_lines
        self._bound: dict[tuple[str, str, str, str, str], _Bound] = {}
        self._requests: dict[tuple[str, str, str], dict[tuple[int, str], int]] = {}
        self._overheads: dict[str, Buckets] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._models: dict[tuple[str, str, str, str], _Model] = {}
        self._left: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._reloads = {"changed": 0, "unchanged": 0, "failed": 0}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.connect_seconds = Histogram(
            "llm_proxy_stage_seconds",
            "Time in a stage that not every exchange has.",
            ["stage"],
            registry=self._registry,
            buckets=CONNECT,
        ).labels("connect")

    def exchange(self, exchange: Exchange) -> None:
        """Count a finished exchange."""
        route, provider = exchange.route, exchange.provider
        target = exchange.target_model or exchange.pattern
        key = (route, provider, exchange.operation, exchange.pattern, target)
        bound = self._bound.get(key) or self._bind(*key)
        code = "" if exchange.error is None else exchange.error.code
        outcome = (exchange.status, code)
        bound.requests[outcome] = bound.requests.get(outcome, 0) + 1
        if code == "client.left":
            self._left[exchange.phase] = self._left.get(exchange.phase, 0) + 1
        if exchange.request.headers.get("x-stainless-retry-count", "0") != "0":
            self._retries[route] = self._retries.get(route, 0) + 1
        if not exchange.sent_at:
            return
        model = bound.model
        durations = model.durations.get(code)
        if durations is None:
            durations = model.durations[code] = Buckets(DURATION)
        durations.observe(exchange.ended_at - exchange.received_at)
        if exchange.started_at:
            bound.overhead.observe(exchange.overhead)
        usage = exchange.usage
        if usage is not None:
            model.input_tokens.observe(usage.input_tokens)
            model.output_tokens.observe(usage.output_tokens)
            tokens = bound.pair.tokens
            tokens[0] += usage.input_tokens
            tokens[1] += usage.output_tokens
            if usage.cached_tokens or usage.reasoning_tokens:
                tokens[2] += usage.cached_tokens
                tokens[3] += usage.reasoning_tokens
        if exchange.events and exchange.first_at:
            model.first.observe(exchange.first_at - exchange.received_at)
            spent = exchange.last_at - exchange.first_at
            if usage is not None and usage.output_tokens > 1:
                model.per_token.observe(spent / (usage.output_tokens - 1))
            if exchange.gaps is not None:
                bound.pair.gaps.add(exchange.gaps, spent)

    def reloaded(self, outcome: str) -> None:
        """Count a reload: changed, unchanged or failed."""
        self._reloads[outcome] += 1

    def families(self) -> list[Family]:
        """What was counted, to be added to what other processes count; slow as `render`."""
        return families(self._registry.collect())

    def render(self) -> bytes:
        """The exposition text; takes milliseconds per hundred series: not for the event loop."""
        return generate_latest(self._registry)

    def _bind(self, route: str, provider: str, operation: str, pattern: str, target: str) -> _Bound:
        overhead = self._overheads.get(route) or Buckets(OVERHEAD)
        pair = self._pairs.get((route, provider)) or _Pair(self._gap_bounds)
        requests = self._requests.setdefault((route, provider, target), {})
        model = self._models.setdefault((operation, provider, pattern, target), _Model())
        self._overheads[route] = overhead
        self._pairs[route, provider] = pair
        bound = _Bound(requests, overhead, pair, model)
        self._bound[route, provider, operation, pattern, target] = bound
        return bound

    # Called in a thread while the loop goes on counting: each dictionary is copied at once.

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "llm_proxy_requests",
            "Exchanges that are over.",
            labels=["route", "provider", "model", "status", "error"],
        )
        for names, outcomes in self._requests.copy().items():
            for (status, error), count in outcomes.copy().items():
                requests.add_metric([*names, str(status), error], count)
        yield requests
        yield from self._collect_now()
        yield from self._collect_routes()
        yield from self._collect_models()
        left = CounterMetricFamily(
            "llm_proxy_client_left", "Clients that left, by how far they got.", labels=["phase"]
        )
        for phase, count in self._left.copy().items():
            left.add_metric([phase], count)
        yield left
        retries = CounterMetricFamily(
            "llm_proxy_client_retries", "Requests that an SDK said it repeats.", labels=["route"]
        )
        for route, count in self._retries.copy().items():
            retries.add_metric([route], count)
        yield retries
        reloads = CounterMetricFamily(
            "llm_proxy_reloads", "Configurations loaded anew.", labels=["outcome"]
        )
        for outcome, count in self._reloads.items():
            reloads.add_metric([outcome], count)
        yield reloads
        lost = CounterMetricFamily("llm_proxy_log_lines_lost", "Log lines nobody took in time.")
        lost.add_metric([], self._lost_lines())
        yield lost

    def _collect_now(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily(
            "llm_proxy_in_flight", "Exchanges that are not over.", labels=["route"]
        )
        counts: dict[str, int] = dict.fromkeys(self._overheads.copy(), 0)
        streams = 0
        for exchange in self._running():
            counts[exchange.route] = counts.get(exchange.route, 0) + 1
            streams += exchange.events
        for route, count in counts.items():
            in_flight.add_metric([route], count)
        yield in_flight
        yield GaugeMetricFamily("llm_proxy_open_streams", "Streams that are open.", streams)
        build = InfoMetricFamily("llm_proxy_build", "What runs here.")
        build.add_metric([], {"version": self._version})
        yield build

    def _collect_routes(self) -> Iterator[Metric]:
        overhead = _histogram(
            "llm_proxy_overhead_seconds",
            "Time in the proxy until a response's head, waiting excluded.",
            ["route"],
        )
        for route, buckets in self._overheads.copy().items():
            overhead.add_metric([route], *buckets.rendered())
        yield overhead
        gaps = _histogram(
            "llm_proxy_inter_chunk_seconds",
            "Time between two reads of a stream.",
            ["route", "provider"],
        )
        tokens = CounterMetricFamily(
            "llm_proxy_tokens",
            "Tokens as the provider counted them; input includes cached, output reasoning.",
            labels=["route", "provider", "kind"],
        )
        for names, pair in self._pairs.copy().items():
            gaps.add_metric(names, *pair.gaps.rendered())
            for kind, count in zip(_KINDS, pair.tokens, strict=True):
                tokens.add_metric([*names, kind], count)
        yield gaps
        yield tokens

    def _collect_models(self) -> Iterator[Metric]:
        duration = _histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's head to its response's end.",
            [*_MODEL, "error_type"],
        )
        first = _histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's head to the first bytes of a stream's body.",
            _MODEL,
        )
        per_token = _histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "From a stream's first bytes to its last, per output token after the first.",
            _MODEL,
        )
        usage = _histogram(
            "gen_ai_client_token_usage", "Tokens per exchange.", [*_MODEL, "gen_ai_token_type"]
        )
        for names, model in self._models.copy().items():
            for error, buckets in model.durations.copy().items():
                duration.add_metric([*names, error], *buckets.rendered())
            if model.durations:
                first.add_metric(names, *model.first.rendered())
                per_token.add_metric(names, *model.per_token.rendered())
                usage.add_metric([*names, "input"], *model.input_tokens.rendered())
                usage.add_metric([*names, "output"], *model.output_tokens.rendered())
        yield from (duration, first, per_token, usage)


def _histogram(name: str, text: str, labels: Iterable[str]) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, labels=list(labels))
