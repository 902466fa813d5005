"""The official SDKs for Node, as `test_matrix.py` has those for Python.

`make dev` installs them where there is npm.
"""

import asyncio
import json
from collections.abc import Callable
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
CASES = [
    (dialect, provider, feature)
    for number, feature in enumerate(f for f in FEATURES if f.name in NAMES)
    for dialect in ASKED
    # Each feature meets each API, by way of one client or another: processes are slow to start.
    for provider in PROVIDERS[number % len(ASKED) :: len(ASKED)]
]

if not (HERE / "node_modules").is_dir():
    pytest.skip("needs node and the packages of tests/contract/node", allow_module_level=True)


class Read(SimpleNamespace):
    """JSON as the SDK's objects read: what is absent is None."""

    def __getattr__(self, name: str) -> None:
        return None


async def ask(url: str, dialect: str, asked: dict[str, Any], *, stream: bool) -> Any:
    """What the SDK understood, or the error that it raised."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "ask.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    told = {"url": url, "dialect": dialect, "stream": stream, "asked": asked}
    out, _ = await process.communicate(json.dumps(told).encode())
    return json.loads(out, object_hook=lambda fields: Read(**fields))


def _inputs_as_dicts(whole: Any) -> Any:
    for block in whole.content or ():
        if block.type == "tool_use":
            block.input = vars(block.input)
    return whole


@pytest.mark.parametrize(
    ("dialect", "provider", "feature"),
    CASES,
    ids=[f"{dialect}-{provider.dialect}-{feature.name}" for dialect, provider, feature in CASES],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_feature_passes(
    dialect: str, provider: Provider, feature: Feature, stream: bool
) -> None:
    asked, said = ASKED[dialect]
    kind, body = provider.answer(feature.said, stream)
    async with (
        Upstream(answer(200, body, {"content-type": kind})) as upstream,
        proxy_before(provider, upstream) as url,
    ):
        told = await ask(url, dialect, asked(feature), stream=stream)
        seen = seen_by(provider, upstream)

    assert told.error is None, told.message
    assert said(_inputs_as_dicts(told.whole)) == expected(feature, provider)
    assert (seen.system, seen.turns) == (feature.system, list(feature.turns))


@pytest.mark.parametrize("dialect", ASKED)
async def test_a_rate_limit_is_one_to_the_sdk(dialect: str) -> None:
    asked, _ = ASKED[dialect]
    provider = next(each for each in PROVIDERS if each.dialect != dialect)
    status, body = provider.error
    async with (
        Upstream(answer(status, body)) as upstream,
        proxy_before(provider, upstream) as url,
    ):
        told = await ask(url, dialect, asked(FEATURES[0]), stream=False)

    assert (told.error, told.status) == ("RateLimitError", 429)
