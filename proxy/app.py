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
- ``ready``, ``running``, ``metrics``, ``data_urls``, ``admin_url``: what is so now.
- ``open`` is what listens, ``await accept(…)`` adds to it; ``await hand_over()``: another process
  listens there, too, and goes on; ``await succeed(…)`` is what that one does.

It is the :class:`proxy.admin.Operated` of its own admin listener.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator, Mapping

from proxy import __version__
from proxy.assembly import Assembly, assemble
from proxy.config.address import ListenAddress
from proxy.config.changes import Change, changes
from proxy.config.load import Loaded, check_successor
from proxy.errors import ConfigError
from proxy.exchange import Exchange
from proxy.explain import Explanation
from proxy.generation import Generation
from proxy.listener import Bind, Listener
from proxy.listener import bind as bind_address
from proxy.listening import Listening, Plan
from proxy.observe.log import Log, open_log
from proxy.observe.metrics import Metrics
from proxy.pipeline import Observer, Pipeline
from proxy.relay import GAP_BOUNDS
from proxy.story import Story
from proxy.systemd import Notifier
from proxy.takeover import Handover, Takeover
from proxy.tasks import run_aside, spawn, unless
from proxy.timers import Sweep
from proxy.transport import Transport
from proxy.units import clock
from proxy.watch import Watch, unusable

END_SECONDS = 1.0
"""How long what is ended may take to say so to its client."""


def tune_collector() -> None:
    """Collect garbage rarely: an exchange leaves no cycles, so there is next to none to find.

    What lives as long as the process is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


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
        supervised: bool = False,
        notifier: Notifier | None = None,
        taken: Callable[[int], None] | None = None,
    ) -> None:
        """Build it; raises ConfigError. Nothing listens before `start`.

        `load` is what a reload loads; None: there is nothing else to load. `supervised`: another
        process watches the files, and tells operators what happens; else the
        `notifier` is told, too. `taken` is called with the id of a process that has taken the
        sockets; None: there is nobody to give them to.
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
        self.story = None if supervised else Story(self.log, self._metrics, notifier)
        self._transport = Transport(self._sweep, self._metrics.connect_seconds)
        self._generation = self._generate(assemble(loaded))
        self._retired: list[Generation] = []
        """Those that still have exchanges running."""
        self._listening = Listening(lambda: self._generation.pipeline, self, bind)
        self._reloading = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None
        self._drain_until = 0.0
        self._ending = asyncio.Event()
        self._watch = Watch(lambda: self.loaded, self._load_anew, self.reload)
        self._watching: asyncio.Task[None] | None = None
        self._handover = None
        if taken is not None:
            self._handover = Handover(lambda: [(one, [one.sock]) for one in self.open], taken)
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
        if self.story is not None:
            self.story.ready(loaded, self.data_urls, self.admin_url)
            self._watching = spawn(self._watch.run(), "watch the configuration")
        self._wait_for_successor()

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

    async def render(self) -> bytes | None:
        """What `metrics` counted, as Prometheus' text."""
        metrics = self.metrics
        return None if metrics is None else await run_aside(metrics.render)

    async def explain(self, path: str, body: bytes) -> Explanation:
        """What the configuration at work does with such a request."""
        return await self._generation.explainer.explain(path, body)

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
                if self.story is not None:
                    self.story.reloading()
                changed = await self._reload()
            except ConfigError as error:
                if self.story is not None:
                    self.story.not_reloaded(error.problems)
                raise
            if self.story is not None:
                self.story.reloaded(self.loaded, changed)
            self._watch.poke()
            return changed

    async def _reload(self) -> list[Change]:
        before = self._generation
        plan: Plan | None = None
        try:
            assembly, changed = await run_aside(lambda: self._assemble(before))
            if not changed:
                before.adopt(assembly)
                return []
            after = self._generate(assembly)
            plan = await run_aside(lambda: self._listening.plan(assembly.loaded))
            opened = await unless(self._ending, after.open(before), "open a configuration")
            if not (opened and self.ready):
                await after.close([before])
                raise ConfigError(["the proxy is shutting down"])
        except BaseException as error:
            if plan is not None:
                plan.drop()
            if isinstance(error, ConfigError) or not isinstance(error, Exception):
                raise
            raise unusable(error) from error
        self._generation = after
        after.adopt(assembly)
        self._retired.append(before)
        spawn(self._retire(before), "retire a configuration")
        log = after.loaded.settings.monitoring.log
        if log != before.loaded.settings.monitoring.log:
            self.log.configure(log.level, log.format)
        await self._listening.serve(plan, after.loaded.settings.server)
        self._wait_for_successor()
        return changed

    def _assemble(self, before: Generation) -> tuple[Assembly, list[Change]]:
        """Load and build, all that takes long: in a thread, beside the loop."""
        loaded = self._load_anew()
        check_successor(before.loaded, loaded)
        changed = changes(before.loaded.settings, loaded.settings)
        return assemble(loaded, before.assembly), changed

    def _load_anew(self) -> Loaded:
        if self._load is None:
            raise ConfigError(["this proxy was started with a configuration that has no source"])
        return self._load()

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

    # Sockets that others have, too.

    @property
    def open(self) -> list[Listener]:
        """What is listened at now."""
        return self._listening.open

    async def accept(self, address: ListenAddress, sock: socket.socket) -> Callable[[], None]:
        """Accept on a further socket of an address that is served; what is returned ends that."""
        return await self._listening.accept(address, sock)

    async def succeed(self, before: Takeover) -> None:
        """Take the place of the process that the sockets are from."""
        for listener in self.open:
            for sock in before.rest(listener.bound):
                await self.accept(listener.address, sock)
        if self.story is not None:
            self.story.took_over(before.process)
        await before.done()
        for listener in self.open:
            listener.own()
        self._wait_for_successor()

    async def hand_over(self) -> None:
        """Leave the sockets, and operators, to another process; to be stopped soon."""
        await self._listening.hand_over()

    def _wait_for_successor(self) -> None:
        if self._handover is not None:
            self._handover.wait()

    # The end.

    async def drain(self, limit: float | None = None, *, linger: float = 0.0) -> int:
        """Take no more requests; returns once no client is connected, or after `limit` seconds.

        Returns how many still are. Without a `limit` it is the configuration's `drain_timeout`
        behind its `drain_delay`, counted from the first time this was said. An idle connection
        may still be used, once, for `linger` seconds, which stand for the delay.
        """
        if self._draining is None:
            self.ready = False
            self._ending.set()
            server = self.loaded.settings.server
            self._drain_until = clock() + server.drain_delay + server.drain_timeout
            self._listening.wind_down()
            delay = 0.0 if linger else server.drain_delay
            self._draining = spawn(self._drain(delay, linger), "drain")
        left = self._drain_until - clock() if limit is None else limit
        await asyncio.wait((self._draining,), timeout=max(left, 0.0))
        return self._listening.connections

    async def _drain(self, delay: float, linger: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        self._listening.stop(linger)
        await self._listening.emptied()

    @property
    def drain_seconds(self) -> float:
        """How long a shutdown may take."""
        server = self.loaded.settings.server
        return server.drain_delay + server.drain_timeout + 2 * END_SECONDS

    async def leave(self, at_once: asyncio.Event, *, linger: float = 0.0) -> None:
        """Stop as the configuration says, but wait for nobody any more once `at_once` is set."""
        if not await unless(at_once, self.stop(linger=linger), "stop"):
            await self.stop(0.0)

    async def stop(self, limit: float | None = None, *, linger: float = 0.0) -> None:
        """Take no more requests, let those that run end within `limit` seconds, close everything.

        `limit` and `linger` are those of :meth:`drain`.
        """
        if self._handover is not None:
            self._handover.close()
        await self.drain(limit, linger=linger)
        if self._watching is not None:
            self._watching.cancel()
        self._listening.stop()
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
