"""What sections say of each other that is no mistake in any of them, and yet hardly meant."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from proxy.config.conversion import Conversion
from proxy.config.lines import KeyPath
from proxy.config.section import TimeoutOverrides
from proxy.config.sections import RouteConfig, Settings
from proxy.config.source import quote
from proxy.dialect import Dialect
from proxy.registry import find, names
from proxy.units import format_duration

_TIMEOUTS = tuple(name for name in TimeoutOverrides.__struct_fields__ if name != "total_timeout")

_SPECIAL = re.compile(r"[*?\[]")

Taken = tuple[str | None, str | None]
"""A path and a model that a route takes; None: every endpoint, every model."""


def check(settings: Settings, tree: Mapping[str, Any], into: Conversion) -> None:
    """Warn of what cannot have been meant in `settings`, which `tree` spelled."""
    _admin(settings, into)
    _unused(settings, tree, into)
    _timeouts(settings, tree, into)
    if tree.get("route"):
        _hidden(settings.route, into)
        for position, route in enumerate(settings.route):
            _unreachable(route, ("route", position), into)


def _admin(settings: Settings, into: Conversion) -> None:
    listener = settings.server.admin_listen
    if listener is not None:
        address = listener.parsed()
        if not address.loopback and not listener.identifies:
            warning = f"whoever can reach {address} may read health and metrics"
            into.warning(("server", "admin_listen"), warning)


def _unused(settings: Settings, tree: Mapping[str, Any], into: Conversion) -> None:
    used = {
        "provider": {target.provider for route in settings.route for target in route.targets},
        "processor": {name for route in settings.route for name in route.processors},
    }
    for section, by_routes in used.items():
        for name in tree.get(section, {}):
            if name not in by_routes:
                into.warning((section, name), "no route uses it")


def _timeouts(settings: Settings, tree: Mapping[str, Any], into: Conversion) -> None:
    """Warn of what a total timeout, set there or further out, ends before its own time."""
    everywhere = settings.global_
    said = {key: getattr(everywhere, key) for key in tree.get("global", {})}
    _longer(said, everywhere.total_timeout, ("global",), into)
    totals = {}
    for name, provider in settings.provider.items():
        totals[name] = everywhere.overridden(provider).total_timeout
        _longer(_set(provider), totals[name], ("provider", name), into)
    for position, route in enumerate(settings.route):
        total = route.total_timeout
        if total is None:
            of_targets = [totals[target.provider] for target in route.targets]
            total = max(of_targets) if all(of_targets) else None
        _longer(_set(route), total, ("route", position), into)


def _set(overrides: TimeoutOverrides) -> dict[str, float | None]:
    return {key: getattr(overrides, key) for key in _TIMEOUTS}


def _longer(
    said: Mapping[str, float | None], total: float | None, path: KeyPath, into: Conversion
) -> None:
    for key in _TIMEOUTS:
        if total and (seconds := said.get(key)) and seconds > total:
            spelled = format_duration(total)
            into.warning((*path, key), f"the total_timeout of {spelled} ends the exchange before")


def _unreachable(route: RouteConfig, path: KeyPath, into: Conversion) -> None:
    """Warn of what a route says that passes everything through unread."""
    if route.path is None or any(_covers_path(p, e) for p in route.path for e in endpoints()):
        return
    unread = f"what {' and '.join(map(quote, route.path))} takes is no endpoint of a dialect"
    if route.models is not None:
        into.warning((*path, "models"), f"no request matches: {unread}, so no model is read")
        return
    if route.processors:
        into.warning((*path, "processors"), f"they never run: {unread}, and passes through unread")
    for position, target in enumerate(route.targets):
        place = (*path, "targets", position)
        if position:
            into.warning(place, f"is never reached: {unread}, and is sent once, to the first one")
        elif target.model is not None:
            into.warning(place, f"its model is not asked for: {unread}, and passes through unread")


def _hidden(routes: Iterable[RouteConfig], into: Conversion) -> None:
    """Warn of routes that the ones before them leave nothing."""
    exact: dict[Taken, str] = {}
    wide: list[tuple[str, Taken, str]] = []
    for position, route in enumerate(routes):
        by: dict[str, None] = {}
        for taken in _takes(route):
            first = exact.get(taken)
            if first is None:
                # What a glob begins with rules it out at once, where there are hundreds.
                model = taken[1] or ""
                covering = (n for s, t, n in wide if model.startswith(s) and _covers(t, taken))
                first = next(covering, None)
            if first is None:
                break
            by[first] = None
        else:
            takers = " and ".join(map(quote, by))
            into.warning(("route", position), f"is never taken: {takers} before it takes it all")
        for taken in _takes(route):
            exact.setdefault(taken, route.name)
            path, pattern = taken
            if path is None or path.endswith("*") or pattern is None or _stem(pattern) != pattern:
                wide.append((_stem(pattern or ""), taken, route.name))


def _takes(route: RouteConfig) -> Iterator[Taken]:
    return ((p, m) for p in route.path or (None,) for m in route.models or (None,))


def _covers(one: Taken, other: Taken) -> bool:
    return _covers_model(one[1], other[1]) and _covers_path(one[0], other[0])


def _covers_path(one: str | None, other: str | None) -> bool:
    """Whether `one` takes every path that `other` takes."""
    if one is None:
        return other is None or other in endpoints()
    if other is None:
        return all(_covers_path(one, endpoint) for endpoint in endpoints())
    return one == other or (one.endswith("/*") and other.startswith(one[:-1]))


def _covers_model(one: str | None, other: str | None) -> bool:
    """Whether `one` takes every model that `other` takes; where globs make that hard, it is not."""
    if one is None or one == other:
        return True
    if other is None:
        return False
    if _stem(other) != other:
        return one == f"{_stem(one)}*" and other.startswith(_stem(one))
    return fnmatchcase(other, one)


def _stem(glob: str) -> str:
    """What all that `glob` matches begins with; itself if it matches nothing else."""
    return _SPECIAL.split(glob, maxsplit=1)[0]


@functools.cache
def endpoints() -> frozenset[str]:
    """The paths of all dialects' endpoints."""
    dialects = (cast("type[Dialect]", find("dialects", name)) for name in names("dialects"))
    return frozenset(dialect.path for dialect in dialects if dialect.client_facing)
