"""Settings as a tree and as TOML again: every default filled in, every secret masked."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.component import Component
from proxy.config.section import Section, keys
from proxy.config.sections import ServerConfig, Settings
from proxy.config.source import bare_or_quoted, quote
from proxy.tls import Tls
from proxy.token import Secret
from proxy.units import Duration, Size, format_duration, format_size

MASKED = "********"

_DOLLAR = re.compile(r"\$(?=[${])")


def as_tree(settings: Settings) -> dict[str, Any]:
    """What `settings` say, in the types of JSON and the spelling of the configuration."""
    tree: dict[str, Any] = plain_value(settings)
    return tree


def render(settings: Settings) -> str:
    """What `settings` say, as TOML that can be loaded again where no secret was a literal."""
    return "\n".join(_sections(as_tree(settings)))


def plain_value(value: Any) -> Any:
    """`value` in the types of JSON and the spelling of the configuration.

    What is None goes: TOML has no spelling of it, and absent means the same.
    """
    match value:
        case Secret():
            return MASKED
        case Duration():
            return format_duration(value)
        case Size():
            return format_size(value)
        case msgspec.Struct() if (text := short(value)) is not None:
            return text
        case msgspec.Struct():
            tree = {
                name: plain_value(item)
                for name, key in keys(type(value)).items()
                if (item := getattr(value, key.name)) is not None
            }
            if isinstance(value, ServerConfig) and value.admin_listen is None:
                tree["admin_listen"] = "none"
            if isinstance(value, Component) and not isinstance(value, Tls):
                return {"type": vars(value).get("_type", type(value).__name__), **tree}
            return tree
        case dict():
            return {str(key): plain_value(item) for key, item in value.items() if item is not None}
        case list() | tuple() | set() | frozenset():
            return [plain_value(item) for item in value if item is not None]
        case str():
            # What would be taken for a reference to a variable, were it loaded again.
            return _DOLLAR.sub("$$", value)
        case _:
            return value


def short(value: msgspec.Struct) -> str | None:
    """What says all of `value` and is shorter than a table; None if nothing does."""
    if type(value).__str__ is object.__str__:
        return None
    text = str(value)
    read = getattr(type(value), "from_text", None)
    if isinstance(value, Section) and read is not None and read(text) != value:
        return None
    return text


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
        yield assignment(key, value)
    yield ""


def assignment(key: str, value: Any) -> str:
    """A key and its value, as a line of TOML."""
    return f"{bare_or_quoted(key)} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """`value`, in the types of JSON, as TOML writes it in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            pairs = (assignment(key, item) for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(toml_value, value))}]"
        case _:
            return str(value)
