"""HTTP/1 as it comes on the wire: what two parsers could read differently reaches no provider."""

import asyncio
import re
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Iterable, Iterator

import pytest

from proxy import front, server
from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.tasks import spawn
from proxy.testing import (
    END,
    Cut,
    Send,
    Sleep,
    Stall,
    answer,
    chunks,
    exchange,
    request,
    sse,
    stream_head,
)
from tests.e2e.conftest import (
    CHAT,
    Answer,
    Scene,
    Scenes,
    chat,
    open_connections,
    read_answer,
    read_error,
    until,
)

elsewhere = pytest.mark.parametrize("more", ["", "te: trailers\n"], ids=["ordinary", "other"])
"""Two parsers read requests: ordinary ones are for the one, what adds `more` for the other."""

BODY = b'{"model":"m"}'
LENGTH = f"content-length: {len(BODY)}\n"
CHUNKED = "transfer-encoding: chunked\n"
CHUNKS = encode_chunk(BODY) + LAST_CHUNK
SMUGGLED = b"GET /v1/files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


def raw(
    fields: str = LENGTH,
    body: bytes = BODY,
    *,
    line: str = f"POST {CHAT} HTTP/1.1",
    host: str = "host: x\n",
) -> bytes:
    """A request, spelled out; the lines of its head end in CRLF."""
    return f"{line}\n{host}{fields}\n".replace("\n", "\r\n").encode("latin-1") + body


async def check_refused(s: Scene, received: bytes, status: int = 400) -> None:
    """Check that all that came is one refusal, the last of its connection, and logged in a line."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    code = read_error(body)["code"]
    line = await s.line()
    assert (line["status"], line["error"]) == (status, code)
    assert code in ("client.bad_request", "client.too_large", "client.unsupported")
    assert s.upstream.requests == []


# What must be refused (RFC 9112; RFC 9110 5.5, 7.2). Each comes with another request behind it,
# which nobody may see.

MALFORMED: dict[str, bytes] = {
    # Lengths.
    "two lengths": raw(LENGTH + "content-length: 5\n"),
    "two equal lengths": raw(LENGTH + LENGTH),
    "a list of lengths": raw("content-length: 13, 13\n"),
    "a signed length": raw("content-length: +13\n"),
    "a negative length": raw("content-length: -13\n"),
    "a hexadecimal length": raw("content-length: 0xd\n"),
    "a length with a space": raw("content-length: 1 3\n"),
    "a length with an underscore": raw("content-length: 1_3\n"),
    "a length in other digits": raw("content-length: \xb9\xb3\n"),
    "a fraction": raw("content-length: 13.0\n"),
    "an empty length": raw("content-length:\n"),
    "a length without end": raw(f"content-length: {'9' * 30}\n"),
    "a length that overflows": raw("content-length: 18446744073709551629\n"),
    "a length with a space before its colon": raw("content-length : 13\n"),
    # Transfer codings.
    "a length and chunks": raw(LENGTH + CHUNKED, CHUNKS),
    "chunks and a length": raw(CHUNKED + LENGTH, CHUNKS),
    "an empty coding": raw("transfer-encoding:\n", CHUNKS),
    "identity": raw("transfer-encoding: identity\n"),
    "another coding": raw("transfer-encoding: gzip\n"),
    "xchunked": raw("transfer-encoding: xchunked\n", CHUNKS),
    "chunked before another": raw("transfer-encoding: chunked, gzip\n", CHUNKS),
    "chunked behind another": raw("transfer-encoding: gzip, chunked\n", CHUNKS),
    "chunked twice": raw("transfer-encoding: chunked, chunked\n", CHUNKS),
    "chunked and nothing": raw("transfer-encoding: chunked,\n", CHUNKS),
    "nothing and chunked": raw("transfer-encoding: , chunked\n", CHUNKS),
    "two codings": raw(CHUNKED + CHUNKED, CHUNKS),
    "two different codings": raw(CHUNKED + "transfer-encoding: identity\n", CHUNKS),
    "a quoted coding": raw('transfer-encoding: "chunked"\n', CHUNKS),
    "a coding with a parameter": raw("transfer-encoding: chunked;q=1\n", CHUNKS),
    "a coding behind a vertical tab": raw("transfer-encoding: \x0bchunked\n", CHUNKS),
    "a coding with a NUL": raw("transfer-encoding: chunked\0\n", CHUNKS),
    "a folded coding": raw("transfer-encoding:\n chunked\n", CHUNKS),
    "a coding with a space before its colon": raw("transfer-encoding : chunked\n", CHUNKS),
    "an indented coding": raw(LENGTH + " transfer-encoding: chunked\n", CHUNKS),
    "chunks in HTTP/1.0": raw(CHUNKED, CHUNKS, line=f"POST {CHAT} HTTP/1.0"),
    # Hosts.
    "no host": raw(host=""),
    "two hosts": raw("host: y\n" + LENGTH),
    # Fields.
    "a field without a colon": raw(LENGTH + "xyz\n"),
    "a field without a name": raw(LENGTH + ": x\n"),
    "a name with a space": raw(LENGTH + "x y: z\n"),
    "a name with a NUL": raw(LENGTH + "x\0: y\n"),
    "a name with a bracket": raw(LENGTH + "x(: y\n"),
    "a name that is not ASCII": raw(LENGTH + "\xe9: y\n"),
    "a folded field": raw(LENGTH + "x: y\n z\n"),
    "a value with a NUL": raw(LENGTH + "x: y\0z\n"),
    "a value with a CR": raw(LENGTH + "x: y\rz: 1\n"),
    "a value with an escape": raw(LENGTH + "x: \x1b[2J\n"),
    "a value with a DEL": raw(LENGTH + "x: \x7f\n"),
    "bare LFs": raw().replace(b"\r\n", b"\n"),
    "bare CRs": raw().replace(b"\r\n", b"\r"),
    "one bare LF": raw(LENGTH + "x: y\n").replace(b"y\r\n", b"y\n"),
    # Request lines.
    "HTTP/0.9": raw(line=f"POST {CHAT}"),
    "HTTP/1.2": raw(line=f"POST {CHAT} HTTP/1.2"),
    "HTTP/1.10": raw(line=f"POST {CHAT} HTTP/1.10"),
    "HTTP/2.0": raw(line=f"POST {CHAT} HTTP/2.0"),
    "http/1.1": raw(line=f"POST {CHAT} http/1.1"),
    "HTTPS/1.1": raw(line=f"POST {CHAT} HTTPS/1.1"),
    "tabs in the line": raw(line=f"POST\t{CHAT}\tHTTP/1.1"),
    "a space at the end of the line": raw(line=f"POST {CHAT} HTTP/1.1 "),
    "a space before the line": b" " + raw(),
    "a method in small letters": raw(line=f"post {CHAT} HTTP/1.1"),
    "a method nobody knows": raw(line=f"FROB {CHAT} HTTP/1.1"),
    "a method that is no token": raw(line=f"PO(ST {CHAT} HTTP/1.1"),
    "a method without end": raw(line=f"{'P' * 300} {CHAT} HTTP/1.1"),
    "a space in the target": raw(line="POST /v1/files/a b HTTP/1.1"),
    "a NUL in the target": raw(line="POST /v1/files/\0 HTTP/1.1"),
    "an escape in the target": raw(line="POST /v1/files/\x1b[2J HTTP/1.1"),
    "a target that is not ASCII": raw(line="POST /v1/files/\xe9 HTTP/1.1"),
    "a relative target": raw(line="POST v1/files HTTP/1.1"),
    "a target without a path": raw(line="POST ?x HTTP/1.1"),
    "an absolute target without a host": raw(line="POST http:///v1/files HTTP/1.1"),
    "only a host as target": raw("", b"", line="GET x:443 HTTP/1.1"),
    # Other protocols.
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + raw(),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_head(scene: Scenes, sent: bytes) -> None:
    head, border, rest = (sent + SMUGGLED).partition(b"\r\n\r\n")
    for pieces in ([sent], [sent + SMUGGLED], [head + border, rest]):
        async with scene() as s:
            await check_refused(s, await exchange(s.url, pieces, pause=0.01, timeout=5))


BAD_CHUNKS: dict[str, bytes] = {
    "a prefixed size": b"0xd\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a signed size": b"+d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative size": b"-d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size with an underscore": b"0_d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size behind a space": b" d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size before a space": b"d \r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size that overflows": b"1000000000000000d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "no size": b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "no CRLF behind a chunk": b"d\r\n" + BODY + b"0\r\n\r\n",
    "a chunk too long": b"c\r\n" + BODY + b"\r\n0\r\n\r\n",
    "bare LFs": b"d\n" + BODY + b"\n0\n\n",
    "a bare LF behind a size": b"d\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare LF in an extension": b"d;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare CR in an extension": b"d;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a trailer without a colon": b"d\r\n" + BODY + b"\r\n0\r\nx\r\n\r\n",
    "a length as a trailer": b"d\r\n" + BODY + b"\r\n0\r\ncontent-length: 5\r\n\r\n",
}


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
@pytest.mark.parametrize("sent", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_malformed_chunks(scene: Scenes, sent: bytes, path: str, late: bool) -> None:
    head = raw(CHUNKED, b"", line=f"POST {path} HTTP/1.1")
    pieces = [head, sent + SMUGGLED] if late else [head + sent + SMUGGLED]
    async with scene(answer(200, "{}")) as s:
        began = time.monotonic()
        received = await exchange(s.url, pieces, pause=0.02, timeout=5)
        assert time.monotonic() - began < 1
        await check_refused(s, received)


@pytest.mark.parametrize("flood", ["extensions", "an extension", "trailers", "a trailer"])
async def test_chunks_around_which_much_is_said(scene: Scenes, flood: str) -> None:
    much = {
        "extensions": b"1;x=y\r\n{\r\n" * 20_000 + LAST_CHUNK,
        "an extension": b"d;" + b"x" * 200_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
        "trailers": b"d\r\n" + BODY + b"\r\n0\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        "a trailer": b"d\r\n" + BODY + b"\r\n0\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    }
    async with scene() as s:
        pieces = [raw("connection: close\n" + CHUNKED, b""), much[flood]]
        tracemalloc.start()
        try:
            received = await exchange(s.url, pieces, pause=0.02, timeout=5)
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()
        # What is dropped as it comes may be passed over, too.
        assert re.match(rb"HTTP/1\.1 (200|400|431) ", received)
        assert len(s.upstream.requests) <= 1


# What may be taken: then it is one request, well-formed, and what is behind it another.

UNUSUAL: dict[str, bytes] = {
    "a length with zeros before it": raw("content-length: 0000013\n"),
    "a length among spaces": raw("content-length: \t 13 \t\n"),
    "a coding in capitals": raw("TRANSFER-ENCODING: CHUNKED\n", CHUNKS),
    "a name that resembles one": raw(LENGTH + "transfer_encoding: chunked\n"),
    "extensions": raw(CHUNKED, b'd;a=b;c="d"\r\n' + BODY + b"\r\n0;e\r\n\r\n"),
    "trailers": raw(CHUNKED, b"d\r\n" + BODY + b"\r\n0\r\nx: y\r\n\r\n"),
    "zeros before a size": raw(CHUNKED, b"0000d\r\n" + BODY + b"\r\n000\r\n\r\n"),
    "empty lines first": b"\r\n\r\n" + raw(),
    "an absolute target": raw(line=f"POST http://x{CHAT} HTTP/1.1"),
    "an absolute target elsewhere": raw(line=f"POST HTTPS://evil.test:1{CHAT} HTTP/1.1"),
    "a query": raw(line=f"POST {CHAT}?x=y HTTP/1.1"),
    "many fields": raw(LENGTH + "".join(f"x-{n}: y\n" for n in range(100))),
    "a value that is not ASCII": raw(LENGTH + "x: \xe9\n"),
    "an expectation of what came": raw(LENGTH + "expect: 100-continue\n"),
}


@pytest.mark.parametrize("sent", UNUSUAL.values(), ids=UNUSUAL)
async def test_what_is_unusual_and_right(scene: Scenes, sent: bytes) -> None:
    async with scene() as s, s.client() as client:
        await client.send(sent + SMUGGLED)
        for _ in range(2):
            said = await read_answer(client)
            assert (said.status, said.body) == (200, b"{}")
        assert [received.body for received in s.upstream.requests] == [BODY, b""]
        targets = [received.target for received in s.upstream.requests]
        assert targets == [CHAT, "/v1/files/smuggled"]
        assert s.upstream.requests[0].header("content-length") == "13"


async def test_where_a_request_is_cut_does_not_matter(scene: Scenes) -> None:
    for sent in (raw(), raw(CHUNKED, CHUNKS), UNUSUAL["an absolute target"]):
        async with scene() as s, s.client() as client:
            for at in range(1, len(sent), 3):
                await client.send([sent[:at], sent[at:]], pause=0.001)
                assert (await read_answer(client)).status == 200
            assert {received.body for received in s.upstream.requests} == {BODY}
            assert {received.target for received in s.upstream.requests} == {CHAT}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://x?/v1/files/f", "/"),
        ("http://x#/v1/files/f", None),
        ("http://x", "/"),
        ("ftp://x/v1/files/f", None),
    ],
)
async def test_an_absolute_target_has_the_path_that_everybody_reads(
    scene: Scenes, target: str, path: str | None
) -> None:
    async with scene() as s:
        said = await s.ask(request(target, method="GET"))
        if path is None:
            await s.refused(said, 400, "client.bad_request")
        else:
            await s.refused(said, 404, "proxy.no_route", message=f"GET {path}")
            assert (await s.line())["path"] == path
        assert s.upstream.connections == 0


@pytest.mark.parametrize(
    "fields",
    [
        "connection: upgrade\nupgrade: websocket\nsec-websocket-version: 13\n",
        "connection: upgrade, http2-settings\nupgrade: h2c\nhttp2-settings: AAMAAABk\n",
    ],
    ids=["websocket", "h2c"],
)
async def test_an_upgrade_is_not_made(scene: Scenes, fields: str) -> None:
    async with scene() as s:
        received = await exchange(s.url, raw(LENGTH + fields) + SMUGGLED)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.count(b"HTTP/1.1 ") == 1
        [sent] = s.upstream.requests
        assert (sent.body, sent.header("upgrade"), sent.header("connection")) == (BODY, None, None)


# What goes to the provider, and what comes back from it.


def upstream_lines(s: Scene) -> set[str]:
    """The names of the fields that the provider got."""
    [received] = s.upstream.requests
    return {name for name, _ in received.headers}


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


def parse(received: bytes) -> Answer:
    """One whole response with a length."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    fields = {name.decode(): value.decode("latin-1") for name, _, value in lines}
    return Answer(int(head[9:12]), fields, body, int(fields["content-length"]) == len(body))


async def test_fields_that_a_provider_sends_twice_arrive_twice(scene: Scenes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nwarning: 1\r\nwarning: 2\r\n\r\n{}"
    async with scene(Send(head)) as s, s.client() as client:
        await client.send(chat())
        fields = (await client.read_head()).headers
        assert [value for name, value in fields if name == b"warning"] == [b"1", b"2"]


# Limits of the head.

LARGE: dict[str, bytes] = {
    "a target": raw(line=f"POST /v1/files/{'x' * 40_000} HTTP/1.1"),
    "a value": raw(LENGTH + f"x: {'y' * 40_000}\n"),
    "a name": raw(LENGTH + f"{'x' * 40_000}: y\n"),
    "a cookie": raw(LENGTH + f"cookie: {'y' * 40_000}\n"),
    "in all": raw(LENGTH + "".join(f"x-{n}: {'y' * 20_000}\n" for n in range(4))),
    "many fields": raw(LENGTH + "x: y\n" * 200),
}


@pytest.mark.parametrize("size", [0, 1400, 20_000], ids=["at once", "in packets", "in pieces"])
@pytest.mark.parametrize("sent", LARGE.values(), ids=LARGE)
async def test_a_head_that_is_too_large(scene: Scenes, sent: bytes, size: int) -> None:
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)] if size else [sent]
    async with scene() as s:
        await check_refused(s, await exchange(s.url, pieces, pause=0.001), 431)


@pytest.mark.parametrize(
    "endless",
    [b"POST ", raw()[: -len(BODY) - 2] + b"x: ", raw()[: -len(BODY) - 2]],
    ids=["line", "value", "fields"],
)
async def test_a_head_without_end_costs_little(scene: Scenes, endless: bytes) -> None:
    more = b"x: y\r\n" * 2000 if endless.endswith(b"\r\n") else b"x" * 12_000
    async with scene() as s:
        tracemalloc.start()
        try:
            received = await exchange(s.url, [endless, *[more] * 100], pause=0.0, timeout=5)
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()
        await check_refused(s, received, 431)


async def test_a_head_as_large_as_the_limits(scene: Scenes) -> None:
    fields = "".join(f"x-{n}: {'y' * 30_000}\n" for n in range(2))
    async with scene() as s:
        assert (await s.ask(raw(LENGTH + fields))).status == 200
        assert (await s.ask(raw(LENGTH + "x: y\n" * 120))).status == 200


# Slowness.

IMPATIENT = '[server]\nhead_timeout = "200ms"\nbody_timeout = "200ms"\nkeepalive_timeout = "300ms"'


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks at its deadlines often."""
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)


def dripped(data: bytes) -> Iterator[bytes]:
    """A byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("sent", [b"P", b"POST / HTTP/1.1\r\n", raw()[: -len(BODY) - 2]])
async def test_a_head_that_does_not_end(scene: Scenes, sent: bytes) -> None:
    async with scene(server=IMPATIENT) as s:
        began = time.monotonic()
        said = parse(await exchange(s.url, sent))
        assert 0.2 <= time.monotonic() - began < 2
        await s.refused(said, 408, "client.timeout", message="0.2 s")


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("first", [b"", raw()], ids=["first", "second"])
async def test_a_head_byte_by_byte(scene: Scenes, first: bytes) -> None:
    async with scene(server=IMPATIENT) as s:
        began = time.monotonic()
        received = await exchange(s.url, [first, *dripped(raw())], pause=0.02)
        assert 0.2 <= time.monotonic() - began < 2
        last = received[received.rindex(b"HTTP/1.1 ") :]
        assert parse(last).error["code"] == "client.timeout"
        assert received.count(b"HTTP/1.1 ") == len(await s.lines(2 if first else 1))


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize(
    "sent",
    [
        raw()[:-5],
        raw(LENGTH + "te: trailers\n")[:-5],
        raw(CHUNKED, b"d\r\n{"),
        raw(CHUNKED, b"d"),
        raw("content-length: 9\n", b""),
    ],
    ids=["length", "other", "in a chunk", "in a size", "nothing"],
)
async def test_a_body_that_does_not_end(scene: Scenes, sent: bytes) -> None:
    async with scene(server=IMPATIENT) as s:
        began = time.monotonic()
        async with s.client() as client:
            await client.send(sent)
            said = await read_answer(client)
        assert 0.2 <= time.monotonic() - began < 2
        await s.refused(said, 408, "client.timeout")
        assert said.fields["connection"] == "close"


@pytest.mark.usefixtures("attentive")
@elsewhere
async def test_a_body_byte_by_byte(scene: Scenes, more: str) -> None:
    sent = [raw("content-length: 5000\n" + more, b""), *dripped(b'{"model":"' + b"x" * 1000)]
    async with scene(server=IMPATIENT) as s, s.client() as client:
        began = time.monotonic()
        sending = spawn(client.send(sent, pause=0.01), "send")
        said = await read_answer(client)
        assert 0.2 <= time.monotonic() - began < 2
        sending.cancel()
        await asyncio.wait([sending])
        await s.refused(said, 408, "client.timeout")


@pytest.mark.usefixtures("attentive")
@elsewhere
async def test_a_body_that_is_slow_but_comes(scene: Scenes, more: str) -> None:
    body = b'{"model":"m","x":"' + b"x" * 200_000 + b'"}'
    pieces = [body[at : at + 20_000] for at in range(0, len(body), 20_000)]
    async with scene(server=IMPATIENT) as s, s.client() as client:
        await client.send(raw(f"content-length: {len(body)}\n" + more, b""))
        await client.send(pieces, pause=0.05)
        assert (await read_answer(client)).status == 200
        assert s.upstream.requests[0].body == body


async def test_an_upload_that_stops(scene: Scenes) -> None:
    async with scene(Stall(), server=IMPATIENT) as s:
        said = await s.ask(raw(CHUNKED, b"d\r\n{", line="POST /v1/files HTTP/1.1"))
        await s.refused(said, 408, "client.timeout")
        await s.upstream.closed()


@pytest.mark.usefixtures("attentive")
async def test_connections_that_ask_nothing_are_closed(scene: Scenes) -> None:
    async with scene(server=IMPATIENT) as s:
        async with s.client() as fresh, s.client() as used:
            await used.send(raw())
            assert (await read_answer(used)).status == 200
            assert await fresh.read_rest() == await used.read_rest() == b""
        assert len(await s.lines(1)) == 1


@pytest.mark.usefixtures("attentive")
@elsewhere
async def test_a_client_that_never_takes_its_answer_is_cut_off_in_the_end(
    scene: Scenes, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    monkeypatch.setattr(server, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(front, "CLOSE_SECONDS", 0.3)
    async with (
        scene(answer(200, b"x" * 150_000), server=IMPATIENT) as s,
        s.client(receive_buffer=1024) as client,
    ):
        await client.send(raw(LENGTH + more))
        await s.lines(1)
        await until(lambda: not open_connections(s))
        assert open_connections(s) == []
        assert len(await client.read_rest()) < 150_000


# Several requests.


@elsewhere
async def test_pipelined_requests_are_answered_in_order(scene: Scenes, more: str) -> None:
    count = 1000
    headers = dict([more.strip().split(": ")] if more else [])
    sent = [request(CHAT, {"model": f"m{n}"}, headers=headers) for n in range(count)]
    async with scene() as s:
        async with s.client() as client, s.client() as other:
            sending = asyncio.gather(client.send(b"".join(sent)))
            latencies = []
            for turn in range(count):
                assert (await read_answer(client)).fields["x-llm-proxy-model"] == f"m{turn}"
                if turn % 100 == 0:
                    began = time.monotonic()
                    await other.send(raw())
                    assert (await read_answer(other)).status == 200
                    latencies.append(time.monotonic() - began)
            await sending
        assert statistics.median(latencies) < 0.1
        await s.lines(count + len(latencies))


async def in_turn(awaitables: Iterable[Awaitable[None]]) -> None:
    for awaitable in awaitables:
        await awaitable


@pytest.mark.usefixtures("attentive")
@elsewhere
async def test_what_waits_behind_a_request_is_bounded(scene: Scenes, more: str) -> None:
    # A client that sends and sends behind a request that takes its time: it is not read for ever,
    # and if it leaves, that is seen all the same.
    async with scene(Stall()) as s:
        tracemalloc.start()
        try:
            async with s.client(timeout=1.0) as client:
                await client.send(raw(LENGTH + more))
                await s.upstream.received()
                endless = (client.send(raw(LENGTH + more) * 1000) for _ in range(4096))
                with pytest.raises(TimeoutError):
                    await in_turn(endless)
                assert tracemalloc.get_traced_memory()[0] < 8 * 1024 * 1024
                assert len(s.upstream.requests) == 1
                client.reset()
        finally:
            tracemalloc.stop()
        await s.upstream.closed()
        assert (await s.line())["error"] == "client.left"


@elsewhere
async def test_garbage_behind_a_request_takes_nothing_from_it(scene: Scenes, more: str) -> None:
    async with scene([Sleep(0.05), answer(200, '"mine"')]) as s:
        sent = [raw(LENGTH + more), b"\0garbage\r\n\r\n"]
        received = await exchange(s.url, sent, pause=0.01)
        first, second = received.split(b'"mine"')
        assert first.startswith(b"HTTP/1.1 200 ")
        assert second == b"" or read_error(second.partition(b"\r\n\r\n")[2])
        assert len(s.upstream.requests) == 1


@elsewhere
async def test_a_connection_lives_on_after_a_refusal(scene: Scenes, more: str) -> None:
    async with scene() as s, s.client() as client:
        bad, good = raw("content-length: 1\n" + more, b"{"), raw(LENGTH + more)
        for status, sent in ((400, bad), (200, good)) * 3:
            await client.send(sent)
            said = await read_answer(client)
            assert (said.status, said.fields.get("connection")) == (status, None)
        await s.lines(6)


async def test_a_response_before_the_request_is_whole_closes_the_connection(
    scene: Scenes,
) -> None:
    # What is left of the body must not be read as a request.
    async with scene(server='[server]\nmax_body_size = "1KiB"') as s:
        sent = request(CHAT, headers={"content-length": "2000"})
        body = SMUGGLED + b"x" * (2000 - len(SMUGGLED))
        received = await exchange(s.url, [sent, body + SMUGGLED], pause=0.02)
        assert received.count(b"HTTP/1.1 ") == 1
        await check_refused(s, received, 413)


# Expectations.


@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
async def test_a_client_that_asks_whether_to_go_on_is_told_so(scene: Scenes, path: str) -> None:
    async with scene() as s, s.client() as client:
        await client.send(raw(LENGTH + "expect: 100-continue\n", b"", line=f"POST {path} HTTP/1.1"))
        assert await client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(BODY)
        assert (await read_answer(client)).status == 200
        assert s.upstream.requests[0].body == BODY
        assert s.upstream.requests[0].header("expect") is None


async def test_a_client_of_http_1_0_is_not_told_to_go_on(scene: Scenes) -> None:
    async with scene() as s, s.client() as client:
        line = f"POST {CHAT} HTTP/1.0"
        head = raw(LENGTH + "expect: 100-continue\n", b"", line=line)
        await client.send([head, BODY], pause=0.05)
        assert (await read_answer(client)).status == 200


async def test_an_expectation_that_nobody_meets(scene: Scenes) -> None:
    async with scene() as s:
        said = await s.ask(raw(LENGTH + "expect: 200-ok\n", b""))
        await s.refused(said, 417, "client.unsupported", message="200-ok")


# HTTP/1.0, and HEAD.


def old(fields: str = LENGTH, path: str = CHAT) -> bytes:
    """A request of HTTP/1.0."""
    return raw(fields, b'{"model":"m"}', line=f"POST {path} HTTP/1.0", host="")


async def test_http_1_0_closes_unless_asked_not_to(scene: Scenes) -> None:
    async with scene() as s:
        received = await exchange(s.url, old())
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in received
        async with s.client() as client:
            for _ in range(2):
                await client.send(old(LENGTH + "connection: keep-alive\n"))
                said = await read_answer(client)
                assert (said.body, said.fields["connection"]) == (b"{}", "keep-alive")


@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
async def test_a_stream_to_http_1_0_ends_with_the_connection(scene: Scenes, path: str) -> None:
    async with (
        scene([stream_head(), sse("one", "two"), Sleep(0.02), END]) as s,
        s.client() as client,
    ):
        await client.send(old(LENGTH + "connection: keep-alive\n", path))
        said = await read_answer(client)
        assert "transfer-encoding" not in said.fields
        assert (said.body, said.whole) == (b"data: one\n\ndata: two\n\n", True)


@pytest.mark.parametrize("path", [CHAT, "/v1/files"], ids=["read", "passed through"])
@pytest.mark.parametrize("ending", [Cut(), Send(b"zz\r\n")], ids=["cut", "broken"])
async def test_a_stream_to_http_1_0_that_breaks_does_not_end_well(
    scene: Scenes, ending: Send | Cut, path: str
) -> None:
    async with scene([stream_head(), chunks(b"data: o"), Sleep(0.02), ending, Stall()]) as s:
        async with s.client() as client:
            await client.send(old(path=path))
            said = await read_answer(client)
            assert said.body.startswith(b"data: o") or said.body == b""
            assert not said.whole
            assert client.was_reset
        assert (await s.line())["error"] == "provider.broke"


async def test_head_has_no_body(scene: Scenes) -> None:
    for script in (answer(200, ""), Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")):
        async with scene(script) as s, s.client() as client:
            for _ in range(2):
                await client.send(request("/v1/files/f", method="HEAD"))
                said = await read_answer(client, "HEAD")
                assert (said.status, said.body) == (200, b"")
            await client.send(request("/nope", method="HEAD"))
            said = await read_answer(client, "HEAD")
            assert (said.status, said.body) == (404, b"")
            assert said.fields["x-llm-proxy-error"] == "proxy.no_route"
            assert int(said.fields["content-length"]) > 0
            assert s.upstream.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_passes_through(scene: Scenes, status: int) -> None:
    async with (
        scene(Send(b"HTTP/1.1 %d Fine\r\netag: x\r\n\r\n" % status)) as s,
        s.client() as client,
    ):
        for _ in range(2):
            await client.send(request("/v1/files/f", method="GET"))
            head = await client.read_head("GET")
            assert head.status == status
            assert not {b"transfer-encoding", b"content-length"} & {n for n, _ in head.headers}
            assert await client.read_body() == b""
