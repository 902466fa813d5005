"""The commented configuration: every key with what it is for, as a file to begin with."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from proxy.config.effective import assignment, plain_value
from proxy.config.kinds import is_struct, plain
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.schema import summary
from proxy.config.section import Key, keys
from proxy.config.sections import (
    Document,
    GlobalConfig,
    MonitoringConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
)
from proxy.registry import find, names

_WIDTH = 96
_HEAD = """\
# llm-proxy: every key of the configuration.
#
# A line that begins with "#" and no space is a key with its default or an example: take the "#"
# away and change it. As it stands everything is commented out, and the proxy starts with OpenAI
# if OPENAI_API_KEY is set, else with a mock provider that needs no key.
#
#   llm-proxy check    says what is wrong with this file, or what it comes to
#   llm-proxy serve    runs it
#
# Durations are "250ms", "30s", "5m" ("0s" is none), sizes are "64KiB", "32MiB". Where a list is
# expected, one string stands for a list of it. "${NAME}" and "${NAME:-default}" in any string are
# environment variables ("$$" is a dollar sign), and LLM_PROXY__SECTION__KEY sets a key from
# outside. Relative paths start from the folder of this file. A key that is not known is an error.
"""
_SCHEMA = "#:schema {}\n"


def starter(schema: str | None = None) -> str:
    """A whole file, every key commented out; `schema` is where editors find its JSON Schema."""
    head = [_SCHEMA.format(schema)] if schema else []
    return "\n".join([*head, _HEAD, *_sections()])


def example_of(component: type) -> str:
    """The TOML that stands in the documentation of a component's module; "" if none does."""
    text = sys.modules[component.__module__].__doc__ or ""
    return textwrap.dedent(text.partition("::\n\n")[2]).strip()


def about(component: type) -> str:
    """What a component does, in the first paragraph of its module's documentation."""
    text = sys.modules[component.__module__].__doc__ or ""
    return " ".join(text.split("\n\n")[0].split())


def _sections() -> Iterator[str]:
    include = keys(Document)["include"]
    yield from _pairs({"include": include})
    yield from _table("server", ServerConfig, "Server")
    yield from _table("global", GlobalConfig, "Global")
    yield from _title("Providers: the services that answer, each with a name of its own.")
    yield from _table("provider.openai", ProviderConfig)
    yield from _prose("A model server of one's own.")
    yield from _example('[provider.vllm]\ntype = "vllm"\nurl = "http://127.0.0.1:8000/v1"')
    yield from _prose(summary(MockConfig))
    yield from _table("provider.mock", MockConfig)
    yield from _title(
        "Processors: steps that routes take by name. `type` says which; the other keys are its own."
    )
    yield ""
    for name in names("processors"):
        component = find("processors", name)
        if example := example_of(component):
            yield from _prose(about(component))
            yield from _example(example)
    yield from _title(
        "Routes: the first one that matches a request wins. With a single provider and no route, "
        "that provider gets everything."
    )
    yield from _table("[route]", RouteConfig)
    yield from _prose("A route for everything else.")
    yield from _example('[[route]]\ntargets = ["mock"]')
    yield from _table("security", SecurityConfig, "Security")
    yield from _table("monitoring", MonitoringConfig, "Monitoring")


def _table(header: str, struct: type[msgspec.Struct], title: str = "") -> Iterator[str]:
    if title:
        text = summary(struct)
        yield from _title(f"{title}: {text[:1].lower()}{text[1:]}")
    yield f"#[{header}]\n"
    yield from _pairs(keys(struct))


def _pairs(known: Mapping[str, Key]) -> Iterator[str]:
    """Each key below what it is for; those in a row that are for the same below one line."""
    lines: list[str] = []
    said = ""
    for name, key in known.items():
        if key.description != said:
            if lines:
                yield "\n".join(lines) + "\n"
            said, lines = key.description, _comment(_described(key))
        lines.append(f"#{assignment(name, _shown(name, key))}")
    yield "\n".join(lines) + "\n"


def _described(key: Key) -> str:
    kind = plain(key.type)
    if not is_struct(kind) or hasattr(kind, "from_text"):
        return key.description
    below = (f"{name}: {below.description}" for name, below in keys(kind).items())
    return " ".join((key.description, *below))


def _shown(name: str, key: Key) -> Any:
    if key.example is not None:
        return key.example
    if key.default is None and name in keys(GlobalConfig):
        return plain_value(keys(GlobalConfig)[name].default)
    return plain_value(key.default)


def _title(text: str) -> Iterator[str]:
    yield "\n".join(["", *_comment(text)])


def _prose(text: str) -> Iterator[str]:
    yield "\n".join(_comment(text))


def _example(toml: str) -> Iterator[str]:
    yield "\n".join(f"#{line}" for line in toml.splitlines()) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False)]
