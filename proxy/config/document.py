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
from proxy.config.kinds import holds_pem, is_struct, item, may_be_plain, plain, union
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.schema import schema, summary
from proxy.config.section import keys
from proxy.config.sections import (
    GlobalConfig,
    ListenerConfig,
    LogConfig,
    MonitoringConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
    TargetConfig,
)
from proxy.config.starter import about, example_of, starter
from proxy.preset import Preset, presets
from proxy.registry import find, names
from proxy.tls import ListenerTls, UpstreamTls
from proxy.token import Reference, Secret, Token
from proxy.units import Duration, Size
from proxy.url import Url

SCHEMA = "docs/config.schema.json"

_PROVIDERS = """\
# Providers

A provider's `type` is a preset: where its API is, how it wants to be authenticated, which dialects
it speaks, and what is peculiar to it. A request in a dialect that the provider speaks passes
through untouched; any other is translated into the first one that serves the same purpose.

```toml
[provider.mine]
type = "openai"                  # a row of the table
token = "env:OPENAI_API_KEY"     # what the environment holds under "key from" need not be named
```

`url` sends a preset somewhere else; `dialects`, `paths`, `headers`, `auth` and `variables` change
what it says (see [configuration.md](configuration.md)). Where a configuration names no provider,
the first one here is used whose key the environment holds.
"""

PROSE = Path(__file__).with_name("document.md")
"""What no struct can say, before what they say."""

_URLS = """\
## URLs

Where a provider is: a base URL, which stands for everything up to `/v1` of a request's path, or \
a list of several. A unix socket is `unix:`, its path and, after a colon, the path of the API: \
`"unix:/run/vllm.sock:/v1"`.

`url = ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"]` with `select = "least_busy"` is \
short for `url = { type = "pool", urls = […], select = "least_busy" }`.
"""


def configuration() -> str:
    """The reference of every key, as Markdown."""
    return PROSE.read_text("utf-8") + "\n".join(_chapters())


def documents() -> dict[str, str]:
    """What is generated, by its path in a checkout."""
    described = json.dumps(schema(), indent=2, ensure_ascii=False)
    return {
        "config.toml": starter(f"./{SCHEMA}"),
        "docs/configuration.md": configuration(),
        "docs/providers.md": providers(),
        SCHEMA: described + "\n",
    }


def providers() -> str:
    """The page that says what each provider's ``type`` stands for."""
    return "\n".join([_PROVIDERS, *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    yield "| `type` | for | base URL | key from | speaks |\n|---|---|---|---|---|"
    for name, row in presets().items():
        cells = (
            f"[`{name}`](#{name})" if _notes(row) else f"`{name}`",
            row.title,
            f"`{row.url}`" if row.url else "`url = …`" if name != "mock" else "",
            ", ".join(_keys_of(row)),
            ", ".join(f"`{dialect}`" for dialect in row.dialects),
        )
        yield "| " + " | ".join(cells) + " |"
    for name, row in presets().items():
        if notes := _notes(row):
            yield f"\n## {name}\n"
            yield from notes


def _keys_of(row: Preset) -> list[str]:
    keys = [f"`{variable}`" for variable in row.token_env]
    if row.token is not None:
        usual = f"`token = {toml_value(row.token)}`"
        keys.append(f"else {usual}" if keys else usual)
    return keys


def _notes(row: Preset) -> list[str]:
    notes = [f"{row.about}\n"] if row.about else []
    if row.variables:
        said = ", ".join(
            f"`{name}`" + (f" (`{value}`)" if value else " (to be given)")
            for name, value in row.variables.items()
        )
        notes.append(f"- `variables`: {said}.")
    if row.models:
        said = ", ".join(
            f"`{glob}` in {' and '.join(f'`{d}`' for d in dialects)}"
            for glob, dialects in row.models.items()
        )
        notes.append(f"- Models: {said}.")
    if row.headers:
        said = ", ".join(f"`{name}: {value}`" for name, value in row.headers.items())
        notes.append(f"- Where the client sends none: {said}.")
    for dialect, own in row.endpoints.items():
        if own.path:
            notes.append(f"- `{dialect}` at `{own.path}`.")
    if row.quirks.refuses:
        said = ", ".join(f"`{name}`" for name in row.quirks.refuses)
        notes.append(f"- Of translated requests, left out: {said}.")
    return notes


def _chapters() -> Iterator[str]:
    yield from _family("tokens")
    yield _URLS
    yield from _family("urls")
    yield from _section("[server]", ServerConfig)
    yield f"### A listener\n\n{summary(ListenerConfig)}\n"
    yield from _keys(ListenerConfig)
    yield f"#### Its `tls`\n\n{summary(ListenerTls)}\n"
    yield from _keys(ListenerTls)
    yield from _section("[global]", GlobalConfig)
    yield from _section("[provider.NAME]", ProviderConfig)
    yield f"A `type` is one of {', '.join(f'`{name}`' for name in presets())}; "
    yield "[providers.md](providers.md) says what each stands for.\n"
    yield f"### Its `tls`\n\n{summary(UpstreamTls)}\n"
    yield from _keys(UpstreamTls)
    yield f'### `type = "mock"`\n\n{summary(MockConfig)}\n'
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


def _family(family: str) -> Iterator[str]:
    for name in names(family):
        kind = find(family, name)
        yield f"### `{name}`\n\n{summary(kind)}\n"
        yield from _keys(kind)


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


def _or_secret(annotated: Any) -> str:
    if holds_pem(annotated):
        return "file or secret"
    return "URL or secret" if may_be_plain(annotated) else "secret"


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
        Reference: _or_secret(annotated),
        Url: "URL or list of URLs",
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
