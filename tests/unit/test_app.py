"""A configuration, built into an application that does not listen yet."""

import logging

import msgspec
import pytest

from proxy.app import App, assemble
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.errors import ConfigError, ConnectFailed
from proxy.exchange import Exchange, ParsedRequest
from proxy.observe.log import Log
from proxy.processor import Processor
from proxy.processors.parameters import Parameters
from proxy.testing.serving import _Memory
from proxy.url import parse_address
from tests.unit.conftest import Downstream, Request

ONE = """
[global]
connect_timeout = "1s"
idle_timeout = "2s"
[provider.a]
type = "openai_compatible"
url = "http://a:8000/v1"
token = "env:KEY"
idle_timeout = "3s"
send_timeout = "4s"
forward_headers = ["x-mine"]
[processor.limits]
type = "parameters"
drop = ["seed"]
"""
ROUTE = """
[[route]]
models = ["gpt-*"]
targets = ["a/big", "a"]
processors = ["limits"]
send_timeout = "5s"
usage = "never"
[[route]]
name = "rest"
targets = ["a"]
"""
ENVIRON = {"KEY": "sk-1"}


def loaded(text: str) -> Loaded:
    return load(None, environ={**ENVIRON, TEXT: text or "# nothing"}, overrides=Overrides())


def test_routes_are_compiled_in_order_with_their_targets_and_processors() -> None:
    assembly = assemble(loaded(ONE + ROUTE))
    first, rest = assembly.router.routes

    assert [repr(target) for target in first.targets] == ["a/big", "a"]
    assert (first.usage, rest.usage, rest.name) == ("never", "auto", "rest")
    assert [type(processor) for processor in first.processors] == [Parameters]
    assert len(first.on_request) == 1
    assert rest.processors == ()
    assert first.takes_model("gpt-5") == "gpt-*"
    assert first.takes_model("other") is None


def test_a_routes_timeouts_win_over_its_providers_and_those_over_the_defaults() -> None:
    first, rest = assemble(loaded(ONE + ROUTE)).router.routes

    for route, send in ((first, 5.0), (rest, 4.0)):
        timeouts = route.targets[0].timeouts
        assert (timeouts.connect, timeouts.idle, timeouts.send) == (1.0, 3.0, send)
        assert (timeouts.first_byte, timeouts.total) == (600.0, 0.0)


def test_a_provider_is_sent_what_its_section_says() -> None:
    [route] = assemble(loaded(ONE)).router.routes
    provider = route.targets[0].provider
    assert provider.token is not None
    request = Request(headers={"X-Mine": "1", "X-Other": "2"})
    final = provider.final(
        request,
        provider.url.pick(),
        provider.token.pick(),
        provider.timeouts,
        b"{}",
        "/chat/completions",
    )

    assert final.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nX-Mine: 1\r\n"
    )


def test_every_endpoint_has_its_dialect_and_any_other_path_words_for_its_errors() -> None:
    assembly = assemble(loaded(ONE))

    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"):
        dialect = assembly.router.dialect(path)
        assert dialect is not None
        assert dialect.path == path
    assert assembly.fallback is assembly.router.dialect("/v1/chat/completions")


def test_everything_that_opens_and_closes_is_listed_once() -> None:
    assembly = assemble(loaded(ONE + ROUTE))
    [route, _] = assembly.router.routes
    provider = route.targets[0].provider

    assert len(assembly.components) == 3
    for component in (*route.processors, provider.token, provider.url):
        assert sum(component is listed for listed in assembly.components) == 1


def test_without_a_provider_the_mock_answers_everything() -> None:
    [route] = assemble(loaded("")).router.routes

    assert [repr(target) for target in route.targets] == ["mock"]
    assert route.takes_model("anything") == route.name
    provider = route.targets[0].provider
    request = Request(headers={"X-Mock-Ttft": "1ms", "X-Mine": "1"})
    head = provider.final(
        request, parse_address("http://a"), None, provider.timeouts, b"", "/"
    ).head
    assert b"X-Mock-Ttft: 1ms\r\n" in head
    assert b"X-Mine" not in head


class Life(Processor):
    """Notes when it is opened and closed, and fails at what a test says."""

    name: str
    life: list[str]
    fails: str = ""

    async def open(self) -> None:
        if self.fails == "open":
            raise ConfigError([f"{self.name} cannot be opened"])
        self.life.append(f"{self.name} opened")

    async def close(self) -> None:
        self.life.append(f"{self.name} closed")
        if self.fails == "close":
            raise LookupError("a bug")


def app(*processors: Processor, text: str = ONE) -> tuple[App, _Memory]:
    """An application with these processors, and what it logs."""
    found = loaded(text)
    named: dict[str, Processor] = {str(at): each for at, each in enumerate(processors)}
    settings = msgspec.structs.replace(found.settings, processor=named)
    writer = _Memory()
    made = App(msgspec.structs.replace(found, settings=settings), environ=ENVIRON, log=Log(writer))
    return made, writer


async def test_what_was_opened_is_closed_in_turn_when_one_cannot_be() -> None:
    life: list[str] = []
    made, writer = app(
        Life(name="a", life=life, fails="close"),
        Life(name="b", life=life),
        Life(name="c", life=life, fails="open"),
    )
    with pytest.raises(ConfigError, match="c cannot be opened"):
        await made.start()

    assert life == ["a opened", "b opened", "b closed", "a closed"]
    assert not made.ready
    assert made.data_urls == []
    assert writer.lines == []


async def test_a_component_that_cannot_be_closed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life: list[str] = []
    made, _ = app(Life(name="a", life=life, fails="close"), Life(name="b", life=life, fails="open"))
    with caplog.at_level(logging.ERROR, "proxy"), pytest.raises(ConfigError):
        await made.start()

    assert [record.getMessage() for record in caplog.records] == ["closing Life failed"]


async def test_what_was_never_started_is_stopped_without_ado() -> None:
    made, writer = app()
    await made.stop()

    assert not made.ready
    assert (made.admin_url, writer.lines) == (None, [])


@pytest.mark.parametrize("metrics", ["true", "false"])
async def test_an_exchange_is_logged_with_and_without_metrics(metrics: str) -> None:
    made, writer = app(text=f"{ONE}\n[monitoring]\nmetrics = {metrics}\n")
    downstream = Downstream()
    await made.pipeline.run(Request(b"{"), downstream)

    assert downstream.status == 400
    [line] = writer.lines
    assert msgspec.json.decode(line)["error"] == "client.bad_json"


@pytest.mark.parametrize(("metrics", "asked"), [("true", True), ("false", False)])
async def test_usage_is_asked_for_only_where_somebody_counts_it(
    metrics: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[ParsedRequest | None] = []

    async def send(transport: object, final: object, exchange: Exchange) -> None:
        parsed.append(exchange.parsed)
        raise ConnectFailed("there is nobody")

    monkeypatch.setattr("proxy.app.Transport.send", send)
    text = ONE.replace("openai_compatible", "vllm")
    made, _ = app(text=f"{text}\n[monitoring]\nmetrics = {metrics}\n")
    await made.pipeline.run(Request(b'{"model":"m","stream":true}'), Downstream())

    [request] = parsed
    assert request is not None
    assert request.changed is asked
