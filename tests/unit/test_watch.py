"""When files are looked at, and what a look leads to."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy import watch
from proxy.config.load import Loaded, Overrides, load
from proxy.errors import ConfigError
from proxy.tasks import spawn
from proxy.watch import Watch, on_demand
from tests.unit.conftest import turns

MOCK = '[provider.m]\ntype = "mock"\n'


class Scene:
    """A configuration at work, and its file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.file.write_text(MOCK)
        self.at_work = self.load()
        self.reloads = 0
        self.refuses = ""
        self.watch = Watch(lambda: self.at_work, self.load, self.reload)

    def load(self) -> Loaded:
        return load(str(self.file), environ={}, overrides=Overrides())

    async def reload(self) -> None:
        self.reloads += 1
        loaded = self.load()
        if self.refuses:
            raise ConfigError([self.refuses])
        self.at_work = loaded

    async def looks(self) -> int:
        """Look once; how many reloads there were by then."""
        await self.watch._look()
        return self.reloads


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0)
    return Scene(tmp_path / "c.toml")


async def test_what_holds_the_same_is_left_alone(scene: Scene) -> None:
    assert await scene.looks() == 0
    scene.file.unlink()
    scene.file.write_text(MOCK)
    assert await scene.looks() == 0


async def test_what_holds_something_else_is_loaded_once(scene: Scene) -> None:
    scene.file.write_text(MOCK + "seed = 1")
    assert [await scene.looks() for _ in range(3)] == [1, 1, 1]


async def test_what_is_still_being_written_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meanwhile(seconds: float) -> None:
        scene.file.write_text(MOCK + "seed = 2")

    scene.file.write_text(MOCK + "se")
    with monkeypatch.context() as patched:
        patched.setattr("proxy.watch.asyncio.sleep", meanwhile)
        assert await scene.looks() == 0
    assert await scene.looks() == 1


async def test_what_cannot_be_loaded_is_said_once_until_something_else_is_wrong(
    scene: Scene,
) -> None:
    scene.file.write_text("[serve]")
    assert [await scene.looks() for _ in range(3)] == [1, 1, 1]
    scene.file.write_text("[serve] # as wrong as it was")
    assert await scene.looks() == 1
    scene.file.write_text("[server")
    assert [await scene.looks() for _ in range(2)] == [2, 2]
    scene.file.unlink()
    assert [await scene.looks() for _ in range(2)] == [3, 3]
    scene.file.write_text(MOCK)
    assert await scene.looks() == 3
    scene.file.write_text("[serve]")
    assert await scene.looks() == 4


async def test_what_loads_and_is_refused_all_the_same_is_tried_once(scene: Scene) -> None:
    scene.refuses = "the port is taken"
    scene.file.write_text(MOCK + "seed = 1")
    assert [await scene.looks() for _ in range(3)] == [1, 1, 1]
    scene.file.write_text(MOCK + "seed = 2")
    assert await scene.looks() == 2
    scene.refuses = ""
    scene.file.write_text(MOCK + "seed = 3")
    assert [await scene.looks() for _ in range(2)] == [3, 3]


async def test_its_pace_is_that_of_the_configuration_at_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces: list[float | None] = []

    class Timeout:
        """Over at once; the first time somebody pokes."""

        def __init__(self, seconds: float | None) -> None:
            paces.append(seconds)

        async def __aenter__(self) -> None:
            if len(paces) == 1:
                scene.file.write_text(f'[server]\nwatch = "3s"\n{MOCK}')
                scene.at_work = scene.load()
                scene.watch.poke()
            else:
                raise TimeoutError

        async def __aexit__(self, *exc: object) -> None:
            pass

    async def look() -> None:
        if len(paces) == 4:
            raise KeyboardInterrupt
        raise LookupError("a bug")

    looking: Any = scene.watch
    looking._look = look
    monkeypatch.setattr("proxy.watch.asyncio.timeout", Timeout)
    with pytest.raises(KeyboardInterrupt):
        await scene.watch.run()

    assert paces == [None, 3.0, 3.0, 3.0]


async def test_whatever_a_reload_raises_another_may_be_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, failures = asyncio.Event(), [ConfigError(["wrong"]), KeyError("a bug")]

    async def reload() -> None:
        if failures:
            raise failures.pop(0)
        done.set_result(None)

    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = spawn(on_demand(asked, reload), "reload")
    for _ in range(3):
        asked.set()
        await turns()
    await done
    waiting.cancel()
    [record] = caplog.records
    assert record.getMessage() == "the configuration could not be loaded anew"
