"""Header fields: what a provider gets of the client's, and a client of the provider's."""

import re

import pytest

from proxy.testing import (
    END,
    Send,
    answer,
    exchange,
    request,
    sse,
    stream_head,
)
from tests.e2e.conftest import (
    BODY,
    CHAT,
    LENGTH,
    Scenes,
    chat,
    parse,
    raw,
)


@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
async def test_a_provider_gets_an_allow_list_of_fields(scene: Scenes, path: str) -> None:
    theirs = {
        "accept": "text/event-stream",
        "user-agent": "test",
        "openai-organization": "org",
        "x-stainless-lang": "python",
        "idempotency-key": "k",
        "traceparent": "00-1-2-3",
    }
    ours = {
        "authorization": "Bearer client-secret",
        "x-api-key": "client-secret",
        "api-key": "client-secret",
        "x-goog-api-key": "client-secret",
        "x-llm-proxy-key": "client-secret",
        "proxy-authorization": "Basic client-secret",
        "cookie": "session=client-secret",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-host": "evil.test",
        "x-real-ip": "192.0.2.1",
        "forwarded": "for=192.0.2.1",
        "via": "1.1 evil",
        "te": "trailers",
        "trailer": "x",
        "keep-alive": "timeout=5",
        "proxy-connection": "keep-alive",
        "accept-encoding": "br",
        "x-request-id": "mine",
        "x-secret": "client-secret",
        "origin": "https://evil.test",
        "referer": "https://evil.test",
        "x-http-method-override": "DELETE",
        "host": "evil.test",
        "range": "bytes=0-1",
    }
    if path != CHAT:
        del ours["range"]  # describes a body that we do not read
    config = 'token = "literal:sk-ours-sk-ours"'
    async with scene(provider=config) as s:
        said = await s.ask(request(path, BODY, headers={**theirs, **ours}))
        assert said.status == 200
        [received] = s.upstream.requests
        for name, value in theirs.items():
            assert received.header(name) == value
        expected = {*theirs, "host", "authorization", "content-type", "content-length"}
        assert {name for name, _ in received.headers} == {*expected, "accept-encoding"}
        assert received.header("authorization") == "Bearer sk-ours-sk-ours"
        assert received.header("host") == s.upstream.url.removeprefix("http://")
        assert received.header("accept-encoding") == "identity"
        assert b"client-secret" not in received.head
        assert "client-secret" not in str(s.url.lines)


@pytest.mark.parametrize(
    "connection",
    ["openai-beta", "close, OpenAI-Beta", "keep-alive\nconnection: openai-beta"],
    ids=["alone", "among others", "in a line of its own"],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
async def test_a_field_that_connection_names_is_for_us_alone(
    scene: Scenes, connection: str, path: str
) -> None:
    async with scene() as s:
        fields = f"{LENGTH}connection: {connection}\nopenai-beta: x\nopenai-project: y\n"
        said = await s.ask(raw(fields, line=f"POST {path} HTTP/1.1"))
        assert said.status == 200
        [received] = s.upstream.requests
        assert received.header("openai-beta") is None
        assert received.header("openai-project") == "y"


@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
async def test_a_forwarded_pattern_takes_no_credentials_along(scene: Scenes, path: str) -> None:
    headers = {
        "authorization": "Bearer client",
        "cookie": "client",
        "x-api-key": "client",
        "x-mine": "m",
        "proxy-authorization": "client",
    }
    async with scene(provider='forward_headers = ["*"]') as s:
        assert (await s.ask(request(path, BODY, headers=headers))).status == 200
        [received] = s.upstream.requests
        assert received.header("x-mine") == "m"
        assert b"client" not in received.head


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0", b"\x0b", b"\x1b", b"\x7f", b"\r\nx-evil: 1"])
@pytest.mark.parametrize("name", ["openai-organization", "user-agent", "x-request-id", "x-api-key"])
async def test_no_field_brings_another_along(scene: Scenes, name: str, byte: bytes) -> None:
    async with scene() as s:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{LENGTH.strip()}\r\n{name}: a".encode()
        received = await exchange(s.url, head + byte + b"b\r\nconnection: close\r\n\r\n" + BODY)
        line = await s.line()
        if byte.startswith(b"\r\n"):
            # Two well-formed fields; the second is not one that providers get.
            assert (line["status"], len(s.upstream.requests)) == (200, 1)
        else:
            assert received.startswith(b"HTTP/1.1 400 ")
            assert s.upstream.requests == []
        for sent in s.upstream.requests:
            assert b"evil" not in sent.head
            assert re.fullmatch(rb"(?:[\x20-\x7e]+\r\n)+\r\n", sent.head)


async def test_a_model_is_no_way_into_a_head(scene: Scenes) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, {"model": "modèle 日本 \U0001f600"}))
        assert said.status == 200
        assert said.fields["x-llm-proxy-model"].startswith("modèle ")
        for bad in ("m\r\nx: y", "m\n", "m\0", "m\u2028", "m\x85", "m\x7f"):
            assert (await s.ask(request(CHAT, {"model": bad}))).status == 400
        assert len(s.upstream.requests) == 1


async def test_a_client_gets_no_fields_of_the_providers_connection(scene: Scenes) -> None:
    theirs = {
        "content-type": "application/json",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "keep-alive": "timeout=5",
        "proxy-authenticate": "Basic",
        "trailer": "x",
        "upgrade": "h2c",
        "set-cookie": "__cf_bm=x",
        "alt-svc": 'h3=":443"',
        "strict-transport-security": "max-age=1",
        "x-llm-proxy-route": "forged",
        "x-llm-proxy-error": "forged",
        "openai-processing-ms": "5",
        "x-ratelimit-remaining-requests": "9",
    }
    for script in (answer(200, "{}", theirs), [stream_head(headers=theirs), sse("one"), END]):
        async with scene(script) as s:
            said = await s.chat()
            for name in ("openai-processing-ms", "x-ratelimit-remaining-requests"):
                assert said.fields[name] == theirs[name]
            assert said.fields["x-llm-proxy-route"] == "chat"
            for name in [*theirs][1:9]:
                assert name not in said.fields
            assert "strict-transport-security" not in said.fields
            assert "x-llm-proxy-error" not in said.fields


@pytest.mark.parametrize("byte", ["\r", "\n", "\0", "\x0b", "\x1b", "\x7f", "\r\n y"])
async def test_a_provider_splits_no_response(scene: Scenes, byte: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a{byte}set-cookie: forged\r\n\r\n{{}}"
    async with scene(Send(head.encode("latin-1"))) as s:
        async with s.client() as client:
            await client.send(chat())
            received = await client.read_until(b"}}")
        if byte == "\n":
            # A line that ends in a bare LF is no end of a line.
            assert b"forged" not in received
        assert b"forged" not in received
        await s.refused(parse(received), 502, "provider.bad_response")


async def test_fields_that_a_provider_sends_twice_arrive_twice(scene: Scenes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nwarning: 1\r\nwarning: 2\r\n\r\n{}"
    async with scene(Send(head)) as s, s.client() as client:
        await client.send(chat())
        fields = (await client.read_head()).headers
        assert [value for name, value in fields if name == b"warning"] == [b"1", b"2"]
