"""The application: listeners in front, one configuration at work behind them, and its successors.

What a process that runs it, or a supervisor of several, needs of it:

- ``App(loaded, environ=…, load=…, bind=…)`` builds; ConfigError. ``load`` loads the configuration
  anew (it is called in a thread), ``bind`` makes a listening socket of an address: whoever has
  sockets already hands them in there.
- ``await start()`` opens and listens; ConfigError.
- ``await reload()`` replaces the configuration by the one that ``load`` gives now, and returns the
  list of :class:`~proxy.config.changes.Change`; ConfigError: the one at work stays.
- ``await drain(seconds)`` takes no more requests and returns how many still run, once that is none
  or the time is over; ``await stop()`` drains, ends what still runs and closes everything.
- ``ready``, ``running``, ``metrics``, ``explainer``, ``data_urls``, ``admin_url``: what is so now.

It is the :class:`proxy.admin.Operated` of its own admin listener.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from proxy import __version__
from proxy.assembly import Assembly, assemble
from proxy.config.changes import Change, changes
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.exchange import Exchange
from proxy.explain import Explainer
from proxy.generation import Generation
from proxy.listener import Bind
from proxy.listener import bind as bind_address
from proxy.listening import Listening, Plan
from proxy.observe.log import Log, open_log
from proxy.observe.metrics import Metrics
from proxy.pipeline import Observer, Pipeline
from proxy.relay import GAP_BOUNDS
from proxy.tasks import spawn
from proxy.timers import Sweep
from proxy.transport import Transport
from proxy.units import clock

END_SECONDS = 1.0
"""How long what is ended may take to say so to its client."""

_log = logging.getLogger("proxy")


class App:
    """A proxy: listeners in front, one configuration at work behind them."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        environ: Mapping[str, str],
        load: Callable[[], Loaded] | None = None,
        log: Log | None = None,
        bind: Bind = bind_address,
    ) -> None:
        """Build it; raises ConfigError. Nothing listens before `start`.

        `load` is what a reload loads; None: there is nothing else to load.
        """
        monitoring = loaded.settings.monitoring
        self.log = log or open_log(monitoring.log.level, monitoring.log.format, environ)
        self._load = load
        self._bind = bind
        self._sweep = Sweep()
        self._metrics = Metrics(
            version=__version__,
            gap_bounds=GAP_BOUNDS,
            running=lambda: list(self.running),
            lost_lines=lambda: self.log.lost_lines,
        )
        self._transport = Transport(self._sweep, self._metrics.connect_seconds)
        self._generation = self._generate(assemble(loaded))
        self._retired: list[Generation] = []
        """Those that still have exchanges running."""
        self._listening = Listening(lambda: self._generation.pipeline, self, bind)
        self._reloading = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None
        self._drain_until = 0.0
        self.ready = False

    async def start(self) -> None:
        """Open every component, then listen. Raises ConfigError; what was opened is closed."""
        loaded = self._generation.loaded
        try:
            await self._generation.open()
            plan = self._listening.plan(loaded)
            await self._listening.serve(plan, loaded.settings.server)
        except BaseException:
            await self.stop(0.0)
            raise
        self.ready = True
        self._warn(loaded)
        where = f"data on {', '.join(self.data_urls)}, admin on {self.admin_url or 'no address'}"
        if loaded.default is not None:
            where += f"; provider {loaded.default} by default"
        self.log.say(
            "info",
            "ready",
            where,
            data=self.data_urls,
            admin=self.admin_url,
            configuration=loaded.origin,
            default_provider=loaded.default,
            version=__version__,
        )

    # What is so now.

    @property
    def pipeline(self) -> Pipeline:
        """What the next request goes through."""
        return self._generation.pipeline

    @property
    def loaded(self) -> Loaded:
        """The configuration at work."""
        return self._generation.loaded

    @property
    def running(self) -> Iterator[Exchange]:
        """The exchanges that are not over, on whichever configuration."""
        for generation in self._generations():
            yield from tuple(generation.pipeline.running)

    @property
    def metrics(self) -> Metrics | None:
        """What was counted since the start; None: the configuration does without."""
        return self._metrics if self.loaded.settings.monitoring.metrics else None

    @property
    def explainer(self) -> Explainer:
        """Says what the configuration at work does with a request."""
        return self._generation.explainer

    @property
    def data_urls(self) -> list[str]:
        """Where clients connect."""
        return self._listening.data_urls

    @property
    def admin_url(self) -> str | None:
        """Where operators connect."""
        return self._listening.admin_url

    # A configuration for another.

    async def reload(self) -> list[Change]:
        """Put what the configuration says now in the place of what is at work.

        Exchanges that run end on the configuration they began with. Returns what changed. Raises
        ConfigError, and then nothing has changed.
        """
        async with self._reloading:
            try:
                if not self.ready:
                    raise ConfigError(["the proxy is shutting down"])
                changed = await self._reload()
            except ConfigError as error:
                self._metrics.reloaded("failed")
                problems = error.problems
                text = f"the configuration stays as it was: {'; '.join(problems)}"
                self.log.say("error", "reload_failed", text, problems=problems)
                raise
            self._metrics.reloaded("changed" if changed else "unchanged")
            text = "; ".join(map(str, changed)) or "nothing changed"
            self.log.say("info", "reloaded", text, changes=changed)
            self._warn(self.loaded)
            return changed

    async def _reload(self) -> list[Change]:
        before = self._generation
        plan: Plan | None = None
        try:
            assembly, changed = await asyncio.to_thread(self._assemble, before)
            if not changed:
                before.adopt(assembly)
                return []
            after = self._generate(assembly)
            plan = await asyncio.to_thread(self._listening.plan, assembly.loaded)
            await after.open(before)
            if not self.ready:
                await after.close([before])
                raise ConfigError(["the proxy is shutting down"])
        except BaseException as error:
            if plan is not None:
                plan.drop()
            if isinstance(error, ConfigError) or not isinstance(error, Exception):
                raise
            _log.exception("the configuration cannot be used")
            what = f"a component failed: {type(error).__name__} (the log says why)"
            raise ConfigError([what]) from error
        self._generation = after
        after.adopt(assembly)
        self._retired.append(before)
        spawn(self._retire(before), "retire a configuration")
        log = after.loaded.settings.monitoring.log
        if log != before.loaded.settings.monitoring.log:
            self.log.configure(log.level, log.format)
        await self._listening.serve(plan, after.loaded.settings.server)
        return changed

    def _assemble(self, before: Generation) -> tuple[Assembly, list[Change]]:
        """Load and build, all that takes long: in a thread, beside the loop."""
        if self._load is None:
            raise ConfigError(["this proxy was started with a configuration that has no source"])
        loaded = self._load()
        changed = changes(before.loaded.settings, loaded.settings)
        return assemble(loaded, before.assembly), changed

    async def _retire(self, generation: Generation) -> None:
        """Close a configuration after the last exchange that runs on it."""
        await generation.pipeline.idle()
        if generation in self._retired:
            self._retired.remove(generation)
            await generation.close(self._generations())

    def _generate(self, assembly: Assembly) -> Generation:
        counts = assembly.loaded.settings.monitoring.metrics
        observers: tuple[Observer, ...] = (self.log.exchange,)
        if counts:
            observers = (self._metrics.exchange, *observers)
        return Generation(
            assembly,
            transport=self._transport,
            sweep=self._sweep,
            observers=observers,
            counts_usage=counts,
        )

    def _generations(self) -> list[Generation]:
        return [self._generation, *self._retired]

    def _warn(self, loaded: Loaded) -> None:
        for warning in loaded.warnings:
            self.log.say("warning", "configuration", warning)

    # The end.

    async def drain(self, limit: float | None = None) -> int:
        """Take no more requests; returns once no client is connected, or after `limit` seconds.

        Returns how many still are. Without a `limit` it is the configuration's `drain_timeout`,
        counted from the first time this was said.
        """
        if self._draining is None:
            self.ready = False
            self._drain_until = clock() + self.loaded.settings.server.drain_timeout
            self._listening.stop()
            self._draining = spawn(self._listening.emptied(), "drain")
        left = self._drain_until - clock() if limit is None else limit
        await asyncio.wait((self._draining,), timeout=max(left, 0.0))
        return self._listening.connections

    async def stop(self, limit: float | None = None) -> None:
        """Take no more requests, let those that run end within `limit` seconds, close everything.

        Without a `limit` it is that of :meth:`drain`.
        """
        await self.drain(limit)
        for generation in self._generations():
            generation.pipeline.end()
        await self._listening.close(END_SECONDS)
        async with self._reloading:
            pass  # one that was under way sees that it comes too late
        if self._draining is not None:
            self._draining.cancel()
        await self._transport.close()
        self._sweep.close()
        retired, self._retired = self._retired, []
        for generation in retired:
            await generation.close([self._generation])
        await self._generation.close()
        self.log.flush()
