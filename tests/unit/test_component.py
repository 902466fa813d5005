"""A component is its section: the keys are its fields, what it holds at run time is not."""

import msgspec
import pytest

from proxy.component import Component, overrides
from proxy.dialect import Dialect
from proxy.exchange import Exchange, ParsedRequest
from proxy.processor import Processor


class Counter(Component):
    start: int
    step: int = 1

    async def open(self) -> None:
        self._value = self.start


def test_a_component_is_made_from_its_section() -> None:
    assert msgspec.convert({"start": 3}, Counter) == Counter(start=3, step=1)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({}, "missing required field `start`"),
        ({"start": "3"}, "`int`"),
        ({"start": 3, "stop": 4}, "unknown field `stop`"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(section: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(section, Counter)


async def test_what_open_makes_is_no_key_and_is_not_shown() -> None:
    counter = Counter(start=3)
    await counter.open()

    assert counter._value == 3
    assert repr(counter) == "Counter(start=3, step=1)"
    assert msgspec.to_builtins(counter) == {"start": 3, "step": 1}


async def test_a_component_need_not_open_or_close_anything() -> None:
    component = Component()
    await component.open()
    await component.close()


class Editing(Processor):
    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        request.drop("seed")


class Inheriting(Editing):
    pass


class Watching(Processor):
    def on_end(self, exchange: Exchange) -> None:
        pass


@pytest.mark.parametrize(
    ("processor", "hooks"),
    [
        (Processor(), []),
        (Editing(), ["on_request"]),
        (Inheriting(), ["on_request"]),
        (Watching(), ["on_end"]),
    ],
)
def test_a_hook_is_its_own_if_it_or_an_ancestor_wrote_it(
    processor: Processor, hooks: list[str]
) -> None:
    assert [hook for hook in ("on_request", "on_end") if overrides(processor, hook)] == hooks
