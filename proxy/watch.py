"""Watching the files of a configuration: what they hold, and not when somebody touched them."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from proxy.config.load import Loaded
from proxy.config.source import state_of
from proxy.errors import ConfigError
from proxy.tasks import run_aside

SETTLE_SECONDS = 0.2
"""How long the files must stay as they are: whoever writes several is not done with the first."""

_log = logging.getLogger("proxy")


async def on_demand(asked: asyncio.Event, reload: Callable[[], Awaitable[object]]) -> None:
    """Reload each time that it is asked for; several askings meanwhile are one."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await reload()
        except ConfigError:
            pass  # it has told why not
        except Exception:
            _log.exception("the configuration could not be loaded anew")


def unusable(error: Exception) -> ConfigError:
    """What is raised from an error that no configuration should cause; the log has it all."""
    _log.error("the configuration cannot be used", exc_info=error)
    return ConfigError([f"a component failed: {type(error).__name__} (the log says why)"])


class Watch:
    """Reloads when a file holds something else, at the pace that the configuration at work says.

    What cannot be loaded is tried again each time, since it may lack a file that is not the
    configuration's own; it is spoken of once.
    """

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        load: Callable[[], Loaded],
        reload: Callable[[], Awaitable[object]],
    ) -> None:
        """`loaded` gives the configuration at work, `load` that of now; `reload` changes to it."""
        self._loaded = loaded
        self._load = load
        self._reload = reload
        self._anew = asyncio.Event()
        self._refused: object = None
        """What the files held, or what was wrong, when a reload failed."""

    def poke(self) -> None:
        """The configuration at work is another one: its pace may be another, too."""
        self._anew.set()

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            pace = self._loaded().settings.server.watch
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace or None):
                    await self._anew.wait()
            if self._anew.is_set():
                self._anew.clear()
                continue
            try:
                await self._look()
            except Exception:
                _log.exception("the configuration's files cannot be watched")

    async def _look(self) -> None:
        source = self._loaded().source
        state = await run_aside(lambda: state_of(source))
        if state == (source.digests, source.globs):
            self._refused = None
            return
        await asyncio.sleep(SETTLE_SECONDS)
        if await run_aside(lambda: state_of(source)) != state:
            return
        try:
            await run_aside(self._load)
        except ConfigError as error:
            held: object = error.problems
        else:
            held = state
        if held == self._refused:
            return
        try:
            await self._reload()
        except ConfigError:
            self._refused = held
        else:
            self._refused = None
