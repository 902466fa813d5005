"""What operators are told of a proxy's life, in its log, its metrics and to its manager.

Of several processes that are one proxy, one tells it.
"""

from collections.abc import Sequence

from proxy import __version__
from proxy.config.changes import Change
from proxy.config.load import Loaded
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics
from proxy.systemd import Notifier


class Story:
    """Tells what happens, when it happens."""

    def __init__(self, log: Log, metrics: Metrics, notifier: Notifier | None = None) -> None:
        """The `notifier` tells a service manager the same."""
        self._log = log
        self._metrics = metrics
        self._notifier = notifier or Notifier({})

    def ready(
        self, loaded: Loaded, data: Sequence[str], admin: str | None, workers: int | None = None
    ) -> None:
        """It takes requests, at these URLs."""
        self._warn(loaded)
        where = f"data on {', '.join(data)}, admin on {admin or 'no address'}"
        if workers is not None:
            where += f"; {workers} workers"
        if loaded.default is not None:
            where += f"; provider {loaded.default} by default"
        self._log.say(
            "info",
            "ready",
            where,
            data=data,
            admin=admin,
            configuration=loaded.origin,
            default_provider=loaded.default,
            version=__version__,
            **({} if workers is None else {"workers": workers}),
        )
        self._notifier.ready(where)

    def reloading(self) -> None:
        """A configuration is about to take the place of another, or not."""
        self._notifier.reloading()

    def reloaded(self, loaded: Loaded, changes: list[Change]) -> None:
        """A configuration took the place of another."""
        self._metrics.reloaded("changed" if changes else "unchanged")
        text = "; ".join(map(str, changes)) or "nothing changed"
        self._log.say("info", "reloaded", text, changes=changes)
        self._notifier.ready(f"reloaded: {text}")
        self._warn(loaded)

    def not_reloaded(self, problems: list[str]) -> None:
        """A configuration could not take the place of the one at work."""
        self._metrics.reloaded("failed")
        text = f"the configuration stays as it was: {'; '.join(problems)}"
        self._log.say("error", "reload_failed", text, problems=problems)
        self._notifier.ready(text)

    def took_over(self, process: int) -> None:
        """It answers in the place of another process, which is about to be told."""
        self._notifier.main()
        self._log.say("info", "took_over", f"in the place of process {process}", process=process)

    def handed_over(self, running: int, process: int) -> None:
        """Another process answers in its place, which tells the manager what there is to tell."""
        what = f"process {process} answers from now on; {running} running"
        self._log.say("info", "handed_over", what, process=process, running=running)

    def stopping(self, running: int, within: float) -> None:
        """It takes no more, and so many exchanges are not over; they have so many seconds."""
        self._notifier.stopping(within)
        self._log.say("info", "stopping", f"{running} running", running=running)

    def stopped(self) -> None:
        """It is over."""
        self._log.say("info", "stopped", "bye")
        self._log.finish()

    def _warn(self, loaded: Loaded) -> None:
        for warning in loaded.warnings:
            self._log.say("warning", "configuration", warning)
