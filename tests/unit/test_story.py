"""What a proxy's life looks like in the log."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from proxy import __version__
from proxy.config.changes import Change
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics
from proxy.story import Story
from proxy.systemd import Notifier
from proxy.testing.serving import _Memory

DATA = ["http://127.0.0.1:1", "unix:/s"]


def loaded(text: str = "") -> Loaded:
    return load(None, environ={TEXT: text or "# nothing"}, overrides=Overrides())


class Manager(Notifier):
    """Hears what a service manager is told."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.heard: list[str] = []

    def _tell(self, *facts: str) -> None:
        self.heard.append(facts[0])


class Told:
    """A story, its lines and its counts."""

    def __init__(self) -> None:
        self._writer = _Memory()
        self.metrics = Metrics(
            version=__version__, gap_bounds=(1.0,), running=lambda: (), lost_lines=lambda: 0
        )
        self.manager = Manager({})
        self.story = Story(Log(self._writer), self.metrics, self.manager)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self._writer.lines]

    def counted(self, outcome: str) -> bool:
        line = f'llm_proxy_reloads_total{{outcome="{outcome}"}} 1.0\n'
        return line in self.metrics.render().decode()


@pytest.fixture
def told() -> Told:
    return Told()


def test_it_says_where_it_is_ready(told: Told) -> None:
    told.story.ready(loaded(), DATA, None)

    [line] = told.lines
    del line["ts"]
    assert line == {
        "level": "info",
        "event": "ready",
        "message": "data on http://127.0.0.1:1, unix:/s, admin on no address; "
        "provider mock by default",
        "data": DATA,
        "admin": None,
        "configuration": TEXT,
        "default_provider": "mock",
        "version": __version__,
    }


def test_it_says_how_many_workers_there_are(told: Told) -> None:
    told.story.ready(loaded('[provider.a]\ntype = "mock"'), DATA[:1], "http://127.0.0.1:2", 3)

    [line] = told.lines
    assert line["workers"] == 3
    assert line["message"] == "data on http://127.0.0.1:1, admin on http://127.0.0.1:2; 3 workers"


def test_warnings_come_with_the_configuration_that_has_them(told: Told) -> None:
    warned = loaded('[provider.a]\ntype = "openai"\ntoken = "literal:x"\n')
    told.story.ready(warned, DATA, None)
    told.story.reloaded(warned, [])

    events = [(line["event"], line["level"]) for line in told.lines]
    assert events.count(("configuration", "warning")) == 2 * len(warned.warnings) > 0


def test_a_reload_tells_what_changed(told: Told) -> None:
    change = Change("server.drain_timeout", "changed", "30s", "1s")
    told.story.reloaded(loaded(), [change])
    told.story.reloaded(loaded(), [])
    told.story.not_reloaded(["one thing", "another"])

    assert [(line["event"], line["level"], line["message"]) for line in told.lines] == [
        ("reloaded", "info", '[server.drain_timeout] "30s" became "1s"'),
        ("reloaded", "info", "nothing changed"),
        ("reload_failed", "error", "the configuration stays as it was: one thing; another"),
    ]
    assert told.lines[0]["changes"][0]["key"] == "server.drain_timeout"
    assert told.lines[2]["problems"] == ["one thing", "another"]
    assert all(map(told.counted, ("changed", "unchanged", "failed")))
    assert told.manager.heard == ["READY=1"] * 3


def test_the_end_is_told(told: Told) -> None:
    told.story.stopping(2, 30.0)
    told.story.stopped()

    assert [(line["event"], line["message"]) for line in told.lines] == [
        ("stopping", "2 running"),
        ("stopped", "bye"),
    ]
    assert told.lines[0]["running"] == 2
    assert told.manager.heard == ["STOPPING=1"]


def test_a_service_manager_is_told_when_it_may_go_on(told: Told) -> None:
    told.story.ready(loaded(), DATA, None)
    told.story.reloading()

    assert told.manager.heard == ["READY=1", "RELOADING=1"]
