"""HTTP/1 as it comes on the wire: what two parsers could read differently reaches no provider."""

import re
import tracemalloc

import pytest

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing import (
    answer,
    exchange,
    request,
)
from tests.e2e.conftest import (
    BODY,
    CHAT,
    LENGTH,
    Scenes,
    check_refused,
    elsewhere,
    raw,
    read_answer,
)

CHUNKED = "transfer-encoding: chunked\n"
CHUNKS = encode_chunk(BODY) + LAST_CHUNK
SMUGGLED = b"GET /v1/files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


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
        received = await exchange(s.url, pieces, pause=0.02)
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
        query = "?x=y" if b"?x=y" in sent else ""
        assert targets == [CHAT + query, "/v1/files/smuggled"]
        assert s.upstream.requests[0].header("content-length") == "13"


async def test_where_a_request_is_cut_does_not_matter(scene: Scenes) -> None:
    for sent in (raw(), raw(CHUNKED, CHUNKS), UNUSUAL["an absolute target"]):
        async with scene() as s:
            for at in range(1, len(sent), 3):
                async with s.client() as client:
                    # Cut before and behind what is pipelined, too.
                    await client.send(
                        [sent + sent[:at], sent[at:] + sent[:-1], sent[-1:]], pause=0.001
                    )
                    for _ in range(3):
                        assert (await read_answer(client)).status == 200
            assert {received.body for received in s.upstream.requests} == {BODY}
            assert {received.target for received in s.upstream.requests} == {CHAT}


@elsewhere
async def test_a_head_that_resembles_the_last_one_is_not_taken_for_it(
    scene: Scenes, more: str
) -> None:
    def spelled(turn: int) -> tuple[str, bytes, bytes]:
        """A request that differs little from turn to turn, in another place each time."""
        project = f"project-{turn // 3}"
        body = b'{"model":"m%d"}' % (turn % 2 * 10 ** (turn % 5))
        length = "Content-Length" if turn % 7 == 6 else "content-length"
        fields = f"openai-project: {project}\n{length}: {len(body)}\nx-turn: {turn // 5}\n"
        return project, body, raw(fields + more, body)

    async with scene() as s, s.client() as client:
        for turn in range(60):
            project, body, sent = spelled(turn)
            await client.send(sent)
            assert (await read_answer(client)).status == 200
            received = s.upstream.requests[-1]
            assert (received.header("openai-project"), received.body) == (project, body)


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
