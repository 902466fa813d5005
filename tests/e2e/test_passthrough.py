"""Paths that are no dialect's endpoint: what a route names is passed through as it is."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web
from aiohttp.pytest_plugin import AiohttpServer

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing import (
    Connection,
    Cut,
    OnAccept,
    ProxyURL,
    RawClient,
    ReadRequest,
    Script,
    Send,
    Upstream,
    answer,
    chunks,
    exchange,
    request,
    serve,
    stream_head,
)

CONFIG = """
[provider.fake]
type = "openai_compatible"
url = "%s/v1"
token = "env:TOKEN"

[[route]]
name = "files"
path = ["/v1/files", "/v1/files/*", "/v1/audio/*", "/v1/models/*"]
targets = ["fake"]

[[route]]
name = "gpt"
path = "/v1/*"
models = ["gpt-*"]
targets = ["fake"]
"""
TOKEN = "sk-provider"
AUDIO = random.Random(7).randbytes(100_000)
MEGABYTE = 1 << 20


@asynccontextmanager
async def before(url: str) -> AsyncIterator[ProxyURL]:
    async with serve(CONFIG % url, environ={"TOKEN": TOKEN}) as proxy:
        yield proxy


@asynccontextmanager
async def passing(*scripts: Script) -> AsyncIterator[tuple[Upstream, ProxyURL, RawClient]]:
    """A scripted provider, a proxy before it, and a connection to that."""
    async with (
        Upstream(*scripts) as upstream,
        before(upstream.url) as proxy,
        RawClient(proxy) as client,
    ):
        yield upstream, proxy, client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_method_path_and_query_stay(method: str) -> None:
    target = "/v1/files/a%20b:c/content?limit=2&key=sk-client&monkey=1&empty=&x=%26&flag"
    async with passing(answer(body="{}")) as (upstream, proxy, client):
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        headers = {"authorization": "Bearer sk-client", "range": "bytes=0-9", "x-other": "1"}
        await client.send(request(target, body, method=method, headers=headers))
        assert (await client.read_head()).status == 200
        assert await client.read_body() == b"{}"
        [seen] = upstream.requests
        assert seen.method == method
        assert seen.target == "/v1/files/a%20b:c/content?limit=2&monkey=1&empty=&x=%26&flag"
        assert seen.body == body
        assert seen.header("host") == f"127.0.0.1:{upstream.port}"
        assert seen.header("authorization") == f"Bearer {TOKEN}"
        assert seen.header("range") == "bytes=0-9"
        assert seen.header("x-other") is None
        assert b"sk-client" not in seen.head
        [line] = proxy.exchanges
        assert (line["route"], line["provider"], line["method"]) == ("files", "fake", method)
        assert "sk-client" not in str(line)


@pytest.mark.parametrize(
    ("path", "passes"), [("/v1/*", True), ("/v1/chat/completions", True), ("/v1/files", False)]
)
async def test_other_methods_of_an_endpoint_pass_where_a_route_names_its_path(
    path: str, passes: bool
) -> None:
    """OpenAI lists stored chats at the path where chats are asked for."""
    async with Upstream(answer(body='{"data":[]}')) as upstream:
        config = f"""
            [provider.fake]
            type = "openai_compatible"
            url = "{upstream.url}/v1"
            [[route]]
            name = "named"
            path = "{path}"
            targets = ["fake"]
            [[route]]
            name = "rest"
            targets = ["fake"]
        """
        async with serve(config) as proxy, RawClient(proxy) as client:
            await client.send(request("/v1/chat/completions?limit=2", method="GET"))
            said = await client.read_head()
            body = await client.read_body()
        [line] = proxy.exchanges
    if passes:
        assert (said.status, body) == (200, b'{"data":[]}')
        [seen] = upstream.requests
        assert (seen.method, seen.target) == ("GET", "/v1/chat/completions?limit=2")
        assert line["route"] == "named"
        assert "dialect" not in line
    else:
        assert said.status == 405
        assert (b"allow", b"POST") in said.headers
        assert upstream.requests == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_goes_on_before_it_is_whole(chunked: bool) -> None:
    first, last = b"first part, ", b"last part"
    arrived = asyncio.Event()

    async def receive(connection: Connection, /) -> None:
        received = b""
        while last not in received:
            received += await connection.read()
            if first in received:
                arrived.set()
        await connection.send(answer().data)

    async with passing([OnAccept(), receive]) as (_, _, client):
        length = {"content-length": str(len(first + last))}
        headers = {"transfer-encoding": "chunked"} if chunked else length
        await client.send(request("/v1/files", headers=headers))
        await client.send(encode_chunk(first) if chunked else first)
        async with asyncio.timeout(5):
            await arrived.wait()
        await client.send(encode_chunk(last) + LAST_CHUNK if chunked else last)
        assert (await client.read_head()).status == 200


async def test_a_provider_that_takes_nothing_slows_the_client_down() -> None:
    size, sent, received = 64 * MEGABYTE, 0, 0
    full = asyncio.Event()

    async def receive(connection: Connection, /) -> None:
        nonlocal received
        await full.wait()
        while received < size:
            received += len(await connection.read())
        await connection.send(answer().data)

    async def hold(connection: Connection, /) -> None:
        await connection.hold(0.4)
        full.set()

    async def upload(client: RawClient) -> None:
        nonlocal sent
        for _ in range(64):
            await client.send(b"x" * MEGABYTE)
            sent += MEGABYTE

    async with passing([OnAccept(), hold, receive]) as (_, _, client):
        await client.send(request("/v1/files", headers={"content-length": str(size)}))
        uploading = asyncio.create_task(upload(client))
        await full.wait()
        # What the sockets between the two hold, and no more.
        assert sent < size / 2
        await uploading
        assert (await client.read_head()).status == 200
        assert received >= size


async def test_an_answer_may_come_before_the_body_is_whole() -> None:
    async def refuse(connection: Connection, /) -> None:
        await connection.read()
        await connection.send(answer(413, '{"error":{"message":"too large"}}').data)

    async with passing([OnAccept(), refuse]) as (_, proxy, client):
        await client.send(request("/v1/files", b"begun", headers={"content-length": "1000000"}))
        head = await client.read_head()
        assert head.status == 413
        assert (b"connection", b"close") in head.headers
        assert await client.read_body() == b'{"error":{"message":"too large"}}'
        assert proxy.exchanges[0]["status"] == 413


async def test_a_client_that_expects_a_100_gets_it() -> None:
    async with passing(answer()) as (upstream, _, client):
        headers = {"expect": "100-continue", "content-length": "4"}
        await client.send(request("/v1/files", headers=headers))
        await client.read_until(b"HTTP/1.1 100 Continue\r\n\r\n")
        await client.send(b"body")
        assert (await client.read_head()).status == 200
        assert upstream.requests[0].body == b"body"
        assert upstream.requests[0].header("expect") is None


async def test_a_compressed_body_stays_compressed_both_ways() -> None:
    packed = gzip.compress(b"unheard of " * 100)
    fields = {"content-type": "text/plain", "content-encoding": "gzip"}
    async with passing(answer(200, packed, fields)) as (upstream, _, client):
        await client.send(request("/v1/files", packed, headers={"content-encoding": "gzip"}))
        head = await client.read_head()
        assert await client.read_body() == packed
        assert (b"content-encoding", b"gzip") in head.headers
        assert upstream.requests[0].body == packed
        assert upstream.requests[0].header("content-encoding") == "gzip"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_binary_answer(chunked: bool) -> None:
    fields = {"content-type": "audio/mpeg", "etag": '"x"'}
    whole = answer(200, AUDIO, fields)
    script = [stream_head(200, fields), chunks(AUDIO), Send(LAST_CHUNK)] if chunked else whole
    async with passing(script) as (_, proxy, client):
        await client.send(request("/v1/files/f/content", method="GET"))
        head = await client.read_head("GET")
        assert await client.read_body() == AUDIO
        assert client.clean_end
        fields_back = dict(head.headers)
        assert fields_back[b"content-type"] == b"audio/mpeg"
        assert fields_back[b"etag"] == b'"x"'
        framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"100000")
        assert framing in head.headers
        assert proxy.exchanges[0]["bytes_out"] == len(AUDIO)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (201, {"content-type": "application/json"}),
        (204, {}),
        (206, {"content-range": "bytes 0-1/9"}),
        (301, {"location": "/v1/files/other"}),
        (302, {"location": "https://elsewhere.example/"}),
        (304, {"etag": '"x"'}),
        (307, {"location": "/v1/files/other"}),
        (404, {"content-type": "application/json"}),
        (416, {"content-range": "bytes */9"}),
        (500, {"content-type": "text/plain"}),
    ],
)
async def test_a_status_is_the_providers_and_a_redirect_is_not_followed(
    status: int, fields: dict[str, str]
) -> None:
    body = b"" if status in (204, 304) else b"{}"
    script = Send(b"HTTP/1.1 204 No Content\r\n\r\n") if status == 204 else None
    async with passing(script or answer(status, body, fields)) as (upstream, proxy, client):
        await client.send(request("/v1/files/f", method="GET"))
        head = await client.read_head("GET")
        assert head.status == status
        assert await client.read_body() == body
        for name, value in fields.items():
            assert (name.encode(), value.encode()) in head.headers
        length = [value for name, value in head.headers if name == b"content-length"]
        assert length == ([] if status == 204 else [b"%d" % len(body)])
        # The connections are good for more.
        await client.send(request("/v1/files/f", method="GET"))
        assert (await client.read_head("GET")).status == status
        assert (len(upstream.requests), upstream.connections) == (2, 1)
        assert [line["status"] for line in proxy.exchanges] == [status, status]
        assert ("error" in proxy.exchanges[0]) == (status >= 400)


async def test_a_head_has_the_length_of_what_it_leaves_out() -> None:
    script = Send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 100000\r\n\r\n")
    async with passing(script) as (upstream, _, client):
        for _ in range(2):
            await client.send(request("/v1/files/f/content", method="HEAD"))
            head = await client.read_head("HEAD")
            assert (b"content-length", b"100000") in head.headers
            assert await client.read_body() == b""
        assert [seen.method for seen in upstream.requests] == ["HEAD", "HEAD"]
        assert upstream.connections == 1


async def test_an_answer_that_breaks_off_is_seen_to() -> None:
    script = [answer(200, AUDIO[:5000], {"content-length": "100000"}), Cut()]
    async with passing(script) as (_, proxy, client):
        await client.send(request("/v1/files/f/content", method="GET"))
        await client.read_head("GET")
        assert await client.read_body() == AUDIO[:5000]
        assert not client.clean_end
        assert proxy.exchanges[0]["error"] == "provider.broke"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../admin",
        "/v1/files/..",
        "/v1/files/.",
        "/v1/files/./x",
        "/v1/files//x",
        "/v1/files/%2e%2e/admin",
        "/v1/files/%2E/x",
        "/v1/files/..%2fadmin",
        "/v1/files%2Fx",
        "/v1/files/..%5cadmin",
        "/v1/files\\..\\admin",
        "/v1/files/x%00",
        "/v1/models/..%2f..%2fadmin",
        "v1/files",
        "*",
    ],
)
async def test_a_path_that_others_may_read_differently_is_refused(path: str) -> None:
    async with passing(answer()) as (upstream, proxy, _):
        raw = request(path, method="GET", headers={"connection": "close"})
        reply = await exchange(proxy, raw)
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"x-llm-proxy-error: client.bad_request" in reply
        assert upstream.connections == 0


async def test_an_absolute_target_goes_where_the_configuration_says() -> None:
    async with passing(answer()) as (upstream, _, client):
        await client.send(request("http://elsewhere.example/v1/files?a=b", method="GET"))
        assert (await client.read_head("GET")).status == 200
        assert upstream.requests[0].target == "/v1/files?a=b"
        assert upstream.requests[0].header("host") == f"127.0.0.1:{upstream.port}"


@pytest.mark.parametrize("path", ["/", "/v1/moderations", "/v2/files", "/metrics", "/health"])
async def test_what_no_route_names_is_not_passed_through(path: str) -> None:
    # The second route would take /v1/moderations, but nobody has seen a model there.
    async with passing(answer()) as (upstream, proxy, client):
        await client.send(request(path, {"model": "gpt-4o"}))
        assert (await client.read_head()).status == 404
        assert b"proxy.no_route" in await client.read_body()
        assert upstream.connections == 0
        assert proxy.exchanges[0]["error"] == "proxy.no_route"


async def test_what_the_sdk_uploads_and_downloads(aiohttp_server: AiohttpServer) -> None:
    seen: list[dict[str, Any]] = []

    async def upload(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        fields: dict[str, Any] = {}
        async for part in await request.multipart():
            assert part.name  # type: ignore[union-attr]
            fields[part.name] = (part.filename, await part.read())  # type: ignore[union-attr]
        seen.append(fields)
        if request.path.endswith("transcriptions"):
            return web.json_response({"text": "Hello"})
        return web.json_response({"id": "file-1", "object": "file", "bytes": len(AUDIO)})

    async def download(request: web.Request) -> web.Response:
        return web.Response(body=AUDIO, content_type="audio/mpeg")

    async def remove(request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"], "deleted": True})

    app = web.Application()
    app.router.add_post("/v1/files", upload)
    app.router.add_post("/v1/audio/transcriptions", upload)
    app.router.add_post("/v1/audio/speech", download)
    app.router.add_get("/v1/files/{id}/content", download)
    app.router.add_delete("/v1/files/{id}", remove)
    provider = await aiohttp_server(app)
    async with (
        before(str(provider.make_url("")).rstrip("/")) as proxy,
        openai.AsyncOpenAI(base_url=f"{proxy}/v1", api_key="sk-client", max_retries=0) as client,
    ):
        file = await client.files.create(file=("a.mp3", AUDIO), purpose="assistants")
        assert file.id == "file-1"
        text = await client.audio.transcriptions.create(file=("b.mp3", AUDIO), model="whisper-1")
        assert text.text == "Hello"
        assert (await client.files.content("file-1")).content == AUDIO
        speech = await client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
        assert speech.content == AUDIO
        assert (await client.files.delete("file-1")).deleted
        assert seen == [
            {"file": ("a.mp3", AUDIO), "purpose": (None, b"assistants")},
            {"file": ("b.mp3", AUDIO), "model": (None, b"whisper-1")},
        ]
        assert [line["status"] for line in proxy.exchanges] == [200] * 5
        assert {line["route"] for line in proxy.exchanges} == {"files"}


async def test_the_connection_to_the_provider_is_kept() -> None:
    ask = [ReadRequest(), answer()]
    async with passing([OnAccept(), *ask], *[answer()] * 4) as (upstream, _, client):
        for number in range(5):
            await client.send(request("/v1/files", b"x" * number * 1000))
            assert (await client.read_head()).status == 200
            assert await client.read_body() == b"{}"
        assert (len(upstream.requests), upstream.connections) == (5, 1)
