"""A configuration, built into an application that does not listen yet."""

import logging

import msgspec
import pytest

from proxy.app import App
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.errors import ConfigError, ConnectFailed
from proxy.exchange import Exchange, ParsedRequest
from proxy.observe.log import Log
from proxy.processor import Processor
from proxy.testing.serving import _Memory
from tests.unit.conftest import Downstream, Life, Request

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
ENVIRON = {"KEY": "sk-1"}


def loaded(text: str) -> Loaded:
    return load(None, environ={**ENVIRON, TEXT: text or "# nothing"}, overrides=Overrides())


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


async def test_what_has_stopped_or_has_no_source_is_not_reloaded() -> None:
    made, writer = app()
    with pytest.raises(ConfigError, match="is shutting down"):
        await made.reload()
    made.ready = True
    with pytest.raises(ConfigError, match="has no source"):
        await made.reload()
    lines = [msgspec.json.decode(line) for line in writer.lines]

    assert [(line["event"], line["level"]) for line in lines] == [("reload_failed", "error")] * 2
    assert lines[0]["problems"] == ["the proxy is shutting down"]
    assert made.metrics is not None
    assert b'llm_proxy_reloads_total{outcome="failed"} 2.0' in made.metrics.render()


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
