import importlib
import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

import pytest

import proxy.cli
from proxy.cli import VERBS, main
from proxy.errors import ConfigError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A verb called `try`, with one flag; its run can be replaced."""
    module = ModuleType("proxy.cli.try")

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--number", type=int, default=0)

    def run(args: Namespace) -> int:
        return int(args.number)

    vars(module).update(add_arguments=add_arguments, run=run)
    monkeypatch.setitem(sys.modules, "proxy.cli.try", module)
    monkeypatch.setitem(VERBS, "try", "try something")
    return module


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_file_with_its_arguments_and_its_run(name: str) -> None:
    module = importlib.import_module(f"proxy.cli.{name}")

    module.add_arguments(ArgumentParser())
    assert callable(module.run)


def test_every_file_is_a_verb() -> None:
    folder = Path(proxy.cli.__file__).parent

    assert {path.stem for path in folder.glob("*.py")} == {*VERBS, "__init__", "arguments"}


def test_the_exit_status_is_what_the_verb_returns(verb: ModuleType) -> None:
    assert main(["try"]) == 0
    assert main(["try", "--number", "3"]) == 3


def test_arguments_are_those_of_the_process(
    verb: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["llm-proxy", "try", "--number", "1"])

    assert main() == 1


def test_every_problem_of_a_configuration_is_a_line_on_stderr(
    verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: Namespace) -> int:
        raise ConfigError(["c.toml:1: one", "c.toml:2: two"])

    vars(verb).update(run=run)

    assert main(["try"]) == 2
    assert capsys.readouterr() == ("", "llm-proxy: c.toml:1: one\nllm-proxy: c.toml:2: two\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--number", "x"], "argument --number: invalid int value: 'x'"),
        (["--num", "1"], "unrecognized arguments: --num 1"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_bad_usage_is_told_in_a_line(
    verb: ModuleType,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["try", *arguments])

    assert raised.value.code == 2
    assert capsys.readouterr() == ("", f"llm-proxy: {problem} (see llm-proxy try --help)\n")


def test_an_unknown_verb_is_told_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2

    assert capsys.readouterr() == (
        "",
        f'llm-proxy: unknown command "chekc" (known: {", ".join(VERBS)}; did you mean "check"?)\n',
    )


def test_no_verb_prints_the_verbs_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert all(re.search(rf"^  {name} .*{about}$", err, re.M) for name, about in VERBS.items())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_prints_the_verbs(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0

    out, err = capsys.readouterr()
    assert "healthcheck" in out
    assert err == ""


def test_a_verb_has_help_of_its_own(verb: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["try", "--help"])

    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("usage: llm-proxy try [-h] [--number NUMBER]")


def test_the_version_can_be_asked_for_with_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("llm-proxy ")
