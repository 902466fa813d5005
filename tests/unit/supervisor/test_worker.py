"""What a worker is told, in whatever order it is told."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.app import App
from proxy.supervisor import worker as module
from proxy.supervisor.messages import Accept, Yield
from proxy.supervisor.worker import Worker
from tests.unit.conftest import turns
from tests.unit.test_app import app, loaded


@pytest.mark.parametrize("early", [True, False], ids=["at once", "later"])
async def test_what_is_accepted_for_another_ends_when_that_one_is_back(
    monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    accepting: set[int] = set()

    async def accept(app: App, message: Accept, files: list[int]) -> list[Callable[[], None]]:
        await asyncio.sleep(0)
        accepting.add(message.place)
        return [lambda: accepting.discard(message.place)]

    monkeypatch.setattr(module, "_accept", accept)
    worker = Worker(loaded(""), lambda: loaded(""), {}, [])
    worker._app, _ = app(text="")
    for place in (0, 1):
        worker._heard(Accept(place, ()), [])
    if not early:
        await turns()
        assert accepting == {0, 1}
    worker._heard(Yield(0), [])
    await turns()
    assert accepting == {1}
    worker._heard(Yield(0), [])
    worker._heard(Yield(1), [])
    await turns()
    assert accepting == set()
