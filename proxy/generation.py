"""A generation: one configuration at work, from the opening of its components to their close.

A reload makes the next one beside it. Exchanges that run finish on the generation they began on,
and what only that one used closes after the last of them.
"""

import asyncio
import logging
from collections.abc import Iterable

from proxy.assembly import Assembly
from proxy.client import Client, Transport
from proxy.component import Component
from proxy.config.load import Loaded
from proxy.explain import Explainer
from proxy.pipeline import Observer, Pipeline
from proxy.timers import Sweep

_log = logging.getLogger("proxy")

_SLICE = 50
"""Components that are opened or closed before others get a turn."""


class Generation:
    """A pipeline, and the components that its exchanges use."""

    def __init__(
        self,
        assembly: Assembly,
        *,
        transport: Transport,
        sweep: Sweep,
        observers: tuple[Observer, ...],
        counts_usage: bool,
    ) -> None:
        self.assembly = assembly
        self.pipeline = Pipeline(
            assembly.router,
            Client(transport, counts_usage=counts_usage),
            observers,
            dialect=assembly.fallback,
            sweep=sweep,
        )
        self.explainer = Explainer(assembly.router, assembly.loaded.settings)
        self._opened: dict[int, Component] = {}
        """By identity: two sections that say the same are two components."""

    @property
    def loaded(self) -> Loaded:
        """The configuration."""
        return self.assembly.loaded

    async def open(self, before: "Generation | None" = None) -> None:
        """Open every component but those that `before` keeps open.

        Raises what a component raises, ConfigError mostly; what was opened is closed by then.
        """
        kept = {} if before is None else before._opened
        opened: dict[int, Component] = {}
        try:
            for component in self.assembly.components:
                if id(component) in kept:
                    self._opened[id(component)] = component
                    continue
                await component.open()
                opened[id(component)] = component
                if len(opened) % _SLICE == 0:
                    await asyncio.sleep(0)
        except BaseException:
            self._opened.clear()
            await _close(opened)
            raise
        self._opened |= opened

    def adopt(self, assembly: Assembly) -> None:
        """Go on with the components that `assembly` kept, which say what they said before."""
        self.assembly.loaded = assembly.loaded
        for component, fresh in assembly.kept:
            component.adopt(fresh)
        assembly.kept.clear()

    async def close(self, others: Iterable["Generation"] = ()) -> None:
        """Close, the last opened first, what none of the `others` uses."""
        opened, self._opened = self._opened, {}
        for other in others:
            for key in other._opened:
                opened.pop(key, None)
        await _close(opened)


async def _close(components: dict[int, Component]) -> None:
    while components:
        _, component = components.popitem()
        try:
            await component.close()
        except Exception:
            _log.exception("closing %s failed", type(component).__name__)
        if len(components) % _SLICE == 0:
            await asyncio.sleep(0)
