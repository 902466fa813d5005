"""Providers behind HTTP proxies: tunnels, absolute form, passwords; and none that nobody named."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench import certificates
from proxy.testing import END, ProxyURL, RawClient, Stall, Upstream, answer, serve, sse, stream_head
from tests.e2e.conftest import Answer, chat, read_answer

CONFIG = """
[provider.x]
type = "openai_compatible"
url = "{url}/v1"
proxy = "{proxy}"
connect_timeout = "1s"
"""


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server on a port of its own; nothing of it is left when the block ends."""
    open_ones: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones[asyncio.current_task()] = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in open_ones.items():
            writer.transport.abort()
            if task is not None:
                task.cancel()
                await asyncio.wait([task])


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    there, back = await asyncio.open_connection(host, port)
    try:
        await asyncio.gather(pump(reader, back), pump(there, writer))
    finally:
        back.transport.abort()


@dataclass
class HttpProxy:
    """A tiny HTTP proxy: CONNECT is a tunnel, what is absolute is sent on to `upstream`."""

    upstream: Upstream
    password: str = ""
    connect_status: int = 200
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The first lines of the requests to it."""
    credentials: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        self.asked.append(first)
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        said = fields.pop("proxy-authorization", "")
        self.credentials.append(said)
        if self.password and said != f"Basic {b64encode(self.password.encode()).decode()}":
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        method, target, _ = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            phrase = b"HTTP/1.1 %d Some Phrase\r\n\r\n" % self.connect_status
            writer.write(phrase)
            if self.connect_status == 200:
                await tunnel(reader, writer, host, int(port))
            return
        path = "/" + target.split("/", 3)[3]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())])
        there, back = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        back.write(head.encode("latin-1") + b"\r\n\r\n")
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.transport.abort()


@asynccontextmanager
async def http_proxy(
    upstream: Upstream, *, tls: ssl.SSLContext | None = None, **keys: object
) -> AsyncIterator[HttpProxy]:
    made = HttpProxy(upstream, **keys)  # type: ignore[arg-type]
    async with listening(made.serve, tls) as port:
        made.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield made


async def ask(url: ProxyURL, *, stream: bool = False) -> Answer:
    async with RawClient(url) as client:
        await client.send(chat(stream=stream))
        return await read_answer(client)


async def test_a_provider_of_plain_http_is_asked_in_absolute_form() -> None:
    stream = [stream_head(), sse("one"), END]
    async with (
        Upstream(answer(), stream) as upstream,
        http_proxy(upstream) as proxy,
        serve(CONFIG.format(url="http://nowhere.invalid:8000", proxy=proxy.url)) as url,
    ):
        assert (await ask(url)).status == 200
        assert b"data: one\n\n" in (await ask(url, stream=True)).body
        # The second request went over the same connection, past the proxy's own reading.
        assert proxy.asked == ["POST http://nowhere.invalid:8000/v1/chat/completions HTTP/1.1"]
        assert proxy.credentials == [""]
        [first, _] = upstream.requests
        assert first.target == "/v1/chat/completions"
        assert first.header("host") == "nowhere.invalid:8000"


async def test_a_password_is_a_secret_and_goes_to_the_proxy_alone() -> None:
    async with (
        Upstream(answer()) as upstream,
        http_proxy(upstream, password="me:c@nary:1") as proxy,
    ):
        secret = proxy.url.replace("://", "://me:c%40nary:1@")
        config = CONFIG.format(url="http://x", proxy="env:PROXY")
        async with serve(config, environ={"PROXY": secret}) as url:
            assert (await ask(url)).status == 200
            assert "nary" not in str(url.lines) + repr(vars(url.app))
        assert upstream.requests[0].header("proxy-authorization") is None


async def test_a_proxy_that_refuses_us_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async with Upstream(answer()) as upstream, http_proxy(upstream, password="a:b") as proxy:
        for scheme in ("http", "https"):
            config = CONFIG.format(url=f"{scheme}://x", proxy=proxy.url)
            async with serve(config) as url:
                told = await ask(url)
            assert (told.status, told.error["code"]) == (502, "provider.connect")
            port = 80 if scheme == "http" else 443
            assert told.error["message"] == f"cannot connect to x:{port}: the proxy answered 407"
        assert upstream.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_down_is_told_as_such(scheme: str) -> None:
    async with Upstream(answer()) as upstream, http_proxy(upstream) as proxy:
        pass
    async with serve(CONFIG.format(url=f"{scheme}://x", proxy=proxy.url)) as url:
        told = await ask(url)
    assert told.status == 502
    assert "the proxy cannot be reached: Connection refused" in told.error["message"]


async def test_a_proxy_that_will_not_connect_is_told_as_such() -> None:
    async with Upstream(answer()) as upstream, http_proxy(upstream, connect_status=503) as proxy:
        async with serve(CONFIG.format(url="https://x", proxy=proxy.url)) as url:
            told = await ask(url)
        assert told.error["message"] == "cannot connect to x:443: the proxy answered 503"
        assert proxy.asked == ["CONNECT x:443 HTTP/1.1"]


async def test_a_proxy_that_says_nothing_is_given_up() -> None:
    async with Upstream([Stall()]) as silent:
        async with serve(CONFIG.format(url="https://x", proxy=silent.url)) as url:
            told = await ask(url)
        assert told.error["message"] == "no connection to x:443 within 1 s"
        await silent.closed()


async def test_none_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream(answer()) as upstream, http_proxy(upstream) as proxy:
        traps = {name: proxy.url for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
        traps |= {name.lower(): value for name, value in traps.items()}
        for name, value in traps.items():
            monkeypatch.setenv(name, value)
        config = CONFIG.format(url=upstream.url, proxy="").replace('proxy = ""\n', "")
        async with serve(config, environ=traps) as url:
            assert (await ask(url)).status == 200
        assert proxy.asked == []


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate, and a proxy that trusts who made it."""
    made = certificates.make(tmp_path)
    trusting = ssl.create_default_context(cafile=str(made.ca))
    monkeypatch.setattr("proxy.transport.system_context", lambda: trusting)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    return server


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
async def test_a_provider_of_https_is_reached_through_a_tunnel(
    tls: ssl.SSLContext, proxy_scheme: str
) -> None:
    stream = [stream_head(), sse("one"), END]
    async with Upstream(answer(), stream) as upstream:

        async def decrypt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await tunnel(reader, writer, upstream.host, upstream.port)

        proxy_tls = tls if proxy_scheme == "https" else None
        async with (
            listening(decrypt, tls) as port,
            http_proxy(upstream, password="me:x", tls=proxy_tls) as proxy,
        ):
            config = CONFIG.format(url=f"https://localhost:{port}", proxy="env:PROXY")
            secret = proxy.url.replace("://127.0.0.1", "://me:x@localhost")
            async with serve(config, environ={"PROXY": secret}) as url:
                assert (await ask(url)).status == 200
                assert b"data: one\n\n" in (await ask(url, stream=True)).body
            assert proxy.asked == [f"CONNECT localhost:{port} HTTP/1.1"]
            assert upstream.requests[0].header("proxy-authorization") is None
