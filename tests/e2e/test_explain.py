"""Explanations held against what the proxy then does, and who gets them."""

import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from proxy.admin import Admin
from proxy.app import App
from proxy.config.changes import Change
from proxy.config.load import TEXT, Overrides, load
from proxy.errors import ConfigError
from proxy.testing import Upstream, answer, serve

CONFIG = """
[provider.one]
type = "vllm"
url = "{}/base/v1"
[processor.rules]
type = "system_prompt"
text = "Be nice."
[processor.limits]
type = "parameters"
clamp = {{ max_tokens = {{ max = 10 }} }}
[[route]]
models = ["gpt-*"]
processors = ["rules", "limits"]
targets = ["one/llama"]
[[route]]
path = "/v1/files/*"
targets = ["one"]
"""
BODY = {
    "model": "gpt-5",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
    "seed": 1,
}


async def post(url: str, body: object) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        text = await response.text()
        return response.status, json.loads(text) if text[:1] == "{" else text


async def test_what_is_explained_is_what_is_then_sent() -> None:
    async with Upstream(answer(503)) as upstream, serve(CONFIG.format(upstream.url)) as url:
        status, told = await post(f"{url.admin}/api/explain", BODY)
        assert upstream.connections == 0
        assert url.exchanges == []

        await post(f"{url}/v1/chat/completions", BODY)
        sent = upstream.requests[0]
        got = json.loads(sent.body)

        assert status == 200
        (target,) = told["targets"]
        assert target["url"] == upstream.url + sent.target
        assert target["model"] == got["model"] == "llama"
        changes = [*target["changes"], *(c for step in told["processors"] for c in step["changes"])]
        changed = {name for name in {**BODY, **got} if BODY.get(name) != got.get(name)}
        assert {change["field"] for change in changes} == changed
        assert changed == {"model", "messages", "max_tokens", "stream_options"}
        assert url.exchanges[-1]["route"] == told["routes"][-1]["route"] == "route-1"


async def test_another_path_can_be_asked_for() -> None:
    async with Upstream(answer(503)) as upstream, serve(CONFIG.format(upstream.url)) as url:
        status, told = await post(f"{url.admin}/api/explain?path=/v1/files/x", {})
        await post(f"{url}/v1/files/x", {})

        assert status == 200
        assert told["targets"][0]["url"] == upstream.url + upstream.requests[0].target


async def test_what_is_no_path_and_what_is_no_request_are_told() -> None:
    async with serve() as url:
        assert await post(f"{url.admin}/api/explain?path=v1", {}) == (
            400,
            "`path` is one such as /v1/chat/completions\n",
        )
        status, told = await post(f"{url.admin}/api/explain", {})
        assert status == 200
        assert told["error"]["code"] == "client.bad_request"


class Nobody:
    """Several as one, of which none is there just now."""

    ready = False

    async def render(self) -> bytes | None:
        return None

    async def explain(self, path: str, body: bytes) -> msgspec.Raw:
        raise ConfigError(["no worker answers just now"])

    async def reload(self) -> list[Change]:
        return []

    async def drain(self, limit: float | None = None) -> int:
        return 0


async def test_who_cannot_say_just_now_is_not_broken() -> None:
    admin = Admin(Nobody(), trusted=True)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        await admin.listen(sock)
        try:
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/api/explain"
            assert await post(url, BODY) == (503, {"problems": ["no worker answers just now"]})
        finally:
            await admin.close()


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("0.0.0.0", 404), ("unix", 200)])
async def test_only_this_machine_gets_explanations(tmp_path: Path, host: str, status: int) -> None:
    path = tmp_path / "admin"
    admin = f"unix:{path}" if host == "unix" else f"{host}:0"
    environ = {TEXT: '[provider.mock]\ntype = "mock"'}
    loaded = load(None, environ=environ, overrides=Overrides(listen=("127.0.0.1:0",), admin=admin))
    app = App(loaded, environ=environ)
    await app.start()
    try:
        connector = aiohttp.UnixConnector(str(path)) if host == "unix" else None
        url = "http://x" if host == "unix" else str(app.admin_url).replace("0.0.0.0", "127.0.0.1")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{url}/api/explain", json=BODY) as response,
        ):
            assert response.status == status
    finally:
        await app.stop(0.0)
