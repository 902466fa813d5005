from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from proxy.cli.arguments import add_config, add_overrides, loaded
from proxy.config.load import Loaded
from proxy.errors import ConfigError

MOCK = '[provider.mine]\ntype = "mock"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, in an environment and a folder that have none."""
    monkeypatch.chdir(tmp_path)
    for name in ("LLM_PROXY_CONFIG", "LLM_PROXY_CONFIG_TOML", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "mine.toml"
    file.write_text(MOCK)
    return file


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_config(parser)
    add_overrides(parser)
    return parser.parse_args(arguments)


def providers(configuration: Loaded) -> list[str]:
    return list(configuration.settings.provider)


def test_the_configuration_is_the_one_that_is_named(file: Path) -> None:
    assert providers(loaded(parsed("-c", str(file)))) == ["mine"]
    assert providers(loaded(parsed("--config", str(file)))) == ["mine"]


def test_the_environment_is_that_of_the_process(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert providers(loaded(parsed())) == ["mock"]

    monkeypatch.setenv("LLM_PROXY_CONFIG", str(file))
    assert providers(loaded(parsed())) == ["mine"]


def test_listen_may_be_repeated_and_flags_win(file: Path) -> None:
    flags = ["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2", "--admin", "none"]
    settings = loaded(parsed("-c", str(file), *flags, "--log-level", "debug")).settings

    assert tuple(map(str, settings.server.listen)) == ("127.0.0.1:1", "127.0.0.1:2")
    assert settings.server.admin_listen is None
    assert settings.monitoring.log.level == "debug"


def test_a_verb_without_these_flags_leaves_the_file_as_it_is(file: Path) -> None:
    parser = ArgumentParser()
    add_config(parser)

    settings = loaded(parser.parse_args(["-c", str(file)])).settings

    assert tuple(map(str, settings.server.listen)) == ("127.0.0.1:8080",)


def test_a_flag_that_is_wrong_is_a_problem(file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(parsed("-c", str(file), "--log-level", "loud"))

    assert raised.value.problems == [
        '--log-level: [monitoring.log.level]: unknown value "loud" '
        "(known: debug, info, warning, error)"
    ]
