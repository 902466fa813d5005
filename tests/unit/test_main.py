import runpy
import sys

import pytest


def test_the_package_runs_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["llm-proxy", "nonsense"])

    with pytest.raises(SystemExit) as raised:
        runpy.run_module("proxy", run_name="__main__")

    assert raised.value.code == 2
    assert 'unknown command "nonsense"' in capsys.readouterr().err
