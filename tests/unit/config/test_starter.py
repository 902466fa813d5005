"""The commented configuration: the documentation of every key that runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import Overrides, load
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import Section, keys
from proxy.config.sections import (
    Document,
    GlobalConfig,
    LogConfig,
    MonitoringConfig,
    RouteConfig,
    SecurityConfig,
    ServerConfig,
    Settings,
)
from proxy.config.source import parse
from proxy.config.starter import about, example_of, starter
from proxy.config.validation import validate
from proxy.processors.parameters import Parameters
from proxy.tokens.static import Env

PROSE = re.compile(r"#( .*|:schema .*)?")


@pytest.fixture(scope="module")
def uncommented() -> str:
    """The file with the first # taken from every line that is no prose."""
    return "\n".join(
        line.removeprefix("#") if PROSE.fullmatch(line) is None else ""
        for line in starter("x.json").splitlines()
    )


@pytest.fixture(scope="module")
def tree(uncommented: str) -> dict[str, Any]:
    return tomllib.loads(uncommented)


@pytest.fixture(scope="module")
def settings(uncommented: str) -> Settings:
    without = uncommented.replace('include = ["conf.d/*.toml"]', "")
    settings, warnings = validate(parse(without, "config.toml"), {"OPENAI_API_KEY": "x"})
    assert warnings == []
    return settings


def test_as_it_stands_it_is_as_good_as_none(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(starter())
    loaded = load(str(file), environ={}, overrides=Overrides())

    assert tomllib.loads(starter()) == {}
    assert loaded.default == "mock"
    assert loaded.settings == load("/dev/null", environ={}, overrides=Overrides()).settings


def test_uncommented_it_loads_without_a_warning(settings: Settings) -> None:
    assert len(settings.route) == 2
    assert set(settings.provider) == {"openai", "vllm", "mock"}
    assert set(settings.processor) == {"house_rules", "limits"}


def test_what_it_shows_as_defaults_are_the_defaults(settings: Settings) -> None:
    for section in ("server", "global_", "security", "monitoring"):
        assert getattr(settings, section) == getattr(Settings(), section)
    provider = settings.provider["mock"]
    assert isinstance(provider, MockConfig)
    for name in ("ttft", "itl", "output_tokens", "seed"):
        assert getattr(provider, name) == keys(MockConfig)[name].default


@pytest.mark.parametrize(
    ("section", "path"),
    [
        (Document, ""),
        (ServerConfig, "server"),
        (GlobalConfig, "global"),
        (ProviderConfig, "provider.openai"),
        (MockConfig, "provider.mock"),
        (RouteConfig, "route.0"),
        (SecurityConfig, "security"),
        (MonitoringConfig, "monitoring"),
        (LogConfig, "monitoring.log"),
    ],
)
def test_every_key_is_in_it(section: type[Section], path: str, tree: dict[str, Any]) -> None:
    node: Any = tree
    for key in filter(None, path.split(".")):
        node = node[int(key)] if key.isdecimal() else node[key]

    assert set(node) == set(keys(section))


def test_no_line_is_too_long_for_a_terminal() -> None:
    assert max(map(len, starter().splitlines())) <= 100


def test_only_a_schema_that_is_named_is_named() -> None:
    assert starter("x.json").startswith("#:schema x.json\n\n# llm-proxy")
    assert "#:schema" not in starter()


def test_an_example_is_what_stands_in_the_module_of_a_component() -> None:
    assert tomllib.loads(example_of(Parameters))["processor"]["limits"]["type"] == "parameters"
    assert about(Parameters) == "Sets, defaults, clamps or drops top-level fields of a request."
    assert example_of(Env) == ""
