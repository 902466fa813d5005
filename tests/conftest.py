"""What all tests share: event loop, hypothesis profiles, recorded traffic, what a skip means."""

import asyncio
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.authority import Authority, Pair

CASSETTES = "LLM_PROXY_CASSETTES"
REQUIRE_ALL = "LLM_PROXY_REQUIRE_ALL"

# No deadline in any of them: on a shared machine a slow example is not a failing one.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=20_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on the event loop that the proxy runs on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs(program)` where the program is not on the PATH."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if shutil.which(program) is None:
                pytest.skip(f"needs {program}")


# Where everything is meant to be installed (.ci/run), a skip for want of something is a failure.


def _must_not_skip(reason: str) -> bool:
    return os.environ.get(REQUIRE_ALL) == "1" and reason.startswith("needs ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips itself for want of something."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, pytest.skip.Exception):
        reason = str(call.excinfo.value.msg)
        if _must_not_skip(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason} ({REQUIRE_ALL}=1 makes this skip a failure)"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself whole for want of something."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if _must_not_skip(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason} ({REQUIRE_ALL}=1 makes this skip a failure)"
    return report


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom those trust that speak TLS in the tests; its file is not to be changed."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """A certificate of the test's own, and its key."""
    return authority.issue()


@pytest.fixture(scope="session")
def cassettes() -> Path:
    """The folder of recorded provider traffic."""
    folder = os.environ.get(CASSETTES)
    if folder is None:
        pytest.skip(f"needs {CASSETTES}")
    if not folder:
        pytest.skip(f"no recorded traffic here ({CASSETTES} is empty)")
    path = Path(folder)
    assert path.is_dir(), f"{CASSETTES} is not a folder: {folder}"
    return path
