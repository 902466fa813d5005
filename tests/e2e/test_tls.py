"""Listeners that speak HTTPS: who gets in, with which certificate, and how it ends."""

import asyncio
import fcntl
import logging
import os
import ssl
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from proxy import tls
from proxy.certificates import certificates
from proxy.config.load import Overrides
from proxy.downstream import Downstream
from proxy.errors import ConfigError
from proxy.sockets import TLS_BYTES, unsent
from proxy.testing import (
    END,
    Cut,
    Flood,
    ProxyURL,
    RawClient,
    Sleep,
    Stall,
    Upstream,
    answer,
    chunks,
    exchange,
    request,
    serve,
    sse,
    stream_head,
)
from proxy.tokens import file as token_file
from tests.authority import Authority, Pair
from tests.e2e.conftest import BODY, CHAT, LENGTH, Scenes, chat, open_connections, raw, until
from tests.e2e.process import free_port, run, serving

MIB = 1 << 20
USER: Any = [{"role": "user", "content": "Hello"}]
ASKED = {"model": "mock", "messages": USER}
ASK = request(CHAT, ASKED)
CLOSING = request(CHAT, ASKED, headers={"connection": "close"})
AS_CONFIGURED = Overrides()


@pytest.fixture
def secured(authority: Authority) -> Authority:
    return authority


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at often, and what is wrong with them is said soon."""
    monkeypatch.setattr(tls, "INTERVAL", 0.02)
    monkeypatch.setattr(token_file, "INTERVAL", 0.01)
    monkeypatch.setattr(tls, "PATIENCE", 0.1)


def listening(pair: Pair, more: str = "", *, port: int = 0, behind: str = "") -> str:
    """A configuration whose listeners speak HTTPS."""
    listener = f'{{ address = "127.0.0.1:%d", tls = {{ {pair.toml}{more} }} }}'
    return f"[server]\nlisten = {listener % port}\nadmin_listen = {listener % 0}\n{behind}"


@asynccontextmanager
async def sdk(
    url: ProxyURL, verify: ssl.SSLContext, **options: Any
) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK, before a proxy that speaks HTTPS."""
    async with (
        httpx2.AsyncClient(verify=verify) as http,
        openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="sk-1", http_client=http, max_retries=0, **options
        ) as client,
    ):
        yield client


async def get(url: str, context: ssl.SSLContext, target: str = "/readyz") -> tuple[int, bytes]:
    async with RawClient(url, tls=context) as client:
        await client.send(request(target, method="GET"))
        return (await client.read_head("GET")).status, await client.read_body()


async def certificate_of(url: str, context: ssl.SSLContext) -> bytes | None:
    """What a server shows who connects now."""
    async with RawClient(url, tls=context) as client:
        assert client._secured is not None
        return client._secured.object.getpeercert(binary_form=True)


def der(pair: Pair) -> bytes:
    return certificates(pair.certificate.read_bytes())[0]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the program says of its own."""
    caplog.set_level(logging.INFO, "proxy")
    return caplog


# Everything that works on plain connections.


async def test_the_official_sdk_asks_by_https(authority: Authority, pair: Pair) -> None:
    async with serve(listening(pair), overrides=AS_CONFIGURED) as url:
        assert url.startswith("https://127.0.0.1:")
        assert url.admin.startswith("https://127.0.0.1:")
        [ready] = [line for line in url.lines if line["event"] == "ready"]
        assert (ready["data"], ready["admin"]) == ([url], url.admin)
        async with sdk(url, authority.client()) as client:
            whole = await client.chat.completions.create(model="mock", messages=USER)
            stream = await client.chat.completions.create(model="mock", messages=USER, stream=True)
            pieces = [event.choices[0].delta.content or "" async for event in stream]
            assert "".join(pieces) == whole.choices[0].message.content
            # Not a request that the front reads: the connection is handed over, and back nowhere.
            assert [model.id async for model in client.models.list()]
        assert await get(url.admin, authority.client()) == (200, b"ready\n")
        status, metrics = await get(url.admin, authority.client(), "/metrics")
        assert status == 200
        assert b"llm_proxy_requests_total" in metrics


async def test_a_health_check_asks_by_it_too(pair: Pair, tmp_path: Path) -> None:
    port = free_port()
    listener = f'{{ address = "127.0.0.1:{port}", tls = {{ {pair.toml} }} }}'
    (tmp_path / "config.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:0"\nadmin_listen = {listener}'
    )
    asked = ("healthcheck",), ("healthcheck", f"https://127.0.0.1:{port}/")
    async with serving(tmp_path) as (served, ready):
        assert ready["admin"] == f"https://127.0.0.1:{port}"
        assert f"admin on https://127.0.0.1:{port}" in ready["message"]
        for arguments in asked:
            assert await run(tmp_path, *arguments) == (0, "", "")
        status, _, err = await run(tmp_path, "healthcheck", f"127.0.0.1:{port}")
        assert status == 1
        assert "answered 'HTTP/1.1 400 Bad Request'" in err
        assert "it speaks plain HTTP" in (await served.line("log"))["message"]
        assert await served.end() == 0
    for arguments in asked:
        status, _, err = await run(tmp_path, *arguments)
        assert (status, err) == (
            1,
            f"llm-proxy: not ready: 127.0.0.1:{port}: Connection refused\n",
        )


async def test_http_1_1_is_what_is_agreed_on(authority: Authority, pair: Pair) -> None:
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        serve(listening(pair), overrides=AS_CONFIGURED) as url,
        RawClient(url, tls=context) as client,
    ):
        assert client._secured is not None
        assert client._secured.object.selected_alpn_protocol() == "http/1.1"


async def test_a_unix_socket_may_speak_it_too(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    listener = f'{{ address = "unix:{tmp_path}/s", tls = {{ {pair.toml} }} }}'
    config = f'[server]\nlisten = {listener}\nadmin_listen = "none"'
    async with (
        serve(config, overrides=AS_CONFIGURED) as url,
        RawClient(url, tls=authority.client()) as client,
    ):
        await client.send(ASK)
        assert (await client.read_head()).status == 200


def queued(transport: asyncio.Transport) -> int:
    """Bytes that the kernel holds for the peer."""
    sock = transport.get_extra_info("socket")
    held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int.from_bytes(held, sys.byteorder)


async def test_what_a_slow_reader_has_not_taken_is_bounded(scene: Scenes) -> None:
    count = 5
    async with scene([stream_head(), Flood(64 * MIB)]) as s, AsyncExitStack() as clients:
        for _ in range(count):
            client = await clients.enter_async_context(s.client(receive_buffer=4096))
            await client.send(chat(stream=True))
        await until(lambda: len(s.upstream.requests) == count)
        sent = -1
        while sent != s.upstream.sent:
            sent = s.upstream.sent
            await asyncio.sleep(0.2)
        held = []
        for transport in open_connections(s):
            below = transport.get_extra_info("uvloop.sslproto").below
            held.append(transport.get_write_buffer_size() + below.get_write_buffer_size())
            # What is known of it, so that a client that takes little is not taken to be stuck.
            assert unsent(transport) == held[-1] + queued(transport)
        assert len(held) == count
        # In TLS and below it, what is little and one read each.
        assert max(held) < 2 * (TLS_BYTES + MIB // 4)
        await clients.aclose()
        assert len(await s.lines(count)) == count


async def test_a_reader_that_is_slow_is_not_stuck(scene: Scenes) -> None:
    body = b"data: " + b"x" * 8_000_000 + b"\n\n"
    timeouts = 'send_timeout = "500ms"\nidle_timeout = "200ms"'
    async with scene([stream_head(), chunks(body), END], provider=timeouts) as s:
        async with s.client(receive_buffer=4096) as client:
            await client.send(chat(stream=True))
            await client.read_head()
            # Half as fast again as a record of TLS each half second.
            first = await client.read_some(96_000, rate=64_000)
            rest = await client.read_body()
            assert client.clean_end
            assert (first + rest).count(b"x") == 8_000_000
        assert "error" not in await s.line()


async def test_a_client_that_takes_nothing_is_cut_off(scene: Scenes) -> None:
    script = [stream_head(), Flood(64 * MIB)]
    async with scene(script, provider='send_timeout = "300ms"') as s:
        async with s.client(receive_buffer=4096) as client:
            await client.send(chat(stream=True))
            await s.upstream.closed()
            await client.read_rest()
            assert client.was_reset
        assert (await s.line())["error"] == "client.timeout"


# Endings.


async def test_a_broken_stream_is_seen_to_be_broken(scene: Scenes) -> None:
    async with scene([stream_head(), sse("one"), Cut()]) as s:
        await s.broke(await s.chat(stream=True), b"data: one\n\n", "provider.broke")


async def test_the_official_sdk_sees_a_stream_break(authority: Authority, pair: Pair) -> None:
    part = '{"id":"c","object":"chat.completion.chunk","choices":[]}'
    provider = '[provider.fake]\ntype = "vllm"\nurl = "%s/v1"'
    async with Upstream([stream_head(), sse(part), Sleep(0.02), Cut()]) as upstream:
        config = listening(pair, behind=provider % upstream.url)
        async with (
            serve(config, overrides=AS_CONFIGURED) as url,
            sdk(url, authority.client()) as client,
        ):
            stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
            with pytest.raises(openai.APIError, match="was cut off"):
                async for _ in stream:
                    pass


async def test_a_body_without_an_end_of_its_own_is_cut_and_not_closed(scene: Scenes) -> None:
    old = raw(LENGTH, BODY, line=f"POST {CHAT} HTTP/1.0")
    script = [stream_head(), sse("one"), Sleep(0.05), Cut()]
    async with scene(script) as s, s.client() as client:
        await client.send(old)
        await client.read_head()
        await client.read_rest()
        assert not client.close_notify
        assert not client.clean_end


async def test_a_good_end_is_told_at_once_and_waits_for_nobody(scene: Scenes) -> None:
    async with scene(answer()) as s, s.client() as client:
        await client.send(chat()[:-2] + b"}}" if False else CLOSING)
        assert (await client.read_head()).status == 200
        assert await client.read_body() == b"{}"
        # This client does not answer the close; the connection is gone all the same.
        await until(lambda: not open_connections(s))
        assert await client.read_some() == b""
        assert client.close_notify
        assert not client.was_reset


async def test_idle_connections_do_not_delay_the_end(authority: Authority, pair: Pair) -> None:
    async with (
        AsyncExitStack() as clients,
        serve(listening(pair), overrides=AS_CONFIGURED) as url,
    ):
        for _ in range(3):
            client = RawClient(url, tls=authority.client())
            await clients.enter_async_context(client)
            await client.send(ASK)
            await client.read_head()
            await client.read_body()
        opening = await clients.enter_async_context(RawClient(url.replace("https", "http")))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await url.app.drain(5.0) == 0
        assert time.monotonic() - began < 4
        # Who has not even finished its handshake is cut off, too.
        assert await opening.read_some() == b""


# Who gets in.


async def test_a_certificate_is_required(
    authority: Authority, pair: Pair, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    config = listening(pair, f', client_ca = "{clients.file}"')
    async with serve(config, overrides=AS_CONFIGURED) as url:
        async with sdk(url, authority.client(clients.issue("app-1"))) as client:
            assert await client.chat.completions.create(model="mock", messages=USER)
        assert (await get(url.admin, authority.client(clients.issue("probe"))))[0] == 200
        for context, alert in (
            (authority.client(), "CERTIFICATE_REQUIRED"),
            (authority.client(others.issue()), "UNKNOWN_CA"),
            (authority.client(clients.issue(days=-1)), "CERTIFICATE_EXPIRED"),
        ):
            async with RawClient(url, tls=context) as refused:
                with pytest.raises(ssl.SSLError, match=alert):
                    await refused.read_some()
            with pytest.raises(ssl.SSLError, match=alert):
                await get(url.admin, context)
        assert "peer did not return a certificate" in log.text
        assert "certificate has expired" in log.text
        assert len(url.exchanges) == 1


@pytest.mark.parametrize("shown", [True, False])
async def test_a_certificate_is_welcome(
    authority: Authority, pair: Pair, tmp_path: Path, shown: bool
) -> None:
    clients = Authority(tmp_path, "clients")
    provider = '[provider.fake]\ntype = "vllm"\nurl = "%s/v1"'
    more = f', client_ca = "{clients.file}", client_certificate = "optional"'
    async with Upstream(Stall()) as upstream:
        config = listening(pair, more, behind=provider % upstream.url)
        async with serve(config, overrides=AS_CONFIGURED) as url:
            context = authority.client(clients.issue("app-1") if shown else None)
            async with RawClient(url, tls=context) as client:
                await client.send(chat())
                await upstream.received()
                [running] = url.app.running
                assert isinstance(running.request, Downstream)
                known = running.request.certificate
                assert shown == (known is not None)
                if known is not None:
                    assert (("commonName", "app-1"),) in known["subject"]


async def test_who_speaks_no_tls_hears_so(pair: Pair, log: pytest.LogCaptureFixture) -> None:
    async with serve(listening(pair), overrides=AS_CONFIGURED) as url:
        for target in (url, url.admin):
            plain = target.replace("https", "http")
            answered = await exchange(plain, ASK)
            assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"this address speaks HTTPS" in answered
            began = time.monotonic()
            assert await exchange(plain, b"SSH-2.0-OpenSSH_9.2\r\n") == b""
            assert time.monotonic() - began < 4
        assert "it speaks plain HTTP" in log.text
        assert url.exchanges == []


async def test_who_says_nothing_does_not_stay(pair: Pair, log: pytest.LogCaptureFixture) -> None:
    config = listening(pair, ', handshake_timeout = "200ms"')
    async with serve(config, overrides=AS_CONFIGURED) as url:
        began = time.monotonic()
        assert await exchange(url.replace("https", "http"), b"\x16\x03\x01") == b""
        assert 0.2 <= time.monotonic() - began < 4
        assert "longer than 0.2 seconds" in log.text


async def test_who_only_looks_whether_somebody_is_there_is_no_news(
    pair: Pair, log: pytest.LogCaptureFixture
) -> None:
    async with serve(listening(pair), overrides=AS_CONFIGURED) as url:
        async with RawClient(url.replace("https", "http")):
            pass
        async with RawClient(url.replace("https", "http")) as client:
            await asyncio.sleep(0.01)
            client.reset()
        await asyncio.sleep(0.05)
    assert log.records == []


async def test_an_old_version_is_refused(authority: Authority, pair: Pair) -> None:
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve(listening(pair), overrides=AS_CONFIGURED) as url:
        assert (await get(url.admin, old))[0] == 200
    async with serve(listening(pair, ', min_version = "1.3"'), overrides=AS_CONFIGURED) as url:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await get(url.admin, old)
        assert (await get(url.admin, authority.client()))[0] == 200


# Certificates that change.


@pytest.mark.usefixtures("watchful")
async def test_a_new_certificate_is_shown_and_streams_go_on(
    authority: Authority, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """As Kubernetes does it: the files are links through a folder that is swapped."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        issued = authority.issue()
        (tmp_path / version / "tls.crt").write_bytes(issued.certificate.read_bytes())
        (tmp_path / version / "tls.key").write_bytes(issued.key.read_bytes())
    (tmp_path / "data").symlink_to("one")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"data/{name}")
    one, two = (Pair(tmp_path / v / "tls.crt", tmp_path / v / "tls.key") for v in ("one", "two"))
    mounted = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    provider = '[provider.fake]\ntype = "vllm"\nurl = "%s/v1"'
    going = asyncio.Event()

    async def until_told(_: object) -> None:
        await going.wait()

    context = authority.client()
    async with Upstream([stream_head(), sse("one"), until_told, sse("two"), END]) as upstream:
        config = listening(mounted, behind=provider % upstream.url)
        async with (
            serve(config, overrides=AS_CONFIGURED) as url,
            RawClient(url, tls=context) as client,
        ):
            await client.send(chat(stream=True))
            await client.read_head()
            await client.read_until(b"one")
            assert await certificate_of(url, context) == der(one)
            (tmp_path / "new").symlink_to("two")
            os.replace(tmp_path / "new", tmp_path / "data")
            await until(lambda: "read again" in log.text)
            for target in (url, url.admin):
                await until_shown(target, context, two)
            going.set()
            assert b"two" in await client.read_body()
            assert client.clean_end
    assert {record.levelname for record in log.records} == {"INFO"}


async def until_shown(url: str, context: ssl.SSLContext, pair: Pair) -> None:
    """Connect until a certificate is shown."""
    for _ in range(1000):
        shown = await certificate_of(url, context)
        if shown == der(pair):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was never shown")


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("bad", ["foreign key", "expired", "no PEM", "gone"])
async def test_what_cannot_be_used_leaves_the_old_one_at_work(
    authority: Authority, pair: Pair, bad: str, log: pytest.LogCaptureFixture
) -> None:
    context, old = authority.client(), der(pair)
    async with serve(listening(pair), overrides=AS_CONFIGURED) as url:
        if bad == "foreign key":
            pair.key.write_bytes(authority.issue().key.read_bytes())
        elif bad == "expired":
            pair.replace(authority.issue(days=-1))
        elif bad == "no PEM":
            pair.certificate.write_text("nothing of the kind")
        else:
            pair.certificate.unlink()
        await until(lambda: "what was read before stays in use" in log.text)
        assert await certificate_of(url, context) == old
        with pytest.raises(ConfigError) as raised:
            await url.app.reload()
        assert any("[server.listen.tls." in problem for problem in raised.value.problems)
        assert await certificate_of(url, context) == old
        new = authority.issue()
        pair.replace(new)
        await until_shown(url, context, new)


async def test_a_reload_makes_a_listener_speak_it_and_forget_it(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    context = authority.client()
    port = free_port()
    plain, secure = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"
    async with serve(listening(pair, port=port), overrides=AS_CONFIGURED) as url:
        assert url == secure
        clients = Authority(tmp_path, "clients")
        async with RawClient(secure, tls=context) as kept:
            await kept.send(ASK)
            await kept.read_head()
            await kept.read_body()
            await url.reload(f'[server]\nlisten = "127.0.0.1:{port}"\nadmin_listen = "none"')
            assert url.app.data_urls == [plain]
            assert (await exchange(plain, CLOSING)).startswith(b"HTTP/1.1 200 ")
            # Who is connected stays so, as it is.
            await kept.send(ASK)
            assert (await kept.read_head()).status == 200
            await url.reload(listening(pair, f', client_ca = "{clients.file}"', port=port))
            async with RawClient(secure, tls=context) as refused:
                with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                    await refused.read_some()
        assert len(url.exchanges) == 3


async def test_the_key_may_be_a_secret(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue()
    text = pair.key.read_text()
    for key in ("env:TLS_KEY", f"exec:cat {pair.key}", f"file:{pair.key}"):
        listener = f'{{ address = "127.0.0.1:0", tls = {{ certificate = "{pair.certificate}", '
        listener += f'key = "{key}" }} }}'
        config = f'[server]\nlisten = {listener}\nadmin_listen = "none"'
        async with serve(config, environ={"TLS_KEY": text}, overrides=AS_CONFIGURED) as url:
            assert await certificate_of(url, authority.client()) == der(pair)
            assert "PRIVATE" not in str(url.lines)
