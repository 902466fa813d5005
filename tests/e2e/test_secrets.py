"""Secrets that change while the proxy runs, and that nobody sees."""

import asyncio
import os
from pathlib import Path

import pytest

from proxy.testing import (
    END,
    ProxyURL,
    RawClient,
    Sleep,
    Upstream,
    answer,
    exchange,
    request,
    serve,
    sse,
    stream_head,
)
from proxy.tokens import _refreshed as refreshed_module
from proxy.tokens import file as file_module

CONFIG = """
[provider.one]
type = "vllm"
url = "%s/v1"
token = %s
[monitoring.log]
level = "debug"
"""
BODY = {"model": "m", "messages": []}


async def ask(url: str) -> None:
    raw = request("/v1/chat/completions", BODY, headers={"connection": "close"})
    assert (await exchange(url, raw)).startswith(b"HTTP/1.1 200 ")


def sent(upstream: Upstream) -> list[str | None]:
    return [received.header("authorization") for received in upstream.requests]


async def until(url: str, upstream: Upstream, value: str) -> None:
    """Ask again and again until the provider is sent `value`."""
    for _ in range(1000):
        await ask(url)
        if sent(upstream)[-1] == f"Bearer {value}":
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{value} never came")


def quiet(url: ProxyURL) -> bool:
    """Whether the log has none of the values."""
    return "canary" not in str(url.lines) + repr(url.app) + repr(url.app.pipeline)


async def test_a_file_that_changes_serves_the_requests_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_module, "INTERVAL", 0.02)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(f"canary-{name}\n")
    (tmp_path / "data").symlink_to("one")
    token = f'"file:{tmp_path}/data/key"'

    async with (
        Upstream(answer(200, b"{}")) as upstream,
        serve(CONFIG % (upstream.url, token)) as url,
    ):
        await ask(url)
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(tmp_path / "data")
        await until(url, upstream, "canary-two")

        (tmp_path / "two" / "key").unlink()
        await asyncio.sleep(0.1)
        await ask(url)

        assert sent(upstream)[0] == "Bearer canary-one"
        assert sent(upstream)[-1] == "Bearer canary-two"
        assert quiet(url)
    assert "the old credential stays in use" in caplog.text
    assert "canary" not in caplog.text


async def test_a_program_is_run_again_before_its_credential_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refreshed_module, "AHEAD", (0.02, 0.02))
    monkeypatch.setattr(refreshed_module, "SHORTEST", 0.02)
    count = tmp_path / "count"
    script = f"echo x >> {count}; echo canary-$(wc -l < {count})"
    token = f'{{ type = "exec", command = ["sh", "-c", "{script}"], expires = "1s" }}'

    async with (
        Upstream(answer(200, b"{}")) as upstream,
        serve(CONFIG % (upstream.url, token), environ={"PATH": os.defpath}) as url,
    ):
        await ask(url)
        await until(url, upstream, "canary-3")

        assert sent(upstream)[0] == "Bearer canary-1"
        assert quiet(url)
    assert "canary" not in caplog.text


async def test_a_stream_that_runs_is_not_disturbed_by_a_new_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "INTERVAL", 0.02)
    key = tmp_path / "key"
    key.write_text("canary-one")
    token = f'"file:{key}"'
    script = [stream_head(), sse("first"), Sleep(0.3), sse("last"), END]

    async with (
        Upstream(script, answer(200, b"{}")) as upstream,
        serve(CONFIG % (upstream.url, token)) as url,
        RawClient(url) as client,
    ):
        await client.send(request("/v1/chat/completions", {**BODY, "stream": True}))
        await client.read_until(b"first")
        key.write_text("canary-two")
        await until(url, upstream, "canary-two")
        await client.read_until(b"last")

        assert sent(upstream)[0] == "Bearer canary-one"
