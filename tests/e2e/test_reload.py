"""A configuration for another, under way: nothing fails, nothing breaks, nothing is left."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from proxy.errors import ConfigError
from proxy.testing import (
    END,
    RawClient,
    Script,
    Step,
    Upstream,
    answer,
    request,
    serve,
    sse,
    stream_head,
)
from proxy.testing.connection import Connection
from tests.e2e.conftest import chat, read_answer, until

ONE = """
[provider.fake]
type = "openai_compatible"
url = "{url}/v1"
[[route]]
name = "{name}"
targets = ["fake"]
"""


def until_told(event: asyncio.Event) -> Step:
    """A step that waits."""

    async def step(connection: Connection) -> None:
        await event.wait()

    return step


def held(event: asyncio.Event) -> Script:
    """A stream that goes on when it is told to."""
    return [stream_head(), sse("first"), until_told(event), sse("last"), END]


def gone(reference: weakref.ref[Any]) -> Callable[[], bool]:
    """Whether what a reference was to is no longer there."""
    return lambda: reference() is None


async def ask(url: str, raw: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    async with RawClient(url) as client:
        await client.send(raw or chat())
        got = await read_answer(client)
        assert got.whole
        return got.status, got.fields, got.body


async def post(url: str, target: str, **headers: str) -> tuple[int, Any]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    status, got, body = await ask(url, request(target, headers={"connection": "close", **fields}))
    json = got.get("content-type", "").startswith("application/json")
    return status, msgspec.json.decode(body) if json else body.decode()


async def test_requests_take_the_new_configuration_and_streams_end_on_the_old() -> None:
    go_on = asyncio.Event()
    async with (
        Upstream(held(go_on)) as old,
        Upstream(answer()) as new,
        serve(ONE.format(url=old.url, name="before")) as proxy,
        RawClient(proxy) as stream,
    ):
        await stream.send(chat(stream=True))
        assert dict((await stream.read_head()).headers)[b"x-llm-proxy-route"] == b"before"
        await stream.read_until(b"first")
        changed = await proxy.reload(ONE.format(url=new.url, name="after"))
        assert [(change.key, change.what) for change in changed] == [
            ("provider.fake.url", "changed"),
            ("route.before", "removed"),
            ("route.after", "added"),
        ]
        status, fields, _ = await ask(proxy)
        assert (status, fields["x-llm-proxy-route"]) == (200, "after")
        assert len(old.requests) == len(new.requests) == 1
        assert len(proxy.app._retired) == 1
        go_on.set()
        assert b"last" in await stream.read_body()
        assert stream.clean_end
        # The connection goes on, with what is configured now.
        await stream.send(chat())
        assert dict((await stream.read_head()).headers)[b"x-llm-proxy-route"] == b"after"
        await until(lambda: not proxy.app._retired)
    assert [line["route"] for line in proxy.exchanges] == ["after", "before", "after"]
    [line] = [line for line in proxy.lines if line["event"] == "reloaded"]
    assert line["changes"][0]["key"] == "provider.fake.url"
    assert "[route.after] added" in line["message"]


async def test_what_is_left_of_a_configuration_is_nothing() -> None:
    gc.collect()
    gc.disable()  # exchanges and configurations go without the collector
    try:
        async with Upstream(answer()) as upstream:
            text = ONE.format(url=upstream.url, name="{}")
            async with serve(text.format("first")) as proxy, RawClient(proxy) as client:
                for name in ("second", "third", "fourth"):
                    old = weakref.ref(proxy.app._generation)
                    pipeline = weakref.ref(proxy.app.pipeline)
                    await client.send(chat())
                    assert (await read_answer(client)).status == 200
                    await proxy.reload(text.format(name))
                    await until(gone(old))
                    assert (old(), pipeline()) == (None, None)
            # The provider is the same: its connection was kept all the time.
            assert upstream.connections == 1
            assert len(upstream.requests) == 3
    finally:
        gc.enable()


async def test_a_reload_leaves_nothing_to_the_collector() -> None:
    async with serve(ONE.format(url="http://127.0.0.1:9", name="one")) as proxy:
        await proxy.reload(ONE.format(url="http://127.0.0.1:9", name="two"))
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await proxy.reload(ONE.format(url="http://127.0.0.1:9", name="three"))
            await until(lambda: not proxy.app._retired)
            gc.collect()
            assert gc.garbage == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_a_configuration_that_cannot_be_used_leaves_the_one_at_work() -> None:
    async with Upstream(answer()) as upstream:
        text = ONE.format(url=upstream.url, name="good")
        async with serve(text) as proxy:
            at_work = proxy.app.pipeline
            for bad, said in (
                (f"{text}\nretrees = 1", "[route.good.retrees]: unknown key"),
                (f"{text}\n[server", "is not TOML"),
                (f'{text}\n[server]\nadmin_listen = "127.0.0.1:1', "is not TOML"),
                (text.replace('"fake"]', '"fkae"]'), 'unknown provider "fkae"'),
            ):
                with pytest.raises(ConfigError) as raised:
                    await proxy.reload(bad)
                assert said in str(raised.value)
                status, body = await post(proxy.admin, "/api/reload")
                assert (status, body) == (422, {"problems": raised.value.problems})
                line = proxy.lines[-1]
                assert (line["event"], line["level"]) == ("reload_failed", "error")
                assert line["problems"] == raised.value.problems
                assert (await ask(proxy.admin, request("/readyz", method="GET")))[0] == 200
                assert (await ask(proxy))[0] == 200
            assert proxy.app.pipeline is at_work
            assert await proxy.reload(f"# the same\n{text}") == []
            assert proxy.app.pipeline is at_work
            assert await post(proxy.admin, "/api/reload") == (200, {"changes": []})
            metrics = (await ask(proxy.admin, request("/metrics", method="GET")))[2].decode()
    for outcome, count in (("changed", 0), ("unchanged", 2), ("failed", 8)):
        assert f'llm_proxy_reloads_total{{outcome="{outcome}"}} {count}.0\n' in metrics


async def test_what_a_page_in_a_browser_asks_for_is_refused_unless_it_is_ours() -> None:
    async with serve() as proxy:
        here = proxy.admin.removeprefix("http://")
        port = here.partition(":")[2]
        for fields in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": f"http://127.0.0.1:{int(port) + 1}", "host": here},
            {"origin": f"http://evil.example:{port}", "host": f"evil.example:{port}"},
            {"origin": "http://[", "host": "["},
            {"sec-fetch-site": "cross-site", "host": here},
            {"sec-fetch-site": "same-site", "host": here},
        ):
            for target in ("/api/reload", "/api/drain"):
                status, body = await post(proxy.admin, target, **fields)
                assert (status, body) == (403, "not for pages of other origins\n"), fields
        for fields in (
            {},
            {"host": "proxy.internal"},
            {"origin": f"http://{here}", "host": here},
            {"origin": f"http://localhost:{port}", "host": f"localhost:{port}"},
            {"origin": "http://[::1]:9090", "host": "[::1]:9090"},
            {"sec-fetch-site": "none", "host": here},
        ):
            assert await post(proxy.admin, "/api/reload", **fields) == (200, {"changes": []})
        assert proxy.app.ready
