"""What differs between two configurations, key by key: the answer to a reload."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from proxy.component import Component
from proxy.config.effective import plain_value, short, toml_value
from proxy.config.section import keys
from proxy.config.sections import RouteConfig, Settings
from proxy.config.source import bare_or_quoted

_MAX_VALUE = 200


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key, a section or a route that is no longer what it was; secrets are masked."""

    key: str
    """Where it stands: ``server.drain_timeout``, ``provider.vllm``, ``route.chat.models``."""
    what: Literal["added", "removed", "changed", "moved"]
    before: Any = None
    """In the types of JSON; None: it was absent, or what is new is a whole section."""
    after: Any = None

    def __str__(self) -> str:
        place = f"[{self.key}]"
        if self.what != "changed":
            return f"{place} {self.what}"
        before, after = _shown(self.before), _shown(self.after)
        return f"{place} changed" if before == after else f"{place} {before} became {after}"


def changes(before: Settings, after: Settings) -> list[Change]:
    """Everything that differs, in the order of the sections."""
    return list(_compare(before, after, ()))


def _compare(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[Change]:
    if isinstance(after, msgspec.Struct) and _are_tables(before, after):
        below = [
            change
            for name, key in keys(type(after)).items()
            for change in _compare(
                getattr(before, key.name), getattr(after, key.name), (*path, name)
            )
        ]
        if not below and isinstance(after, Component) and not after.like(before):
            yield Change(_dotted(path), "changed")  # in what its keys mean, such as a folder
        yield from below
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _named(before, after, path)
    elif path == ("route",):
        yield from _routes(before, after)
    elif not _same(before, after):
        yield Change(_dotted(path), "changed", plain_value(before), plain_value(after))


def _named(
    before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        below = (*path, name)
        if name not in after:
            yield Change(_dotted(below), "removed")
        elif name not in before:
            yield Change(_dotted(below), "added")
        else:
            yield from _compare(before[name], after[name], below)


def _routes(before: tuple[RouteConfig, ...], after: tuple[RouteConfig, ...]) -> Iterator[Change]:
    old = {route.name: route for route in before}
    new = {route.name: route for route in after}
    yield from _named(old, new, ("route",))
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield Change("route", "moved")


def _are_tables(before: object, after: msgspec.Struct) -> bool:
    """Whether the keys of both are told one by one, since they have no shorter spelling."""
    if not isinstance(before, msgspec.Struct) or type(before) is not type(after):
        return False
    return short(before) is None and short(after) is None


def _same(before: object, after: object) -> bool:
    if isinstance(before, Component) and isinstance(after, Component):
        return after.like(before)
    return before == after


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(bare_or_quoted, path))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else toml_value(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
