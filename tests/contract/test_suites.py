"""The SDKs' own test suites, with the proxy between SDK and server.

A suite calls every method of its SDK and holds what it reads against the method's type. What
passes without the proxy has to pass with it, and has to reach the server as the very same
requests. ``make suites`` fetches the suites, which are part of the SDKs' source distributions.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from proxy.testing import serve

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv-suites"
PYTHON = HOME / "bin" / "python"
LONG = bool(os.environ.get("LLM_PROXY_LONG"))

if not (HOME / ".installed").exists():
    pytest.skip("needs the environment of `make suites`", allow_module_level=True)

HEADER = "x-stainless-answer"
BOUNDARY = re.compile(rb"boundary=\"?([^\";]+)")


class Suite(NamedTuple):
    """One SDK's tests of its methods, and the part that stands for all in a short run."""

    sdk: str
    prefix: str
    short: tuple[str, ...]
    options: str
    least: int
    """Tests that have to pass at least, so that a suite that tests nothing does not pass."""


SUITES = (
    Suite("openai", "/v1", ("chat", "responses", "test_embeddings.py", "test_files.py"), "", 8000),
    Suite(
        "anthropic", "", ("test_messages.py", "beta/test_files.py"), "-p tests._alias_httpx", 8000
    ),
)
each_suite = pytest.mark.parametrize("suite", SUITES, ids=[suite.sdk for suite in SUITES])

CONFIG = """
[provider.up]
type = "{sdk}"
url = "{url}"
token = "literal:sk-ours"
stream_usage = false

[[route]]
name = "models"
path = "/v1/models/*"
targets = ["up"]

[[route]]
name = "all"
path = "/v1/*"
targets = ["up"]
"""


class Server:
    """Answers each request as the request itself says, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        # A form's boundary is another each time.
        boundary = BOUNDARY.search(request.headers.get("content-type", "").encode())
        if boundary is not None:
            body = body.replace(boundary[1], b"boundary")
        self.asked.append((request.method, request.raw_path, body))
        status, kind, said = json.loads(request.headers[HEADER])
        headers = {"content-type": kind} if kind else {}
        return web.Response(status=status, body=base64.b64decode(said), headers=headers)


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def outcomes(suite: Suite, url: str, folder: Path) -> dict[str, str]:
    """How the tests ended that asked `url`."""
    [home] = filter(Path.is_dir, (HOME / "src").glob(f"{suite.sdk}-*"))
    parts = [""] if LONG else suite.short
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "pytest", "--quiet", "-p", "answering", "-p", "no:cacheprovider"),
        *("-o", f"addopts={suite.options}", "-o", "filterwarnings=default"),
        *(f"tests/api_resources/{part}" for part in parts),
        cwd=home,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parent / "suites"),
            "SUITE": suite.sdk,
            "OUTCOMES": str(folder / "outcomes.json"),
            "TEST_API_BASE_URL": url + suite.prefix,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    file = folder / "outcomes.json"
    assert file.exists(), printed[-4000:].decode(errors="replace")
    found: dict[str, str] = json.loads(file.read_bytes())
    file.unlink()
    return found


def passed(found: dict[str, str]) -> set[str]:
    return {test for test, outcome in found.items() if outcome == "passed"}


@pytest.mark.timeout(600)
@each_suite
async def test_an_sdks_own_tests_pass_through_the_proxy(suite: Suite, tmp_path: Path) -> None:
    server = Server()
    async with serving(server) as url:
        straight = await outcomes(suite, url, tmp_path)
        expected, server.asked = server.asked, []
        config = CONFIG.format(sdk=suite.sdk, url=url + suite.prefix)
        async with serve(config) as proxy:
            through = await outcomes(suite, proxy, tmp_path)

    assert passed(straight) - passed(through) == set()
    if LONG:
        assert len(passed(through)) >= suite.least
        print(f"\n{suite.sdk}: {len(passed(through))} of {len(passed(straight))} passed")
    assert server.asked == expected
