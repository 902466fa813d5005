"""``llm-proxy serve``: run the proxy until it is told to stop."""

import asyncio
import contextlib
import os
import resource
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import uvloop

from proxy.app import App, tune_collector
from proxy.cgroup import cores
from proxy.cli.arguments import add_config, add_overrides, loaded
from proxy.config.load import Loaded
from proxy.listener import bind
from proxy.systemd import Notifier
from proxy.takeover import LINGER_SECONDS, Takeover
from proxy.tasks import spawn, unless
from proxy.watch import on_demand

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``serve``."""
    add_config(parser)
    add_overrides(parser)
    parser.add_argument(
        "--takeover",
        action="store_true",
        help="take the listening sockets from the process of this user that has them; once this "
        "one is ready, the other ends what it does and exits",
    )


def run(args: Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then let what runs end; a second signal ends at once.

    SIGHUP loads the configuration anew.
    """
    configuration = loaded(args)
    _take_descriptors()
    server = configuration.settings.server
    workers = server.workers or cores()
    before = None
    if args.takeover:
        listeners = (*server.listen, server.admin_listen)
        before = Takeover.take(one.parsed() for one in listeners if one is not None)
    try:
        if workers > 1:
            # Only those who want workers pay for importing what they need.
            from proxy.supervisor import Supervisor

            return Supervisor(
                configuration,
                workers,
                environ=os.environ,
                load=lambda: loaded(args),
                before=before,
            ).run()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(configuration, lambda: loaded(args), before))
        return 0
    finally:
        if before is not None:
            before.close()


def _take_descriptors() -> None:
    """Have as many files open as the system allows: each stream is two.

    The usual limit of 1,024 is there for programs that use select(2).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(
    configuration: Loaded, load: Callable[[], Loaded], before: Takeover | None
) -> None:
    loop = asyncio.get_running_loop()
    stop, at_once, reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
    successor = 0

    def heard() -> None:
        (at_once if stop.is_set() else stop).set()

    def taken(process: int) -> None:
        nonlocal successor
        successor = process
        stop.set()

    notifier = Notifier(os.environ)
    app = App(
        configuration,
        environ=os.environ,
        load=load,
        bind=bind if before is None else before.bind,
        notifier=notifier,
        taken=taken,
    )
    assert app.story is not None

    for number in _SIGNALS:
        loop.add_signal_handler(number, heard)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    if not await unless(stop, app.start(), "start"):
        app.story.stopped()
        return
    if before is not None:
        await app.succeed(before)
    tune_collector()
    reloading = spawn(on_demand(reload, app.reload), "reload")
    spawn(notifier.keep_alive(), "watchdog")
    await stop.wait()
    reloading.cancel()
    running = sum(1 for _ in app.running)
    if successor:
        app.story.handed_over(running, successor)
        await app.hand_over()
        await app.leave(at_once, linger=LINGER_SECONDS)
    else:
        app.story.stopping(running, app.drain_seconds)
        await app.leave(at_once)
    app.story.stopped()
