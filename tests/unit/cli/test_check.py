import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from proxy.cli import main
from proxy.config.load import Loaded
from proxy.errors import ConfigError

WARNED = '[provider.x]\ntype = "openai"\ntoken = "literal:canary"\n'
FINE = '[provider.mine]\ntype = "mock"\n'


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An application that assembles anything, and keeps what it was given."""
    module = ModuleType("proxy.app")
    given: list[Loaded] = []
    vars(module).update(assemble=given.append, given=given)
    monkeypatch.setitem(sys.modules, "proxy.app", module)
    return module


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


def test_the_effective_configuration_is_printed(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FINE)

    assert main(["check", "-c", str(file)]) == 0

    out, err = capsys.readouterr()
    tree = tomllib.loads(out)
    assert err == ""
    assert tree["provider"]["mine"]["type"] == "mock"
    assert tree["server"]["keepalive_timeout"] == "75s"
    assert [loaded.origin for loaded in vars(app)["given"]] == [str(file)]


def test_the_same_is_printed_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FINE)

    main(["check", "-c", str(file)])
    toml = tomllib.loads(capsys.readouterr().out)
    assert main(["check", "-c", str(file), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {**toml, "processor": {}}


@pytest.mark.parametrize(("flags", "status"), [([], 0), (["--strict"], 2)])
def test_only_strict_fails_on_warnings(
    file: Path, flags: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(WARNED)

    assert main(["check", "-c", str(file), *flags]) == status

    out, err = capsys.readouterr()
    assert err.startswith(f"llm-proxy: warning: {file}:3: [provider.x.token]: a secret stands")
    assert 'token = "literal:********"' in out
    assert "canary" not in out + err


def test_strict_is_content_without_warnings(file: Path) -> None:
    file.write_text(FINE)

    assert main(["check", "-c", str(file), "--strict"]) == 0


def test_every_problem_is_listed_and_nothing_else_printed(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[servre]\n[global]\nidle_timeout = 5\n")

    assert main(["check", "-c", str(file)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split("]")[0] for line in err.splitlines()] == [
        f"llm-proxy: {file}:1: [servre",
        f"llm-proxy: {file}:3: [global.idle_timeout",
    ]
    assert vars(app)["given"] == []


def test_what_cannot_be_assembled_is_a_problem(
    file: Path, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def assemble(loaded: Loaded) -> None:
        raise ConfigError([f"{loaded.at('provider', 'mine')}: cannot be built"])

    vars(app).update(assemble=assemble)
    file.write_text(FINE)

    assert main(["check", "-c", str(file)]) == 2
    assert capsys.readouterr() == (
        "",
        f"llm-proxy: {file}:1: [provider.mine]: cannot be built\n",
    )
