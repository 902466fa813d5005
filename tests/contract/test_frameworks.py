"""Libraries that applications put between themselves and an API: they must not notice either.

``make frameworks`` makes the environment that they run in.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.testing import Upstream, answer
from tests.contract import clients
from tests.contract.features import FEATURES, Feature
from tests.contract.providers import PROVIDERS, Provider
from tests.contract.test_matrix import proxy_before, seen_by

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-frameworks" / "bin" / "python"
LIBRARIES = ("langchain-openai", "litellm-openai", "litellm-anthropic")
NAMES = ("text", "system prompt and conversation", "parallel tool calls", "tool results")

if not PYTHON.exists():
    pytest.skip("needs the environment of `make frameworks`", allow_module_level=True)


class Library:
    """The process in which a library asks; it takes seconds to start, so each test uses it well."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, library: str, url: str, feature: Feature, *, stream: bool) -> Any:
        asked = clients.chat_asked(feature)
        told = {"library": library, "url": url, "asked": asked, "stream": stream}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())


@pytest.fixture
async def process() -> AsyncIterator[Library]:
    started = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(Path(__file__).parent / "frameworks" / "ask.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": "/nowhere"},
    )
    yield Library(started)
    started.kill()
    await started.wait()


@pytest.mark.timeout(180)
async def test_every_api_behind_the_proxy_is_what_the_libraries_expect(process: Library) -> None:
    # One test, since it is one process: importing the libraries takes longer than all they ask.
    for library in LIBRARIES:
        for provider in PROVIDERS:
            for feature in FEATURES:
                for stream in (False, True):
                    if feature.name in NAMES and feature.name not in provider.lacks:
                        await _check(process, library, provider, feature, stream=stream)


async def _check(
    process: Library, library: str, provider: Provider, feature: Feature, *, stream: bool
) -> None:
    kind, body = provider.answer(feature.said, stream)
    async with (
        Upstream(answer(200, body, {"content-type": kind})) as upstream,
        proxy_before(provider, upstream) as url,
    ):
        said = await process.ask(library, url, feature, stream=stream)
        case = f"{library}, {provider.dialect}, {feature.name}, {stream}"
        assert "error" not in said, f"{case}: {said['error']}"
        seen = seen_by(provider, upstream)

    assert said == {
        "text": feature.said.text,
        "calls": list(feature.said.calls),
        "input": feature.said.input_tokens,
        "output": feature.said.output_tokens,
    }, case
    assert seen.system == feature.system, case
    assert seen.turns == list(feature.turns), case
