"""``llm-proxy serve``: run the proxy until it is told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import uvloop

from proxy.app import App
from proxy.cli.arguments import add_config, add_overrides, loaded
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.systemd import Notifier
from proxy.tasks import spawn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``serve``."""
    add_config(parser)
    add_overrides(parser)


def run(args: Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then let what runs end; a second signal ends at once.

    SIGHUP loads the configuration anew.
    """
    configuration = loaded(args)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(configuration, lambda: loaded(args)))
    return 0


def _tune_collector() -> None:
    """Collect garbage rarely: an exchange leaves no cycles, so there is next to none to find.

    What lives as long as the process is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _serve(configuration: Loaded, load: Callable[[], Loaded]) -> None:
    notifier = Notifier(os.environ)
    app = App(configuration, environ=os.environ, load=load, notifier=notifier)
    loop = asyncio.get_running_loop()
    stop, at_once, reload = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, heard)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await app.start()
    _tune_collector()
    reloading = spawn(_reload(app, reload), "reload")
    if notifier.watchdog:
        spawn(_say_alive(notifier), "watchdog")
    await stop.wait()
    reloading.cancel()
    running = sum(1 for _ in app.running)
    assert app.story is not None
    app.story.stopping(running, app.drain_seconds)
    draining = spawn(app.stop(), "stop")
    hurry = spawn(at_once.wait(), "second signal")
    await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not draining.done():
        draining.cancel()
        await app.stop(0.0)
    else:
        draining.result()
    app.story.stopped()


async def _say_alive(notifier: Notifier) -> None:
    """Say so as long as the loop turns, twice in the time that the service manager waits."""
    while True:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog / 2)


async def _reload(app: App, asked: asyncio.Event) -> None:
    """Reload each time that it is asked for; several askings meanwhile are one."""
    while True:
        await asked.wait()
        asked.clear()
        with contextlib.suppress(ConfigError):
            await app.reload()  # the log has said why not
