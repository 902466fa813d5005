"""Settings as a tree and as TOML again: every default filled in, every secret masked."""

from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.component import Component
from proxy.config.secrets import Secret
from proxy.config.sections import ServerConfig, Settings, TargetConfig, keys
from proxy.config.source import bare_or_quoted, quote
from proxy.units import Duration, Size, format_duration, format_size

MASKED = "literal:********"


def as_tree(settings: Settings) -> dict[str, Any]:
    """What `settings` say, in the types of JSON and the spelling of the configuration."""
    tree: dict[str, Any] = _plain(settings)
    return tree


def render(settings: Settings) -> str:
    """What `settings` say, as TOML that can be loaded again where no secret was a literal."""
    return "\n".join(_sections(as_tree(settings)))


def _plain(value: Any) -> Any:
    """`value` without what is None: TOML has no spelling of it, and absent means the same."""
    match value:
        case Secret():
            return MASKED if value.reference == "literal" else value.reference
        case Duration():
            return format_duration(value)
        case Size():
            return format_size(value)
        case TargetConfig():
            return str(value)
        case msgspec.Struct():
            tree = {
                name: _plain(item)
                for name, key in keys(type(value)).items()
                if (item := getattr(value, key.name)) is not None
            }
            if isinstance(value, ServerConfig) and value.admin_listen is None:
                tree["admin_listen"] = "none"
            if isinstance(value, Component):
                return {"type": vars(value).get("_type", type(value).__name__), **tree}
            return tree
        case dict():
            return {str(key): _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value if item is not None]
        case _:
            return value


def _sections(tree: dict[str, Any]) -> Iterator[str]:
    for section, content in tree.items():
        if isinstance(content, list):
            for table in content:
                yield f"[[{section}]]"
                yield from _pairs(table)
        elif section in ("provider", "processor"):
            for name, table in content.items():
                yield f"[{section}.{bare_or_quoted(name)}]"
                yield from _pairs(table)
        else:
            yield f"[{section}]"
            yield from _pairs(content)


def _pairs(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield f"{bare_or_quoted(key)} = {_value(value)}"
    yield ""


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            pairs = (f"{bare_or_quoted(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return str(value)
