"""Writes what is generated from the structs: ``python -m proxy.config.document``, in a checkout.

That is config.toml, docs/configuration.md and docs/config.schema.json; a test holds them equal to
what this would write.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from proxy.config.effective import plain_value, toml_value
from proxy.config.kinds import is_struct, item, plain, union
from proxy.config.schema import schema, summary
from proxy.config.sections import (
    GlobalConfig,
    LogConfig,
    MockConfig,
    MonitoringConfig,
    ProviderConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
    TargetConfig,
    keys,
)
from proxy.config.starter import about, example_of, starter
from proxy.provider import presets
from proxy.registry import find, names
from proxy.token import Secret, Token
from proxy.units import Duration, Size

SCHEMA = "docs/config.schema.json"

PROSE = Path(__file__).with_name("document.md")
"""What no struct can say, before what they say."""


def configuration() -> str:
    """The reference of every key, as Markdown."""
    return PROSE.read_text("utf-8") + "\n".join(_chapters())


def documents() -> dict[str, str]:
    """What is generated, by its path in a checkout."""
    described = json.dumps(schema(), indent=2, ensure_ascii=False)
    return {
        "config.toml": starter(f"./{SCHEMA}"),
        "docs/configuration.md": configuration(),
        SCHEMA: described + "\n",
    }


def _chapters() -> Iterator[str]:
    for name in names("tokens"):
        kind = find("tokens", name)
        yield f"### `{name}`\n\n{summary(kind)}\n"
        yield from _keys(kind)
    yield from _section("[server]", ServerConfig)
    yield from _section("[global]", GlobalConfig)
    yield from _section("[provider.NAME]", ProviderConfig)
    yield "| `type` | dialect | base URL | token where none is given |\n|---|---|---|---|"
    for name, row in presets().items():
        token = f"`env:{row.token_env}`" if row.token_env else ""
        yield f"| `{name}` | {row.dialect} | {f'`{row.url}`' if row.url else ''} | {token} |"
    yield f'\n### `type = "mock"`\n\n{summary(MockConfig)}\n'
    yield from _keys(MockConfig)
    yield "## `[processor.NAME]`\n\nSteps that routes take by name; `type` says which it is.\n"
    for name in names("processors"):
        kind = find("processors", name)
        yield f'### `type = "{name}"`\n\n{about(kind)} {summary(kind)}\n'
        yield from _keys(kind)
        if example := example_of(kind):
            yield f"```toml\n{example}\n```\n"
    yield from _section("[[route]]", RouteConfig)
    yield f"### A target\n\n{summary(TargetConfig)}\n"
    yield from _keys(TargetConfig)
    yield from _section("[security]", SecurityConfig)
    yield from _section("[monitoring]", MonitoringConfig)
    yield f"### `log`\n\n{summary(LogConfig)}\n"
    yield from _keys(LogConfig)


def _section(header: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    yield f"## `{header}`\n\n{summary(struct)}\n"
    yield from _keys(struct)


def _keys(struct: type[msgspec.Struct]) -> Iterator[str]:
    yield "| key | value | default | |\n|---|---|---|---|"
    for name, key in keys(struct).items():
        default = plain_value(key.default) if not key.required else None
        shown = "**required**" if key.required else "" if default is None else _code(default)
        cells = f"`{name}`", _words(key.type), shown, key.description
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _code(value: Any) -> str:
    return f"`{toml_value(value)}`"


def _words(annotated: Any) -> str:
    """What is written for a type."""
    kind = plain(annotated)
    simple = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "true or false",
        Duration: "duration",
        Size: "size",
        Secret: "string",
        Token: "secret",
        Any: "anything",
    }
    if kind in simple:
        return simple[kind]
    if get_origin(kind) is Literal:
        return ", ".join(_code(value) for value in get_args(kind))
    if get_origin(kind) is dict:
        return f"table of {_words(get_args(kind)[1])}"
    if (of := item(kind)) is not None:
        return f"list of {_words(of)}"
    if is_struct(kind):
        spelled = f"`{{ {', '.join(keys(kind))} }}`"
        return f"string or {spelled}" if hasattr(kind, "from_text") else spelled
    return " or ".join(dict.fromkeys(map(_words, union(kind))))


def main() -> int:
    """Write the documents into the checkout that is the current folder."""
    if not Path("proxy/config/document.py").is_file():
        print("llm-proxy: the current folder is no checkout of llm-proxy", file=sys.stderr)
        return 2
    for name, text in documents().items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, "utf-8")
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
