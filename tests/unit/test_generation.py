"""Configurations at work, one after the other: what opens, what stays open, what closes when."""

import logging
from typing import Any

import msgspec
import pytest

from proxy.assembly import Assembly, assemble
from proxy.config.load import TEXT, Overrides, load
from proxy.errors import ConfigError
from proxy.generation import Generation
from proxy.processor import Processor
from proxy.timers import Sweep
from tests.unit.conftest import Life

TEXT_OF_ONE = '[provider.a]\ntype = "vllm"\nurl = "http://a/v1"\n'


def assembly(life: list[str], *names: str, before: Assembly | None = None, fails: str = "") -> Any:
    """A configuration of these processors; the one that `fails` does so at its opening or close."""
    name, _, at = fails.partition(" ")
    processors: dict[str, Processor] = {
        each: Life(name=each, life=life, fails=at if each == name else "") for each in names
    }
    loaded = load(None, environ={TEXT: TEXT_OF_ONE}, overrides=Overrides())
    settings = msgspec.structs.replace(loaded.settings, processor=processors)
    return assemble(msgspec.structs.replace(loaded, settings=settings), before)


def generation(made: Assembly) -> Generation:
    transport: Any = None
    sweep = Sweep()
    return Generation(made, transport=transport, sweep=sweep, observers=(), counts_usage=False)


async def test_everything_opens_in_order_and_closes_in_the_other() -> None:
    life: list[str] = []
    one = generation(assembly(life, "a", "b"))
    await one.open()
    await one.close()
    await one.close()

    assert life == ["a opened", "b opened", "b closed", "a closed"]


async def test_what_stays_is_opened_once_and_closed_with_the_last_that_uses_it() -> None:
    life: list[str] = []
    one = generation(assembly(life, "a", "b"))
    await one.open()
    made = assembly(life, "b", "c", before=one.assembly)
    two = generation(made)
    await two.open(one)
    two.adopt(made)
    assert life == ["a opened", "b opened", "c opened", "b kept"]
    del life[:]

    await one.close([two])
    assert life == ["a closed"]
    await two.close()
    assert life == ["a closed", "c closed", "b closed"]


async def test_an_older_one_may_outlive_those_that_share_with_it() -> None:
    life: list[str] = []
    one = generation(assembly(life, "a"))
    await one.open()
    two = generation(assembly(life, "a", before=one.assembly))
    await two.open(one)
    three = generation(assembly(life, before=two.assembly))
    await three.open(two)
    await two.close([one, three])
    assert life == ["a opened"]
    await one.close([three])

    assert life == ["a opened", "a closed"]


async def test_one_that_cannot_open_leaves_what_was_open_as_it_was() -> None:
    life: list[str] = []
    one = generation(assembly(life, "a"))
    await one.open()
    two = generation(assembly(life, "a", "b", "c", before=one.assembly, fails="c open"))
    with pytest.raises(ConfigError, match="c cannot be opened"):
        await two.open(one)

    assert life == ["a opened", "b opened", "b closed"]
    await two.close([one])
    assert life[3:] == []
    await one.close()
    assert life[3:] == ["a closed"]


async def test_one_that_cannot_be_closed_is_logged_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life: list[str] = []
    one = generation(assembly(life, "a", "b", fails="b close"))
    await one.open()
    with caplog.at_level(logging.ERROR, "proxy"):
        await one.close()

    assert life[2:] == ["b closed", "a closed"]
    assert [record.getMessage() for record in caplog.records] == ["closing Life failed"]


async def test_what_changed_nothing_is_adopted_by_the_one_at_work() -> None:
    life: list[str] = []
    one = generation(assembly(life, "a"))
    await one.open()
    again = assembly(life, "a", before=one.assembly)
    one.adopt(again)

    assert life == ["a opened", "a kept"]
    assert one.loaded is again.loaded
