from pathlib import Path

import pytest

from proxy.cli import main
from proxy.config.starter import starter


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "name"), [([], "config.toml"), (["x.toml"], "x.toml")])
def test_a_starter_is_written_that_loads(
    folder: Path, arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *arguments]) == 0
    assert (folder / name).read_text("utf-8") == starter()
    assert capsys.readouterr() == (
        f"wrote {name}: change it, then llm-proxy check -c {name}\n",
        "",
    )
    assert main(["check", "-c", name]) == 0


def test_a_file_that_exists_is_not_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.toml").write_text("mine")

    assert main(["init"]) == 2
    assert (folder / "config.toml").read_text() == "mine"
    assert capsys.readouterr().err == (
        "llm-proxy: config.toml: exists already, and is not overwritten\n"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none/x.toml", "none/x.toml: cannot be written: No such file or directory"),
        ("x" * 300, f"{'x' * 300}: cannot be written: File name too long"),
        ("a\0b", "a\0b: cannot be written: embedded null byte"),
    ],
)
def test_a_file_that_cannot_be_written_is_told(
    name: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", name]) == 2
    assert capsys.readouterr().err == f"llm-proxy: {problem}\n"
