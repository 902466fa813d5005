"""What operators are told of a proxy's life, in its log and its metrics.

Of several processes that are one proxy, one tells it.
"""

from collections.abc import Sequence

from proxy import __version__
from proxy.config.changes import Change
from proxy.config.load import Loaded
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics


class Story:
    """Tells what happens, when it happens."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

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

    def reloaded(self, loaded: Loaded, changes: list[Change]) -> None:
        """A configuration took the place of another."""
        self._metrics.reloaded("changed" if changes else "unchanged")
        text = "; ".join(map(str, changes)) or "nothing changed"
        self._log.say("info", "reloaded", text, changes=changes)
        self._warn(loaded)

    def not_reloaded(self, problems: list[str]) -> None:
        """A configuration could not take the place of the one at work."""
        self._metrics.reloaded("failed")
        text = f"the configuration stays as it was: {'; '.join(problems)}"
        self._log.say("error", "reload_failed", text, problems=problems)

    def stopping(self, running: int) -> None:
        """It takes no more, and so many exchanges are not over."""
        self._log.say("info", "stopping", f"{running} running", running=running)

    def stopped(self) -> None:
        """It is over."""
        self._log.say("info", "stopped", "bye")
        self._log.flush()

    def _warn(self, loaded: Loaded) -> None:
        for warning in loaded.warnings:
            self._log.say("warning", "configuration", warning)
