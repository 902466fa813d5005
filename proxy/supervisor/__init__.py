"""Workers under a supervisor: several processes that are one proxy to clients and operators.

- :mod:`~proxy.supervisor.roster`: what is decided about workers; no process, no clock
- :mod:`~proxy.supervisor.crew`: all of them as processes, as the roster decides
- :mod:`~proxy.supervisor.process`: one of them, forked and talked to
- :mod:`~proxy.supervisor.sockets`: the listening sockets of all of them
- :mod:`~proxy.supervisor.messages`: what the two sides say to each other
- :mod:`~proxy.supervisor.worker`: the worker's side
- this one: the supervisor, which carries no traffic and answers operators for all

It forks, so it runs no thread; what elsewhere runs in one beside the loop it does in between.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import uvloop

from proxy import __version__
from proxy.admin import Admin
from proxy.assembly import assemble
from proxy.config.changes import Change, changes
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.listener import Listener, bind
from proxy.observe.log import open_log
from proxy.observe.metrics import Metrics
from proxy.relay import GAP_BOUNDS
from proxy.story import Story
from proxy.supervisor.crew import OWN, Crew
from proxy.supervisor.messages import Drain, Explain, Reload
from proxy.supervisor.process import Lost, Process
from proxy.supervisor.sockets import Planned, Sockets
from proxy.supervisor.worker import run_worker
from proxy.systemd import Notifier
from proxy.takeover import LINGER_SECONDS, Handover, Takeover
from proxy.tasks import spawn
from proxy.tls import ListenerTls
from proxy.watch import Watch, on_demand, unusable

GRACE_SECONDS = 3.0
"""What a worker may need, beyond what the configuration grants it, to end."""

_STOP = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """The process that several workers belong to; the :class:`~proxy.admin.Operated` of all."""

    def __init__(
        self,
        loaded: Loaded,
        workers: int,
        *,
        environ: Mapping[str, str],
        load: Callable[[], Loaded],
        before: Takeover | None = None,
    ) -> None:
        """`load` loads the configuration anew; `before`: whom this one takes the place of."""
        monitoring = loaded.settings.monitoring
        self._workers = workers
        self._load = load
        self._environ = environ
        self._log = open_log(monitoring.log.level, monitoring.log.format, environ)
        self._metrics = Metrics(
            version=__version__,
            gap_bounds=GAP_BOUNDS,
            running=lambda: (),
            lost_lines=lambda: self._log.lost_lines,
        )
        self._notifier = Notifier(environ)
        self._story = Story(self._log, self._metrics, self._notifier)
        self._before = before
        if before is None:
            self._sockets = Sockets(workers, bind, lambda address: [])
        else:
            self._sockets = Sockets(workers, before.bind, before.rest)
        self._handover = Handover(self._sockets.every, self._taken)
        self._successor = 0
        """The process that has taken the sockets."""
        self._crew = Crew(loaded, workers, self._sockets, self._work, self._log, self._look)
        self._admin: Admin | None = None
        self._tls: ListenerTls | None = None
        """That of the admin listener, which nobody else opens."""
        self._reloading = asyncio.Lock()
        self._watch = Watch(lambda: self._crew.loaded, load, self.reload)
        self._draining = False
        self._stops = 0
        """How often it was told to stop."""
        self._reload_asked = asyncio.Event()
        self._news = asyncio.Event()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, as :mod:`proxy.cli.serve` does; the exit status.

        Raises ConfigError if it cannot start.
        """
        loop = uvloop.new_event_loop()
        loop.set_default_executor(_InLine())
        main = loop.create_task(self._main(), name="supervisor")
        main.add_done_callback(lambda done: loop.stop())
        try:
            while not main.done():
                loop.run_forever()
                self._crew.fork_due()
            return main.result()
        finally:
            loop.close()

    async def _main(self) -> int:
        loaded = self._crew.loaded
        self._sockets.carry_out(self._sockets.plan(loaded))
        try:
            assemble(loaded)
            self._tls = await _tls(loaded)
            if self._before is None:
                await self._operate()  # else the other one answers, until all are ready here
            return await self._serve()
        finally:
            await self._admin_gone()
            self._sockets.close()
            if self._sockets.admin is not None:
                self._sockets.admin.close()
            if self._tls is not None:
                await self._tls.close()

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        crew, story = self._crew, self._story
        for number in _STOP:
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_asked.set)
        # What is here now is what workers share: whoever looks at it would copy it.
        gc.collect()
        gc.freeze()
        crew.begin()
        await self._until(lambda: crew.settled or crew.failed or self._stops)
        if not crew.settled:
            return await self._not_started()
        if self._before is not None:
            await self._operate()
        story.ready(crew.loaded, self._sockets.data_urls, self._sockets.admin_url, self._workers)
        if self._before is not None:
            story.took_over(self._before.process)
            await self._before.done()
            self._sockets.own()
        self._handover.wait()
        beside = [
            spawn(self._watch.run(), "watch the configuration"),
            spawn(on_demand(self._reload_asked, self.reload), "reload"),
            spawn(self._notifier.keep_alive(), "watchdog"),
        ]
        await self._until(lambda: self._stops or self._successor or crew.over)
        for task in beside:
            task.cancel()
        self._handover.close()
        if self._successor:
            story.handed_over(crew.running, self._successor)
            self._sockets.leave()
            await self._admin_gone()
        else:
            story.stopping(crew.running, self._drain_seconds)
        await self._leave()
        story.stopped()
        return 0 if self._stops or self._successor else 1

    async def _not_started(self) -> int:
        """End who has started, and say why not all have."""
        self._crew.hurry(GRACE_SECONDS)
        await self._until(lambda: self._crew.over)
        if self._crew.failed is None:  # it was told to stop before it had started
            self._story.stopped()
            return 0
        status, problems = self._crew.failed
        if problems:
            raise ConfigError(problems)
        return status

    async def _leave(self) -> None:
        """Have everybody finish, or have them end once told to stop a second time."""
        crew, linger = self._crew, LINGER_SECONDS if self._successor else 0.0
        delay = 0.0 if linger else crew.loaded.settings.server.drain_delay
        self._draining = True
        crew.leave(self._drain_seconds + linger + GRACE_SECONDS, linger)
        closing = asyncio.get_running_loop().call_later(delay, self._sockets.close)
        await self._until(lambda: crew.over or self._stops > 1)
        closing.cancel()
        self._sockets.close()
        if not crew.over:
            crew.hurry(GRACE_SECONDS)
            await self._until(lambda: crew.over)

    @property
    def _drain_seconds(self) -> float:
        """How long a shutdown may take."""
        server = self._crew.loaded.settings.server
        return server.drain_delay + server.drain_timeout

    def _work(self, place: int) -> Callable[[socket.socket, int], int]:
        loaded, sockets = self._crew.loaded, list(self._sockets.of(place))

        def work(channel: socket.socket, report: int) -> int:
            return run_worker(loaded, self._load, self._environ, sockets, channel, report)

        return work

    def _told_to_stop(self) -> None:
        self._stops += 1
        self._look()

    def _taken(self, process: int) -> None:
        self._successor = process
        self._look()

    def _look(self) -> None:
        """Something is new: whoever waits for something looks whether it is so."""
        self._news.set()

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    # For operators.

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._crew.settled and not self._draining and bool(self._crew.serving)

    async def render(self) -> bytes | None:
        """What all counted since the start, as Prometheus' text."""
        if not self._crew.loaded.settings.monitoring.metrics:
            return None
        await self._crew.count()
        sums = self._crew.sums
        sums.put(OWN, [*self._metrics.families(), *self._crew.families()])
        return sums.render()

    async def explain(self, path: str, body: bytes) -> msgspec.Raw:
        """What the configuration at work does with such a request. Raises ConfigError."""
        for process in self._crew.serving:
            try:
                return msgspec.Raw(await process.ask(lambda ask: Explain(ask, path, body)))
            except Lost:
                continue
        raise ConfigError(["no worker answers just now"])

    async def reload(self) -> list[Change]:
        """Have all workers go on with what the configuration says now; what changed.

        Raises ConfigError, and then nothing has changed.
        """
        async with self._reloading:
            try:
                if not self.ready:
                    raise ConfigError(["the proxy is shutting down"])
                self._story.reloading()
                changed = await self._reload()
            except ConfigError as error:
                self._story.not_reloaded(error.problems)
                raise
            self._story.reloaded(self._crew.loaded, changed)
            self._watch.poke()
            return changed

    async def _reload(self) -> list[Change]:
        before = self._crew.loaded
        first, *others = self._crew.serving
        planned, tls = None, None
        try:
            loaded = self._load()
            assemble(loaded)
            changed = changes(before.settings, loaded.settings)
            planned = self._sockets.plan(loaded)
            tls = await _tls(loaded)
            # If one can, all can; if it cannot, nothing has happened.
            await self._change(first, loaded, planned)
        except BaseException as error:
            if planned is not None:
                planned.drop()
            if tls is not None:
                await tls.close()
            if isinstance(error, Lost):
                raise ConfigError(["a worker was lost while it loaded: load once more"]) from None
            if isinstance(error, ConfigError) or not isinstance(error, Exception):
                raise
            raise unusable(error) from error
        self._crew.reconfigured(loaded)
        gone = self._sockets.carry_out(planned)
        self._handover.wait()
        results = await asyncio.gather(
            *(self._change(process, loaded, planned) for process in others), return_exceptions=True
        )
        for process, result in zip(others, results, strict=True):
            if isinstance(result, Exception) and not isinstance(result, Lost):
                what = f"worker {process.place + 1} is replaced, for it could not reload: {result}"
                self._log.say("error", "worker_not_reloaded", what, worker=process.place + 1)
                self._crew.replace(process)
        tls, self._tls = self._tls, tls
        if gone is not None or self._admin is None:
            await self._operate(gone)
        else:
            self._admin.change(self._tls)
        if tls is not None:
            await tls.close()
        log = loaded.settings.monitoring.log
        if log != before.settings.monitoring.log:
            self._log.configure(log.level, log.format)
        if loaded.settings.server.workers != before.settings.server.workers:
            self._log.say("warning", "configuration", _WORKERS)
        return changed

    async def _change(self, process: Process, loaded: Loaded, planned: Planned) -> None:
        """Have one worker go on with another configuration. Raises ConfigError and Lost."""
        added = [(listener, socks[process.place]) for listener, socks in planned.added.items()]
        addresses = tuple(str(listener.address) for listener, _ in added)
        digests = loaded.source.digests
        files = [socks[0].fileno() for _, socks in added]
        await process.ask(lambda ask: Reload(ask, digests, addresses), files)
        process.loaded = loaded

    async def drain(self, limit: float | None = None) -> int:
        """Take no more requests; who still is connected, once that is nobody or time is over."""
        if not self._draining:
            self._draining = True
            self._crew.keep()
            delay = self._crew.loaded.settings.server.drain_delay
            asyncio.get_running_loop().call_later(delay, self._sockets.close)
        seconds = self._drain_seconds if limit is None else limit
        answers = await asyncio.gather(
            *(self._drained(process, float(seconds)) for process in self._crew.serving)
        )
        return sum(answers)

    async def _drained(self, process: Process, seconds: float) -> int:
        try:
            answer = await process.ask(lambda ask: Drain(ask, seconds))
        except Lost:
            return 0
        return msgspec.msgpack.decode(answer, type=int)

    async def _operate(self, gone: Listener | None = None) -> None:
        """Answer operators where they are to be answered now; soon no more where that was."""
        before, self._admin = self._admin, None
        listener = self._sockets.admin
        if listener is not None:
            self._admin = Admin(self, trusted=listener.loopback)
            self._admin.change(self._tls)
            await self._admin.listen(listener.sock)
        if before is not None:
            # It is mostly an operator who wants this, and waits for the answer there.
            spawn(_close(before, gone), "close the admin listener")

    async def _admin_gone(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()


async def _tls(loaded: Loaded) -> ListenerTls | None:
    """The TLS of a configuration's admin listener, opened. Raises ConfigError."""
    admin = loaded.settings.server.admin_listen
    if admin is None or admin.tls is None:
        return None
    await admin.tls.open()
    return admin.tls


async def _close(admin: Admin, listener: Listener | None) -> None:
    await admin.close()
    if listener is not None:
        listener.close()


class _InLine(ThreadPoolExecutor):
    """Runs at once what elsewhere runs in a thread: whoever forks had better have none."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


_WORKERS = "another number of workers begins to work at the next start, or takeover"
