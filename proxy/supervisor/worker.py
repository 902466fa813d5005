"""A worker: a proxy like any other, but for who owns its sockets and who talks to operators."""

import asyncio
import faulthandler
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
import uvloop

from proxy.app import App, tune_collector
from proxy.channel import Channel
from proxy.config.address import ListenAddress, parse_listen
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.listener import Listener
from proxy.supervisor.messages import (
    Accept,
    Answer,
    Beat,
    Count,
    Counted,
    Drain,
    End,
    Explain,
    Failed,
    Leave,
    Message,
    Ready,
    Refused,
    Reload,
    Told,
    Yield,
)
from proxy.supervisor.roster import beat_seconds
from proxy.systemd import hand_on
from proxy.tasks import run_aside, spawn, unless
from proxy.units import Duration

FLUSH_SECONDS = 1.0
"""How long the supervisor may take to hear a worker's last words."""

_log = logging.getLogger("proxy")

Sockets = Iterable[tuple[ListenAddress, list[socket.socket]]]


def run_worker(
    loaded: Loaded,
    load: Callable[[], Loaded],
    environ: Mapping[str, str],
    sockets: Sockets,
    channel: socket.socket,
    report: int,
) -> int:
    """Be a worker until the supervisor says otherwise; the exit status."""
    faulthandler.enable(report)
    hand_on(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Worker(loaded, load, environ, sockets).run(channel))


class Worker:
    """One proxy of several that are one."""

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Loaded],
        environ: Mapping[str, str],
        sockets: Sockets,
    ) -> None:
        self._loaded = own(loaded)
        self._load = load
        self._environ = environ
        self._offered: dict[str, list[socket.socket]] = {}
        self._more: list[tuple[ListenAddress, socket.socket]] = []
        for address, (first, *more) in sockets:
            self._offered.setdefault(str(address), []).append(first)
            self._more += [(address, sock) for sock in more]
        self._meant: dict[str, bytes] | None = None
        """The digests of the files that a reload is about."""
        self._accepting: dict[int, list[asyncio.Task[list[Callable[[], None]]]]] = {}
        """By the place for which; each brings what ends it."""
        self._leave = asyncio.Event()
        self._end = asyncio.Event()
        self._linger = 0.0
        self._app: App | None = None
        self._channel: Channel

    async def run(self, sock: socket.socket) -> int:
        """Serve until told to leave; the exit status."""
        self._channel = Channel(sock, self._heard, self._lost, kind=Told)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated)
        beating = spawn(self._beat(), "say that the loop turns")
        try:
            status = await self._serve()
        finally:
            beating.cancel()
        end = asyncio.get_running_loop().time() + FLUSH_SECONDS
        while not (self._channel.idle or self._channel.closed):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.01)
        self._channel.close()
        return status

    async def _serve(self) -> int:
        try:
            app = App(
                self._loaded,
                environ=self._environ,
                load=self._load_meant,
                bind=self._bind,
                supervised=True,
            )
            if not await unless(self._leave, app.start(), "start"):
                return 0
        except ConfigError as error:
            self._channel.send(Failed(error.problems))
            return 2
        self._app = app
        for address, sock in self._more:
            await app.accept(address, sock)
        tune_collector()
        self._channel.send(Ready())
        await self._leave.wait()
        await app.leave(self._end, linger=self._linger)
        if app.metrics is not None:
            self._channel.send(Counted(app.metrics.families()))
        app.log.finish()
        return 0

    async def _beat(self) -> None:
        while True:
            if self._channel.idle:  # else the supervisor does not even take what was said
                running = 0 if self._app is None else sum(1 for _ in self._app.running)
                self._channel.send(Beat(running))
            loaded = self._loaded if self._app is None else self._app.loaded
            await asyncio.sleep(beat_seconds(loaded.settings.server.stall_timeout))

    def _terminated(self) -> None:
        (self._end if self._leave.is_set() else self._leave).set()

    def _lost(self) -> None:
        """The supervisor is gone: nobody restarts or reloads this worker any more."""
        if self._app is not None and not self._leave.is_set():
            self._app.log.say("error", "supervisor_lost", "the supervisor is gone: leaving")
        self._leave.set()

    def _heard(self, message: Any, files: list[int]) -> None:
        app = self._app
        match message:
            case Leave():
                self._linger = message.linger
                self._leave.set()
            case End():
                self._leave.set()
                self._end.set()
            case _ if app is None:
                # It has not started; by what is asked of it then, it is what is asked for.
                for file in files:
                    os.close(file)
            case Count():
                spawn(self._count(app), "count")
            case Accept():
                accepting = spawn(_accept(app, message, files), "accept for another")
                self._accepting.setdefault(message.place, []).append(accepting)
            case Yield():
                for accepting in self._accepting.pop(message.place, ()):
                    accepting.add_done_callback(_no_more)  # it may not have begun
            case Explain():
                spawn(self._answer(message.ask, self._explain(app, message)), "explain")
            case Drain():
                spawn(self._answer(message.ask, self._drain(app, message)), "drain")
            case Reload():
                for text, file in zip(message.addresses, files, strict=True):
                    self._offered.setdefault(text, []).append(socket.socket(fileno=file))
                self._meant = message.digests
                spawn(self._answer(message.ask, self._reload(app)), "reload")

    async def _answer(self, ask: int, doing: Coroutine[Any, Any, bytes]) -> None:
        try:
            answer: Message = Answer(ask, await doing)
        except ConfigError as error:
            answer = Refused(ask, error.problems)
        except Exception as error:
            _log.exception("what the supervisor asked for failed")
            answer = Refused(ask, [f"{type(error).__name__} (the log says why)"])
        self._channel.send(answer)

    async def _count(self, app: App) -> None:
        metrics = app.metrics
        counted = [] if metrics is None else await run_aside(metrics.families)
        self._channel.send(Counted(counted))

    async def _explain(self, app: App, asked: Explain) -> bytes:
        return msgspec.json.encode(await app.explain(asked.path, asked.body))

    async def _drain(self, app: App, asked: Drain) -> bytes:
        return msgspec.msgpack.encode(await app.drain(asked.limit))

    async def _reload(self, app: App) -> bytes:
        try:
            await app.reload()
        finally:
            self._meant = None
            for socks in self._offered.values():
                for sock in socks:
                    sock.close()
            self._offered.clear()
        return b""

    def _load_meant(self) -> Loaded:
        loaded = own(self._load())
        if self._meant is not None and loaded.source.digests != self._meant:
            raise ConfigError(["the files changed while they were loaded: load them once more"])
        return loaded

    def _bind(self, address: ListenAddress, key: str, *, share: bool = False) -> Listener:
        offered = self._offered.get(str(address))
        if not offered:
            raise ConfigError([f"{key}: the supervisor does not listen on {address}"])
        return Listener(address, offered.pop(0), owned=False)


async def _accept(app: App, message: Accept, files: list[int]) -> list[Callable[[], None]]:
    socks = [socket.socket(fileno=file) for file in files]
    pairs = zip(map(parse_listen, message.addresses), socks, strict=True)
    return [await app.accept(address, sock) for address, sock in pairs]


def _no_more(accepting: asyncio.Task[list[Callable[[], None]]]) -> None:
    if not accepting.cancelled() and accepting.exception() is None:
        for end in accepting.result():
            end()


def own(loaded: Loaded) -> Loaded:
    """What of a configuration is a worker's: operators and files are the supervisor's business."""
    server = msgspec.structs.replace(loaded.settings.server, admin_listen=None, watch=Duration(0.0))
    settings = msgspec.structs.replace(loaded.settings, server=server)
    return msgspec.structs.replace(loaded, settings=settings)
