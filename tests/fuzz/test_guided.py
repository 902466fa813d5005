"""The short form of coverage-guided fuzzing; `make fuzz` has the long one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 8

if importlib.util.find_spec("atheris") is None:
    # It has no wheels for every Python that the proxy runs on.
    pytest.skip("no atheris for this Python", allow_module_level=True)


def test_no_decoder_fails_on_what_its_branches_lead_to() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", "--seconds", str(SECONDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 50,
    )

    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    assert "stat::number_of_executed_units" in ended.stderr
