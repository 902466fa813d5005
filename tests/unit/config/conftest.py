"""Processors for the tests of the configuration, by entry point as in an installed proxy."""

import importlib.metadata
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from proxy import registry

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The entry points that pyproject.toml declares, whether this checkout is installed or not."""
    groups = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in groups[group].items()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()
