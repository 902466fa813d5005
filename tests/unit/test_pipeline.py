"""One request's way: whatever goes wrong is told as well as it can be, and ends exactly once."""

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest

from proxy.client import Client
from proxy.dialect import Dialect
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import (
    BadRequest,
    Blocked,
    ClientLeft,
    ClientTimeout,
    ConnectFailed,
    ProviderBroke,
    ProviderTimeout,
    ProxyError,
    TooLarge,
    Unsupported,
)
from proxy.exchange import Exchange, ParsedRequest
from proxy.pipeline import Observer, Pipeline
from proxy.processor import Processor
from proxy.router import Route, Router, Target
from proxy.tasks import spawn
from proxy.timers import Sweep
from tests.unit.conftest import (
    NO_TIMEOUTS,
    CountingToken,
    Downstream,
    Request,
    Transport,
    Upstream,
    provider,
    turns,
)

BODY = b'{"model":"m","messages":[]}'
ANSWER = b'{"choices":[]}'
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
DELTA = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def answer() -> Upstream:
    return Upstream(ANSWER, None, fields=JSON, length=len(ANSWER))


def route(
    name: str = "it",
    *,
    paths: tuple[str, ...] | None = None,
    models: tuple[str, ...] | None = None,
    processors: tuple[Processor, ...] = (),
    total: float = 0.0,
    trusted: bool = False,
    model: str | None = None,
) -> Route:
    who = provider(token=CountingToken() if trusted else None)
    timeouts = msgspec.structs.replace(NO_TIMEOUTS, total=total)
    targets = (Target(who, model, timeouts),)
    return Route(
        name, paths=paths, models=models, processors=processors, targets=targets, usage="auto"
    )


class Scene:
    """A pipeline, and everything that was observed of it."""

    def __init__(self, *answers: Upstream | Exception | None, routes: tuple[Route, ...] = ()):
        self.transport = Transport(*answers)
        self.ended: list[Exchange] = []
        self.observers: list[Observer] = [self.ended.append]
        self.routes = routes or (route(),)

    def make(self) -> Pipeline:
        return Pipeline(
            Router([OpenAIChat(), OpenAIResponses()], self.routes),
            Client(self.transport, counts_usage=True),
            tuple(self.observers),
            dialect=OpenAIChat(),
            sweep=Sweep(),
        )

    async def run(self, request: Request | None = None) -> Downstream:
        """Run one exchange to its end, which must come exactly once."""
        pipeline, downstream = self.make(), Downstream()
        await pipeline.run(request or Request(BODY), downstream)
        assert len(self.ended) == 1
        assert len(downstream.ends) == 1
        assert pipeline.running == {}
        return downstream

    @property
    def exchange(self) -> Exchange:
        [exchange] = self.ended
        return exchange


class Running:
    """An exchange in a task of its own."""

    def __init__(self, scene: Scene, request: Request | None = None) -> None:
        self.scene = scene
        self.pipeline = scene.make()
        self.downstream: Downstream
        self.task = spawn(self._run(request or Request(BODY)), "exchange")

    async def _run(self, request: Request) -> None:
        self.downstream = Downstream()
        await self.pipeline.run(request, self.downstream)

    async def cancelled(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self.task
        assert len(self.scene.ended) == 1
        assert self.pipeline.running == {}


def error_of(downstream: Downstream) -> dict[str, Any]:
    """The error object of an answer, whose head agrees with it."""
    assert downstream.fields.getall("content-type") == ["application/json"]
    assert downstream.length == len(downstream.body)
    error: dict[str, Any] = json.loads(downstream.body)["error"]
    return error


async def test_a_request_is_answered_and_told_of_once() -> None:
    upstream = answer()
    scene = Scene(upstream)
    request = Request(BODY, headers={"X-Request-Id": "mine-1"})
    downstream = await scene.run(request)

    assert (downstream.status, downstream.body, downstream.ends) == (200, ANSWER, ["finished"])
    assert downstream.fields["x-llm-proxy-request-id"] == "mine-1"
    assert downstream.fields["x-llm-proxy-route"] == "it"
    exchange = scene.exchange
    assert (exchange.dialect, exchange.operation) == ("openai_chat", "chat")
    assert (exchange.route, exchange.pattern, exchange.provider) == ("it", "it", "mine")
    assert (exchange.status, exchange.error, exchange.model) == (200, None, "m")
    assert (exchange.bytes_in, exchange.bytes_out) == (len(BODY), len(ANSWER))
    assert exchange.received_at <= exchange.read_at <= exchange.started_at <= exchange.ended_at
    assert upstream.calls == ["close"]


async def test_what_was_sent_is_not_kept_for_as_long_as_it_is_answered() -> None:
    upstream = stream(DELTA)
    running = Running(Scene(upstream), Request(b'{"model":"m","stream":true}'))
    await turns()
    [exchange] = running.pipeline.running
    assert exchange.parsed is not None

    assert exchange.parsed.raw == b""
    assert (exchange.parsed.model, exchange.stream) == ("m", True)
    upstream.play(None)
    await running.task


async def test_an_exchange_that_is_over_keeps_no_frame_of_the_code_alive() -> None:
    scene = Scene(LookupError("a bug"))
    await scene.run()

    error: BaseException | None = scene.exchange.error
    assert isinstance(error, ProxyError)
    assert isinstance(error.__cause__, LookupError)
    while error is not None:
        assert error.__traceback__ is None
        error = error.__cause__


async def test_an_insane_request_id_is_not_repeated() -> None:
    downstream = await Scene(answer()).run(Request(BODY, headers={"X-Request-Id": "a b"}))

    assert len(downstream.fields["x-llm-proxy-request-id"]) == 32


class Blocking(Processor):
    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        raise Blocked("not that", param="messages", headers={"x-why": "because"})


class Buggy(Processor):
    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        raise KeyError("internal detail")


REDIRECT = {"location": "http://b"}


@pytest.mark.parametrize(
    ("scene", "request_", "status", "code", "phase"),
    [
        (Scene(), Request(b"{"), 400, "client.bad_json", "routing"),
        (Scene(), Request(b"[]"), 400, "client.bad_request", "routing"),
        (Scene(), Request(b"{}"), 400, "client.bad_request", "routing"),
        (Scene(), Request(BODY, method="GET"), 405, "client.unsupported", "reading"),
        (Scene(), Request(TooLarge("big")), 413, "client.too_large", "reading"),
        (Scene(), Request(ClientTimeout("slow")), 408, "client.timeout", "reading"),
        (Scene(), Request(BadRequest("framing")), 400, "client.bad_request", "reading"),
        (Scene(), Request(Unsupported("br", status=415)), 415, "client.unsupported", "reading"),
        (Scene(routes=(route(models=("x",)),)), Request(BODY), 404, "proxy.no_route", "routing"),
        (
            Scene(routes=(route(processors=(Blocking(),)),)),
            Request(BODY),
            400,
            "content_filter",
            "routing",
        ),
        (
            Scene(routes=(route(processors=(Buggy(),)),)),
            Request(BODY),
            500,
            "proxy.processor",
            "routing",
        ),
        (Scene(ConnectFailed("x")), Request(BODY), 502, "provider.connect", "waiting"),
        (Scene(ProviderTimeout("x")), Request(BODY), 504, "provider.timeout", "waiting"),
        (Scene(ProviderBroke("x")), Request(BODY), 502, "provider.broke", "waiting"),
        (Scene(LookupError("detail")), Request(BODY), 500, "proxy.internal", "waiting"),
        (
            Scene(Upstream(status=302, fields=REDIRECT)),
            Request(BODY),
            502,
            "provider.bad_response",
            "waiting",
        ),
        (
            Scene(Upstream(b"{}", None, status=401), routes=(route(trusted=True),)),
            Request(BODY),
            502,
            "provider.credentials",
            "waiting",
        ),
        (
            Scene(None, routes=(route(total=0.001),)),
            Request(BODY),
            504,
            "provider.timeout",
            "waiting",
        ),
        (Scene(), Request(BODY, path="/v1/nowhere"), 404, "proxy.no_route", "reading"),
        (Scene(), Request(BODY, path="/v1//x"), 400, "client.bad_request", "reading"),
    ],
)
async def test_what_goes_wrong_before_the_head_is_an_answer_in_the_clients_dialect(
    scene: Scene, request_: Request, status: int, code: str, phase: str
) -> None:
    downstream = await scene.run(request_)

    error = error_of(downstream)
    assert (downstream.status, error["code"]) == (status, code)
    assert downstream.ends == ["finished"]
    exchange = scene.exchange
    assert exchange.error is not None
    assert downstream.fields["x-llm-proxy-error"] == exchange.error.code
    assert downstream.fields["x-request-id"] == exchange.id
    assert (exchange.status, exchange.bytes_out) == (status, len(downstream.body))
    assert exchange.phase == phase
    assert "detail" not in error["message"]


async def test_an_error_takes_its_fields_and_its_param_along() -> None:
    scene = Scene(routes=(route(processors=(Blocking(),)),))
    downstream = await scene.run()

    assert downstream.fields["x-why"] == "because"
    assert error_of(downstream)["param"] == "messages"
    downstream = await Scene().run(Request(BODY, method="PUT"))
    assert downstream.fields["allow"] == "POST"


async def test_a_time_that_is_over_says_which() -> None:
    downstream = await Scene(None, routes=(route(total=0.001),)).run()

    assert error_of(downstream)["message"] == "the exchange took more than 0.001 s"


@pytest.mark.parametrize("culprit", ["transport", "processor"])
async def test_a_bug_is_logged_and_not_told(culprit: str, caplog: pytest.LogCaptureFixture) -> None:
    scene = (
        Scene(LookupError("internal detail"))
        if culprit == "transport"
        else Scene(routes=(route(processors=(Buggy(),)),))
    )
    with caplog.at_level(logging.ERROR, "proxy"):
        downstream = await scene.run()

    [record] = caplog.records
    assert scene.exchange.id in record.getMessage()
    assert record.exc_info is not None
    assert "internal detail" in str(record.exc_info[1])
    assert b"internal detail" not in downstream.body
    assert scene.exchange.error is not None
    assert scene.exchange.error.__cause__ is record.exc_info[1]


def stream(*script: bytes | ProxyError | None) -> Upstream:
    return Upstream(*script, fields=EVENTS)


@pytest.mark.parametrize(
    ("path", "torn", "told"),
    [
        (CHAT, b"", b'data: {"error":{"message":"reset",'),
        (CHAT, b"data: {", b'\n\ndata: {"error":{"message":"reset",'),
        (RESPONSES, b"", b'event: error\ndata: {"type":"error",'),
    ],
)
async def test_what_goes_wrong_in_a_stream_is_its_last_event_and_then_it_visibly_breaks(
    path: str, torn: bytes, told: bytes
) -> None:
    upstream = stream(DELTA + torn, ProviderBroke("reset"))
    scene = Scene(upstream)
    downstream = await scene.run(Request(BODY, path=path))

    assert downstream.status == 200
    assert downstream.sent[0] == DELTA + torn
    assert downstream.sent[1].startswith(told)
    assert downstream.sent[1].endswith(b"}\n\n")
    assert len(downstream.sent) == 2
    assert downstream.ends == ["aborted"]
    assert upstream.calls == ["close"]
    assert (scene.exchange.status, str(scene.exchange.error)) == (200, "reset")


async def test_a_time_that_is_over_in_a_stream_breaks_it_as_well() -> None:
    scene = Scene(stream(DELTA), routes=(route(total=0.001),))
    downstream = await scene.run()

    assert downstream.sent[0] == DELTA
    assert b"the exchange took more than 0.001 s" in downstream.sent[1]
    assert downstream.ends == ["aborted"]


async def test_what_the_provider_told_itself_is_not_told_again() -> None:
    last = b'data: {"error":{"message":"out of memory"}}\n\n'
    scene = Scene(stream(DELTA, last, ProviderBroke("reset")))
    downstream = await scene.run()

    assert downstream.body == DELTA + last
    assert downstream.ends == ["aborted"]
    assert str(scene.exchange.error) == "out of memory"


async def test_an_answer_in_one_piece_that_breaks_has_nothing_added_to_it() -> None:
    scene = Scene(Upstream(b'{"choi', ProviderBroke("reset"), fields=JSON, length=14))
    downstream = await scene.run()

    assert (downstream.body, downstream.ends) == (b'{"choi', ["aborted"])
    assert str(scene.exchange.error) == "reset"


async def test_a_bug_after_the_head_breaks_the_stream_too() -> None:
    upstream = Upstream(DELTA, fields=EVENTS)
    scene = Scene(upstream)
    running = Running(scene)
    await turns()
    assert running.downstream.started
    running.downstream.writing_paused = True
    upstream.play(DELTA)
    await turns()
    running.downstream.gone = LookupError("a bug")
    running.downstream.make_room()
    await running.task

    assert running.downstream.ends == ["aborted"]
    assert scene.exchange.error is not None
    assert scene.exchange.error.code == "proxy.internal"


@pytest.mark.parametrize("phase", ["waiting", "streaming"])
async def test_a_client_that_leaves_takes_its_exchange_along(phase: str) -> None:
    upstream = stream(DELTA)
    scene = Scene(None if phase == "waiting" else upstream)
    running = Running(scene)
    await turns()
    sent = list(running.downstream.sent)
    running.task.cancel()
    await running.cancelled()

    assert (running.downstream.sent, running.downstream.ends) == (sent, [])
    exchange = scene.exchange
    assert type(exchange.error) is ClientLeft
    assert (exchange.status, exchange.phase) == (499, phase)
    assert upstream.calls == ([] if phase == "waiting" else ["close"])


async def test_at_a_shutdown_what_waits_is_answered() -> None:
    running = Running(Scene(None))
    await turns()
    running.pipeline.end()
    await running.cancelled()

    assert running.downstream.status == 503
    assert error_of(running.downstream)["code"] == "proxy.draining"
    assert running.downstream.ends == ["finished"]


async def test_at_a_shutdown_what_streams_ends_in_an_error() -> None:
    upstream = stream(DELTA)
    scene = Scene(upstream)
    running = Running(scene)
    await turns()
    running.pipeline.end()
    await running.cancelled()

    assert b"proxy.draining" in running.downstream.sent[-1]
    assert running.downstream.ends == ["aborted"]
    assert scene.exchange.error is not None
    assert scene.exchange.error.code == "proxy.draining"
    assert upstream.calls == ["close"]


async def test_it_is_idle_once_nothing_runs() -> None:
    upstream = stream(DELTA)
    running = Running(Scene(upstream))
    await running.pipeline.idle()
    await turns()
    waiting = spawn(running.pipeline.idle(), "idle")
    await turns()
    assert not waiting.done()

    upstream.play(None)
    await running.task
    await waiting


async def test_what_is_no_request_is_refused_and_told_of_once() -> None:
    scene = Scene()
    pipeline, downstream = scene.make(), Downstream()
    request = Request(headers={"X-Request-Id": "mine-1"}, path="/")
    pipeline.refuse(request, downstream, BadRequest("not HTTP"))

    assert (downstream.status, downstream.ends) == (400, ["finished"])
    assert error_of(downstream)["message"] == "not HTTP"
    assert scene.exchange.error is not None
    assert scene.exchange.id != "mine-1"
    assert pipeline.running == {}


class Noting(Processor):
    """Notes when it was asked, and when it was told of the end."""

    name: str
    calls: list[str]

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        self.calls.append(f"{self.name} asked")
        request.set(self.name, len(self.calls))

    def on_end(self, exchange: Exchange) -> None:
        assert exchange.ended_at > 0
        self.calls.append(f"{self.name} told")


@pytest.mark.parametrize("answered", [answer(), ProviderBroke("x"), LookupError("x")])
async def test_processors_work_in_order_and_are_told_of_the_end_before_the_observers(
    answered: Upstream | Exception,
) -> None:
    calls: list[str] = []
    processors = (Noting(name="one", calls=calls), Noting(name="two", calls=calls))
    scene = Scene(answered, routes=(route(processors=processors),))
    scene.observers.append(lambda exchange: calls.append("observed"))
    await scene.run()

    assert calls == ["one asked", "two asked", "one told", "two told", "observed"]
    assert scene.transport.sent[0].body == b'{"model":"m","messages":[],"one":1,"two":2}'


async def test_one_observers_bug_does_not_take_the_others_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(exchange: Exchange) -> None:
        raise LookupError("an observer's bug")

    class Failing(Processor):
        def on_end(self, exchange: Exchange) -> None:
            fail(exchange)

    scene = Scene(answer(), routes=(route(processors=(Failing(),)),))
    scene.observers.insert(0, fail)
    with caplog.at_level(logging.ERROR, "proxy"):
        downstream = await scene.run()

    assert (downstream.status, scene.exchange.error) == (200, None)
    assert [record.getMessage() for record in caplog.records] == [
        f"request {scene.exchange.id}: an observer failed"
    ] * 2


PASSING = (
    route(
        "files",
        paths=(
            "/v1/files",
            "/v1/files/*",
        ),
    ),
)


async def test_what_no_dialect_reads_passes_where_a_route_names_it() -> None:
    upstream = Upstream(b"<raw>", None, length=5)
    scene = Scene(upstream, routes=PASSING)
    downstream = await scene.run(Request(b"12345", path="/v1/files/1", query="a=b"))

    assert (downstream.status, downstream.body, downstream.ends) == (200, b"<raw>", ["finished"])
    [final] = scene.transport.sent
    assert final.head.startswith(b"POST /v1/files/1?a=b HTTP/1.1\r\n")
    exchange = scene.exchange
    assert (exchange.route, exchange.pattern, exchange.dialect) == ("files", "files", "")
    assert exchange.received_at <= exchange.read_at <= exchange.started_at
    assert exchange.bytes_in == 5
    assert upstream.calls == ["close"]


async def test_what_cannot_be_passed_on_says_how_far_it_came() -> None:
    scene = Scene(ConnectFailed("refused"), routes=PASSING)
    downstream = await scene.run(Request(b"", path="/v1/files/1"))

    assert (downstream.status, scene.exchange.phase) == (502, "waiting")
    assert scene.exchange.bytes_in == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND"])
async def test_a_method_that_nobody_means_passes_nowhere(method: str) -> None:
    scene = Scene(routes=PASSING)
    downstream = await scene.run(Request(b"", method=method, path="/v1/files/1"))

    assert downstream.status == 405
    assert "GET" in downstream.fields["allow"]
    assert error_of(downstream)["message"] == f"{method} does not pass through"


async def test_what_passes_and_breaks_is_told_by_the_break_alone() -> None:
    upstream = Upstream(b"<ra", ProviderBroke("reset"), length=5)
    downstream = await Scene(upstream, routes=PASSING).run(Request(b"", path="/v1/files/1"))

    assert (downstream.body, downstream.ends) == (b"<ra", ["aborted"])
    assert upstream.calls == ["close"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../admin",
        "/v1/files/./x",
        "/v1/files//x",
        "/v1/files/%2e%2E/admin",
        "/v1/files/a%2Fb",
        "/v1/files/a%5cb",
        "/v1/files/a\\b",
        "/v1/files/%00",
        "v1/files/x",
        "*",
        "",
    ],
)
async def test_a_path_that_could_be_read_in_two_ways_passes_nowhere(path: str) -> None:
    scene = Scene(answer(), routes=(route("all", paths=("*",)),))
    downstream = await scene.run(Request(b"", path=path))

    assert downstream.status == 400
    assert error_of(downstream)["message"] == "the path is not in its plain form"
    assert scene.transport.sent == []


NAMED = (route(models=("fast", "org/smart")), route("rest", model="other"))


async def test_the_models_that_routes_know_are_listed() -> None:
    scene = Scene(routes=NAMED)
    downstream = await scene.run(Request(b"", method="GET", path="/v1/models"))

    listed = [model["id"] for model in json.loads(downstream.body)["data"]]
    assert (downstream.status, listed) == (200, ["fast", "org/smart", "other"])
    assert downstream.fields["content-type"] == "application/json"
    assert (scene.exchange.operation, scene.exchange.error) == ("models", None)


@pytest.mark.parametrize(
    ("method", "path", "status", "found"),
    [
        ("GET", "/v1/models/fast", 200, "fast"),
        ("HEAD", "/v1/models/fast", 200, "fast"),
        ("GET", "/v1/models/org/smart", 200, "org/smart"),
        ("GET", "/v1/models/org%2Fsmart", 200, "org/smart"),
        ("GET", "/v1/models/absent", 404, None),
        ("POST", "/v1/models", 405, None),
        ("DELETE", "/v1/models/fast", 405, None),
    ],
)
async def test_one_model_is_told_by_its_name(
    method: str, path: str, status: int, found: str | None
) -> None:
    downstream = await Scene(routes=NAMED).run(Request(b"", method=method, path=path))

    assert downstream.status == status
    if found is not None:
        assert json.loads(downstream.body)["id"] == found
    elif status == 405:
        assert downstream.fields["allow"] == "GET, HEAD"
    else:
        assert error_of(downstream)["param"] == "model"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/org/m", "/v1/models/org%2Fm"])
async def test_where_no_name_is_known_the_provider_is_asked_for_its_models(path: str) -> None:
    scene = Scene(Upstream(b"{}", None, length=2))
    downstream = await scene.run(Request(b"", method="GET", path=path))

    assert (downstream.status, downstream.body) == (200, b"{}")
    assert scene.transport.sent[0].head.startswith(b"GET %b HTTP/1.1\r\n" % path.encode())


async def test_a_slash_of_a_models_name_leads_nowhere_else() -> None:
    scene = Scene()
    downstream = await scene.run(Request(b"", method="GET", path="/v1/models/..%2f..%2fadmin"))

    assert downstream.status == 400
    assert scene.transport.sent == []
