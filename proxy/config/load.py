"""Which configuration it is: a file, the environment or nothing, and what flags add to it."""

import os
from collections.abc import Iterator, Mapping

import msgspec

from proxy.config.environment import override
from proxy.config.include import include
from proxy.config.lines import KeyPath
from proxy.config.sections import Settings
from proxy.config.source import Source, parse, read
from proxy.config.validation import validate
from proxy.errors import ConfigError
from proxy.preset import presets
from proxy.systemd import handed_over

FILE = "LLM_PROXY_CONFIG"
"""The variable that names a configuration's file."""
TEXT = "LLM_PROXY_CONFIG_TOML"
"""The variable that holds a whole configuration, for pods without files."""
DEFAULT_FILE = "config.toml"
ADMIN = "admin"
"""What a service manager calls the socket for operators (``FileDescriptorName=``)."""
BUILT_IN = "built-in defaults"


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; it wins over everything else."""

    listen: tuple[str, ...] = ()
    admin: str | None = None
    log_level: str | None = None
    workers: int | None = None


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that can be used, and where it came from."""

    settings: Settings
    source: Source
    """What was read; its `names` are the files to watch for changes."""
    origin: str
    """The file's name, the variable's, or ``built-in defaults``."""
    warnings: list[str]
    default: str | None = None
    """The provider that was chosen because the configuration has none."""

    def at(self, *path: str | int) -> str:
        """How an error about the key at `path` begins: ``FILE:LINE: [section.key]``."""
        return self.source.at(path)


def load(path: str | None, *, environ: Mapping[str, str], overrides: Overrides) -> Loaded:
    """The configuration in `path`, else of the environment, else ./config.toml, else none at all.

    Flags win over the environment, the environment over files, files over defaults. Raises
    ConfigError with every problem found.
    """
    source = _find(path, environ)
    include(source, environ)
    origin = source.name
    default = None
    if source.tree.get("provider", {}) == {} and source.tree.get("route", []) == []:
        default = _default_provider(environ)
        source.tree["provider"] = {default: {"type": default}}
    _take_sockets(source, environ)
    problems = override(source, environ)
    flags: tuple[tuple[str, KeyPath, object], ...] = (
        ("--listen", ("server", "listen"), list(overrides.listen) or None),
        ("--admin", ("server", "admin_listen"), overrides.admin),
        ("--workers", ("server", "workers"), overrides.workers),
        ("--log-level", ("monitoring", "log", "level"), overrides.log_level),
    )
    for flag, key, value in flags:
        if value is not None:
            source.set(key, value, flag)
    try:
        settings, warnings = validate(source, environ)
    except ConfigError as error:
        raise ConfigError(problems + error.problems) from None
    if problems:
        raise ConfigError(problems)
    return Loaded(
        settings=settings, source=source, origin=origin, warnings=warnings, default=default
    )


def check_successor(before: Loaded, after: Loaded) -> None:
    """Raise ConfigError where `after` can hardly be meant to take the place of `before`.

    An empty configuration is one, with a provider by default; but a file that is being written is
    empty for a moment, and a pipe can be read only once.
    """
    if after.default is not None and before.default is None:
        what = "names neither a provider nor a route, and the one at work does"
        raise ConfigError([f"{after.origin}: {what} (to mean that, start anew)"])


def _take_sockets(source: Source, environ: Mapping[str, str]) -> None:
    """Listen on what a service manager opened, unless the files say which of it is for what.

    A socket that it calls ``admin`` is for operators, all others are for clients.
    """
    sockets = handed_over(environ)
    if not sockets or any(address.startswith("fd:") for address in _addresses(source)):
        return
    data = [f"fd:{fd}" for fd, name in sockets.items() if name != ADMIN]
    admin = [f"fd:{fd}" for fd, name in sockets.items() if name == ADMIN]
    if data:
        source.set(("server", "listen"), data, "LISTEN_FDS")
    if admin:
        source.set(("server", "admin_listen"), admin[0], "LISTEN_FDS")


def _addresses(source: Source) -> Iterator[str]:
    server = source.tree.get("server")
    if not isinstance(server, dict):
        return
    for key in ("listen", "admin_listen"):
        listed = server.get(key)
        for entry in listed if isinstance(listed, list) else [listed]:
            yield str(entry.get("address") if isinstance(entry, dict) else entry)


def _find(path: str | None, environ: Mapping[str, str]) -> Source:
    if path is not None:
        return read(path)
    if file := environ.get(FILE):
        try:
            return read(file)
        except ConfigError as error:
            raise ConfigError([f"{problem} (from {FILE})" for problem in error.problems]) from None
    if text := environ.get(TEXT):
        return parse(text, TEXT)
    if os.path.lexists(DEFAULT_FILE):
        return read(DEFAULT_FILE)
    return Source(BUILT_IN, {})


def _default_provider(environ: Mapping[str, str]) -> str:
    """The first preset whose token the environment holds, else the mock."""
    for name, preset in presets().items():
        usable = preset.starts and preset.url is not None and all(preset.variables.values())
        if usable and any(environ.get(variable) for variable in preset.token_env):
            return name
    return "mock"
