"""Which hooks a processor has of its own."""

import pytest

from proxy.dialect import Dialect
from proxy.exchange import Exchange, ParsedRequest
from proxy.processor import Processor, overrides


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
