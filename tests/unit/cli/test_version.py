import importlib.metadata
import platform
from importlib.metadata import PackageNotFoundError

import pytest

from proxy.cli import main, version

VERSIONS = {"llm-proxy": "1.2.3", "uvloop": "0.1", "aiohttp": "0.2", "msgspec": "0.3"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The distributions that are installed, and their versions."""
    versions = dict(VERSIONS)

    def find(name: str) -> str:
        try:
            return versions[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    monkeypatch.setattr(version, "version", find)
    return versions


def test_the_version_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr() == ("llm-proxy 1.2.3\n", "")


def test_verbose_adds_what_it_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--verbose"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "llm-proxy 1.2.3",
        f"python {platform.python_version()} ({platform.python_implementation()})",
        "uvloop 0.1",
        "aiohttp 0.2",
        "msgspec 0.3",
    ]


def test_what_is_not_installed_is_told(
    installed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del installed["llm-proxy"]

    assert main(["version"]) == 0
    assert capsys.readouterr().out == "llm-proxy (not installed)\n"


def test_the_libraries_are_called_as_they_are_installed() -> None:
    for name in ("uvloop", "aiohttp", "msgspec"):
        assert importlib.metadata.version(name)
