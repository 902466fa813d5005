"""A whole proxy inside a test: real listeners, real connections, its log at hand."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from proxy.app import App
from proxy.config.changes import Change
from proxy.config.load import TEXT, Loaded, Overrides, load
from proxy.observe.log import Log

ON_FREE_PORTS = Overrides(listen=("127.0.0.1:0",), admin="127.0.0.1:0")


class ProxyURL(str):
    """The data listener's address, and what a test wants to know of the proxy behind it."""

    __slots__ = ("_environ", "_writer", "admin", "app")

    admin: str
    """The admin listener's address."""
    app: App
    _environ: dict[str, str]
    _writer: "_Memory"

    async def reload(self, config: str) -> list[Change]:
        """Have the proxy go on with this configuration; what changed. Raises ConfigError."""
        self._environ[TEXT] = config
        return await self.app.reload()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line of the log so far."""
        lines: list[bytes] = self._writer.lines
        return [msgspec.json.decode(line) for line in lines]

    @property
    def exchanges(self) -> list[dict[str, Any]]:
        """The lines of finished exchanges so far, in the order of their ends."""
        return [line for line in self.lines if line["event"] == "exchange"]


class _Memory:
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.dropped = 0

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        """Lines are at hand as soon as they are written."""

    def finish(self, seconds: float) -> None:
        """Nobody has to be waited for."""


@asynccontextmanager
async def serve(
    config: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Overrides = ON_FREE_PORTS,
) -> AsyncIterator[ProxyURL]:
    """Run a proxy with this configuration (TOML) on ports of its own while the block runs.

    With other `overrides` it is the configuration, or they, that say where it listens.
    `environ` is all of the environment that it sees. Without a provider it has the mock one.
    Raises ConfigError.
    """
    variables = {**(environ or {}), TEXT: config or "# the mock provider"}

    def again() -> Loaded:
        return load(None, environ=variables, overrides=overrides)

    loaded = again()
    writer = _Memory()
    level = loaded.settings.monitoring.log.level
    app = App(loaded, environ=variables, load=again, log=Log(writer, level=level))
    await app.start()
    try:
        url = ProxyURL(app.data_urls[0])
        url.admin = app.admin_url or ""
        url.app = app
        url._environ = variables
        url._writer = writer
        yield url
    finally:
        await app.stop(0.0)
