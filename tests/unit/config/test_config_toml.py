"""The config.toml at the root of the repository: the documentation of every key that runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import Overrides, load
from proxy.config.sections import (
    GlobalConfig,
    LogConfig,
    MockConfig,
    MonitoringConfig,
    ProviderConfig,
    RouteConfig,
    Section,
    SecurityConfig,
    ServerConfig,
    Settings,
    keys,
)
from proxy.config.source import parse
from proxy.config.validation import validate

FILE = Path(__file__).parents[3] / "config.toml"
PROSE = re.compile(r"#( .*)?")


@pytest.fixture(scope="module")
def uncommented() -> str:
    """The file with the first # taken from every line that is no prose."""
    lines = FILE.read_text("utf-8").splitlines()
    return "\n".join(
        line.removeprefix("#") if PROSE.fullmatch(line) is None else "" for line in lines
    )


@pytest.fixture(scope="module")
def tree(uncommented: str) -> dict[str, Any]:
    return tomllib.loads(uncommented)


def test_as_it_stands_it_is_as_good_as_none() -> None:
    assert tomllib.loads(FILE.read_text("utf-8")) == {}
    loaded = load(str(FILE), environ={}, overrides=Overrides())

    assert loaded.default == "mock"
    assert loaded.settings == load("/dev/null", environ={}, overrides=Overrides()).settings


def test_uncommented_it_loads_without_a_warning(uncommented: str) -> None:
    settings, warnings = validate(parse(uncommented, "config.toml"), {"OPENAI_API_KEY": "x"})

    assert warnings == []
    assert len(settings.route) == 2
    assert set(settings.provider) == {"openai", "vllm", "mock"}


def test_what_it_shows_as_defaults_are_the_defaults(uncommented: str) -> None:
    settings, _ = validate(parse(uncommented, "config.toml"), {"OPENAI_API_KEY": "x"})

    for section in ("server", "global_", "security", "monitoring"):
        assert getattr(settings, section) == getattr(Settings(), section)
    provider = settings.provider["mock"]
    assert isinstance(provider, MockConfig)
    for name in ("ttft", "itl", "output_tokens", "seed", "forward_headers"):
        assert getattr(provider, name) == keys(MockConfig)[name].default


@pytest.mark.parametrize(
    ("section", "path"),
    [
        (Settings, ""),
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
