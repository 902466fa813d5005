"""The official SDKs for Node, as `test_matrix.py` has those for Python.

`make dev` installs them where there is npm.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.testing import Upstream, answer
from tests.contract import clients
from tests.contract.features import FEATURES, Feature, Said
from tests.contract.providers import PROVIDERS, Provider
from tests.contract.test_matrix import expected, proxy_before, seen_by

HERE = Path(__file__).parent / "node"
ASKED: dict[str, tuple[Callable[[Feature], dict[str, Any]], Callable[[Any], Said]]] = {
    "openai_chat": (clients.chat_asked, clients.chat_said),
    "openai_responses": (clients.responses_asked, clients.responses_said),
    "anthropic_messages": (clients.anthropic_asked, clients.anthropic_said),
}
NAMES = ("text", "parallel tool calls", "tool results", "structured output", "reasoning")

if not (HERE / "node_modules").is_dir():
    pytest.skip("needs node and the packages of tests/contract/node", allow_module_level=True)


class Read(SimpleNamespace):
    """JSON as the SDK's objects read: what is absent is None."""

    def __getattr__(self, name: str) -> None:
        return None


class Node:
    """The process in which the SDKs ask."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, url: str, dialect: str, asked: dict[str, Any], *, stream: bool) -> Any:
        """What the SDK understood, or the error that it raised."""
        told = {"url": url, "dialect": dialect, "stream": stream, "asked": asked}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        line = await self._process.stdout.readline()
        return json.loads(line, object_hook=lambda fields: Read(**fields))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "ask.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    yield Node(process)
    process.kill()
    await process.wait()


@pytest.mark.parametrize("dialect", ASKED)
async def test_every_api_behind_the_proxy_is_what_the_sdk_expects(node: Node, dialect: str) -> None:
    # One test an SDK: a process takes longer to start than all that it asks.
    for provider in PROVIDERS:
        for feature in FEATURES:
            for stream in (False, True):
                if feature.name in NAMES and feature.name not in provider.lacks:
                    await _check(node, dialect, provider, feature, stream=stream)


async def _check(
    node: Node, dialect: str, provider: Provider, feature: Feature, *, stream: bool
) -> None:
    asked, said = ASKED[dialect]
    kind, body = provider.answer(feature.said, stream)
    async with (
        Upstream(answer(200, body, {"content-type": kind})) as upstream,
        proxy_before(provider, upstream) as url,
    ):
        told = await node.ask(url, dialect, asked(feature), stream=stream)
        case = f"{dialect}, {provider.dialect}, {feature.name}, {stream}"
        assert told.error is None, f"{case}: {told.message}"
        seen = seen_by(provider, upstream)

    assert said(_inputs_as_dicts(told.whole)) == expected(feature, provider), case
    assert (seen.system, seen.turns) == (feature.system, list(feature.turns)), case


@pytest.mark.parametrize("dialect", ASKED)
async def test_a_rate_limit_is_one_to_the_sdk(node: Node, dialect: str) -> None:
    asked, _ = ASKED[dialect]
    provider = next(each for each in PROVIDERS if each.dialect != dialect)
    status, body = provider.error
    async with (
        Upstream(answer(status, body)) as upstream,
        proxy_before(provider, upstream) as url,
    ):
        told = await node.ask(url, dialect, asked(FEATURES[0]), stream=False)

    assert (told.error, told.status) == ("RateLimitError", 429)


def _inputs_as_dicts(whole: Any) -> Any:
    for block in whole.content or ():
        if block.type == "tool_use":
            block.input = vars(block.input)
    return whole
