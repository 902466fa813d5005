"""Requests that cannot be served: refused in OpenAI's shape, logged in one line, sent to nobody."""

import gzip
import json
import statistics
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing import answer, exchange, request
from tests.e2e.conftest import CHAT, Scene, Scenes, read_answer, read_error

KIB = 1024
CHUNKED = {"transfer-encoding": "chunked"}
DEEP = 100_000


def chunked(body: bytes, size: int = 1000) -> bytes:
    """A body in chunks of so many bytes."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(map(encode_chunk, pieces)) + LAST_CHUNK


# Bodies.

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "words": b"hello",
    "a form": b"model=m&stream=true",
    "half an object": b'{"model":"m"',
    "trailing bytes": b'{"model":"m"} x',
    "a trailing NUL": b'{"model":"m"}\0',
    "two objects": b'{"model":"m"}{"model":"m"}',
    "NaN": b'{"model":"m","temperature":NaN}',
    "Infinity": b'{"model":"m","temperature":-Infinity}',
    "not UTF-8": b'{"model":"m","user":"\xff"}',
    "not UTF-8 in a name": b'{"model":"m","\xff":1}',
    "not UTF-8 in the model": b'{"model":"\xff"}',
    "Latin-1": '{"model":"m","user":"é"}'.encode("latin-1"),
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "an overlong character": b'{"model":"m","user":"\xc0\xaf"}',
    "an encoded surrogate": b'{"model":"m","user":"\xed\xa0\x80"}',
    "a byte order mark": b'\xef\xbb\xbf{"model":"m"}',
    "a lone surrogate": rb'{"model":"m","user":"\ud800"}',
    "a lone surrogate and words": rb'{"model":"m","user":"\ud800 and some words"}',
    "a lone low surrogate": rb'{"model":"m","messages":[{"content":"\udc00"}]}',
    "surrogates the wrong way round": rb'{"model":"m","user":"\udc00\ud800"}',
    "a lone surrogate in a name": rb'{"model":"m","\ud83d":1}',
    "a lone surrogate in the model": rb'{"model":"\ud800"}',
    "arrays without end": b'{"model":"m","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects without end": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a deep model": b'{"model":' + b"[" * DEEP + b"]" * DEEP + b"}",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_a_body_that_is_not_json(scene: Scenes, body: bytes) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, body))
        await s.refused(said, 400, "client.bad_json", type="invalid_request_error")
        assert s.upstream.connections == 0


BAD: dict[str, tuple[bytes, str | None]] = {
    "an array": (b'[{"model":"m"}]', None),
    "arrays without end": (b"[" * DEEP, None),
    "null": (b"null", None),
    "a string": (b'"m"', None),
    "a number": (b"1", None),
    "no model": (b'{"messages":[]}', "model"),
    "a null model": (b'{"model":null}', "model"),
    "an empty model": (b'{"model":""}', "model"),
    "a model that is a number": (b'{"model":1}', "model"),
    "a model of 5000 digits": (b'{"model":' + b"1" * 5000 + b"}", "model"),
    "a model that is an array": (b'{"model":["m"]}', "model"),
    "a model of 1 MB": (b'{"model":"' + b"m" * 1_000_000 + b'"}', "model"),
    "a model with a line end": (rb'{"model":"m\r\nx: y"}', "model"),
    "a model with a NUL": (rb'{"model":"m\u0000"}', "model"),
    "a model with an escape": (rb'{"model":"\u001b[2J"}', "model"),
    "a model with a DEL": (b'{"model":"m\x7f"}', "model"),
    "a model with a line separator": ('{"model":"m\u2028"}'.encode(), "model"),
    "a model that reads backwards": ('{"model":"m\u202e"}'.encode(), "model"),
    "two models": (b'{"model":"m","messages":[],"model":"n"}', "model"),
    "two models that are equal": (b'{"model":"m","model":"m"}', "model"),
    "two models, one in escapes": (rb'{"model":"m","\u006dod\u0065l":"n"}', "model"),
    "two models, one null": (b'{"model":null,"model":"m"}', "model"),
    "two streams": (b'{"model":"m","stream":true,"stream":false}', "stream"),
    "two streams, one in escapes": (rb'{"model":"m","strea\u006D":true,"stream":true}', "stream"),
    "two streams, one null": (b'{"model":"m","stream":true,"stream":null}', "stream"),
    "two stream options": (
        b'{"model":"m","stream_options":{},"stream_options":null}',
        "stream_options",
    ),
    "stream yes": (b'{"model":"m","stream":"yes"}', "stream"),
    "stream 1": (b'{"model":"m","stream":1}', "stream"),
    "stream 1.0": (b'{"model":"m","stream":1.0}', "stream"),
    "stream of 5000 digits": (b'{"model":"m","stream":' + b"1" * 5000 + b"}", "stream"),
    "stream is an object": (b'{"model":"m","stream":{}}', "stream"),
    "stream options are words": (b'{"model":"m","stream_options":"usage"}', "stream_options"),
    "stream options are a list": (b'{"model":"m","stream_options":[true]}', "stream_options"),
}


@pytest.mark.parametrize(("body", "param"), BAD.values(), ids=BAD)
async def test_a_body_with_a_wrong_field(scene: Scenes, body: bytes, param: str | None) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, body))
        await s.refused(said, 400, "client.bad_request", type="invalid_request_error")
        assert said.error["param"] == param
        assert len(said.error["message"]) < 300
        assert s.upstream.connections == 0


async def test_a_refusal_takes_no_time(scene: Scenes) -> None:
    bodies = [*NOT_JSON.values(), *(body for body, _ in BAD.values())]
    async with scene() as s, s.client() as client:
        for body in bodies:
            await client.send(request(CHAT, body))
            assert (await read_answer(client)).status == 400
        lines = await s.lines(len(bodies))
    times = [line["total_ms"] for line in lines]
    assert statistics.median(times) < 100


FINE: dict[str, bytes] = {
    "null fields": b'{"model":"m","stream":null,"stream_options":null}',
    "white space": b' \r\n\t{ "model" : "m" } \n',
    "a name in escapes": rb'{"mod\u0065l":"\u006d"}',
    "fields that stand twice and nobody reads": b'{"model":"m","x":1,"x":2}',
    "a pair of surrogates": rb'{"model":"m","user":"\ud83d\ude00"}',
    "a long number": b'{"model":"m","seed":' + b"1" * 5000 + b"}",
    "a model in Unicode": '{"model":"modèle-日本"}'.encode(),
    "depth": b'{"model":"m","x":' + b"[" * 200 + b"]" * 200 + b"}",
}


@pytest.mark.parametrize("body", FINE.values(), ids=FINE)
async def test_what_is_unusual_and_right_is_passed_on_as_it_is(scene: Scenes, body: bytes) -> None:
    async with scene() as s:
        assert (await s.ask(request(CHAT, body))).status == 200
        assert s.upstream.requests[0].body == body


# Sizes.

SMALL = '[server]\nmax_body_size = "64KiB"'


def sized(size: int) -> bytes:
    """A body of exactly so many bytes."""
    start, end = b'{"model":"m","x":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def spelled(size: int) -> Iterator[bytes]:
    """A request with a body of so many bytes, in each way to send it."""
    body = sized(size)
    yield request(CHAT, body)
    yield request(CHAT, chunked(body), headers=CHUNKED)
    yield request(CHAT, gzip.compress(body), headers={"content-encoding": "gzip"})
    packed = chunked(gzip.compress(body), 10)
    yield request(CHAT, packed, headers={"content-encoding": "GZIP", **CHUNKED})


async def test_a_body_may_be_as_large_as_the_limit(scene: Scenes) -> None:
    async with scene(server=SMALL) as s:
        for raw in spelled(64 * KIB):
            assert (await s.ask(raw)).status == 200
        for received in s.upstream.requests:
            assert received.body == sized(64 * KIB)
            assert received.header("content-length") == str(64 * KIB)
            assert received.header("content-encoding") is None
            assert received.header("transfer-encoding") is None


@pytest.mark.parametrize("way", range(4), ids=["length", "chunks", "gzip", "gzip in chunks"])
async def test_a_body_over_the_limit(scene: Scenes, way: int) -> None:
    async with scene(server=SMALL) as s:
        raw = [*spelled(64 * KIB + 1)][way]
        said = await s.ask(raw)
        await s.refused(said, 413, "client.too_large", type="invalid_request_error")
        assert s.upstream.connections == 0


async def test_a_length_over_the_limit_is_refused_before_the_body_comes(scene: Scenes) -> None:
    for more in ({}, {"expect": "100-continue"}):
        async with scene(server=SMALL) as s:
            head = request(CHAT, headers={"content-length": "104857600", **more})
            said = await s.ask(head)
            await s.refused(said, 413, "client.too_large")
            assert said.fields["connection"] == "close"


async def test_chunks_over_the_limit_are_refused_before_their_end_comes(scene: Scenes) -> None:
    async with scene(server=SMALL) as s:
        part = chunked(b"x" * 65 * KIB).removesuffix(LAST_CHUNK)
        said = await s.ask(request(CHAT, part, headers=CHUNKED))
        await s.refused(said, 413, "client.too_large")


async def test_an_early_refusal_is_not_lost_to_a_reset(scene: Scenes) -> None:
    # The client goes on to send, as a real one does; twenty of twenty see why they were refused.
    raw = request(CHAT, sized(1024 * KIB))
    async with scene(server=SMALL) as s:
        for _ in range(20):
            received = await exchange(s.url, raw)
            assert received.startswith(b"HTTP/1.1 413 ")
            assert read_error(received.partition(b"\r\n\r\n")[2])["code"] == "client.too_large"
        await s.lines(20)


async def test_a_body_passed_through_is_not_limited(scene: Scenes) -> None:
    body = b"\0\xff" * 512 * KIB
    async with scene(server=SMALL) as s:
        assert (await s.ask(request("/v1/files", body))).status == 200
        assert (await s.ask(request("/v1/files", chunked(body), headers=CHUNKED))).status == 200
        assert [received.body for received in s.upstream.requests] == [body, body]


async def test_tiny_chunks_cost_little(scene: Scenes) -> None:
    body = sized(100_000)
    async with scene() as s:
        assert (await s.ask(request(CHAT, chunked(body, 1), headers=CHUNKED))).status == 200
        assert s.upstream.requests[0].body == body
        assert (await s.line())["total_ms"] < 5000


# Codings.


async def test_a_gzip_bomb_is_defused(scene: Scenes) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * KIB * KIB) for _ in range(64)) + packer.flush()
    assert len(bomb) < 100 * KIB
    async with scene(server='[server]\nmax_body_size = "1MiB"') as s:
        tracemalloc.start()
        try:
            said = await s.ask(request(CHAT, bomb, headers={"content-encoding": "gzip"}))
            assert tracemalloc.get_traced_memory()[1] < 4 * KIB * KIB
        finally:
            tracemalloc.stop()
        await s.refused(said, 413, "client.too_large", message="decompressed")


PACKED = gzip.compress(b'{"model":"m"}')

BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no gzip": b'{"model":"m"}',
    "half": PACKED[:-12],
    "without its end": PACKED[:-1],
    "a wrong checksum": PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:],
    "a wrong size": PACKED[:-4] + b"\0\0\0\0",
    "more behind it": PACKED + b"x",
    "two": PACKED + PACKED,
    "deflate": zlib.compress(b'{"model":"m"}'),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_broken_gzip(scene: Scenes, body: bytes) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, body, headers={"content-encoding": "gzip"}))
        await s.refused(said, 400, "client.bad_request", message="gzip")
        assert s.upstream.connections == 0


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "compress", "gzip, gzip", "utf-8"])
async def test_a_coding_that_is_not_taken(scene: Scenes, coding: str) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, PACKED, headers={"content-encoding": coding}))
        await s.refused(said, 415, "client.unsupported", message=coding)
        assert said.fields["accept-encoding"] == "gzip, identity"
        assert s.upstream.connections == 0


async def test_a_coding_passes_through_with_its_body(scene: Scenes) -> None:
    async with scene() as s:
        raw = request("/v1/files", b"\x1f\x8b?", headers={"content-encoding": "br"})
        assert (await s.ask(raw)).status == 200
        [received] = s.upstream.requests
        assert (received.body, received.header("content-encoding")) == (b"\x1f\x8b?", "br")


# Methods and paths.


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_a_method_that_an_endpoint_does_not_take(scene: Scenes, method: str) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, method=method), method=method)
        assert (said.status, said.fields["allow"]) == (405, "POST")
        if method == "HEAD":
            assert said.fields["x-llm-proxy-error"] == "client.unsupported"
            assert said.body == b""
        else:
            await s.refused(said, 405, "client.unsupported", message=method)
        assert (await s.line())["error"] == "client.unsupported"
        assert s.upstream.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
async def test_a_method_that_is_never_passed_through(scene: Scenes, method: str) -> None:
    # A provider that echoes what it was sent would hand our token to the client.
    async with scene(provider='token = "literal:sk-ours-sk-ours"') as s:
        said = await s.ask(request("/v1/files", method=method))
        await s.refused(said, 405, "client.unsupported", message=method)
        assert s.upstream.connections == 0


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/health", "/metrics", "/v1x"])
async def test_a_path_that_no_route_takes(scene: Scenes, path: str) -> None:
    async with scene() as s:
        await s.refused(await s.ask(request(path)), 404, "proxy.no_route", message=path)
        assert s.upstream.connections == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/./files",
        "/v1/files/..",
        "/v1/files/.",
        "/v1//files",
        "//v1/files",
        "/v1/%2e%2e/admin",
        "/v1/%2E./admin",
        "/v1/files%2f..%2fadmin",
        "/v1/files%5c..%5cadmin",
        "/v1/files\\..\\admin",
        "/v1/files%00",
        "/v1/files#/admin",
        "*",
    ],
)
async def test_a_path_that_two_parsers_read_differently(scene: Scenes, path: str) -> None:
    async with scene() as s:
        said = await s.ask(request(path, method="OPTIONS"))
        await s.refused(said, 400, "client.bad_request")
        assert s.upstream.connections == 0


async def test_a_model_that_no_route_takes(scene: Scenes) -> None:
    async with scene(route='models = ["gpt-*"]') as s:
        await s.refused(await s.chat(), 404, "proxy.no_route")
        assert s.upstream.connections == 0


# The log.

HOSTILE = [
    'a","status":200,"error":"none',
    "a\\",
    "a\\n{}",
    "a'b`$(c)",
    "{}",
    "a%0d%0aevent=ready",
    "a%1b[2J",
    "é日本",
    "<script>",
    "x" * 256,
]


async def test_what_clients_name_stays_on_its_line_of_the_log(scene: Scenes) -> None:
    async with scene() as s:
        for name in HOSTILE:
            assert (await s.ask(request(CHAT, {"model": name}))).status == 200
        for name in HOSTILE:
            await s.ask(request(f"/v1/files/{name}".encode().decode("latin-1")))
            await s.ask(request(f"/nope/{name}"[:100].encode().decode("latin-1")))
        lines = await s.lines(len(HOSTILE) * 3)
        assert [line["model"] for line in lines[: len(HOSTILE)]] == HOSTILE
        check_lines(s)


@pytest.mark.parametrize(
    "said",
    ["a\r\nb", "a\n{}", "\x1b[31mred\x1b[0m", 'a","status":200,"x":"', "\u2028\u202e", "\0"],
)
async def test_what_providers_say_stays_on_its_line_of_the_log(scene: Scenes, said: str) -> None:
    body = json.dumps({"error": {"message": said}})
    async with scene(answer(400, body)) as s:
        assert (await s.chat()).body == body.encode()
        assert (await s.line())["message"] == said
        check_lines(s)


def check_lines(s: Scene) -> None:
    """Check that each line of the log is one, and moves no cursor."""
    for raw in s.url._writer.lines:
        assert raw.endswith(b"}\n")
        assert not set(raw[:-1]) & {*range(0x20), 0x7F}
        assert json.loads(raw)["event"]


@pytest.mark.parametrize("asked", ["", "a b", 'a"b', "a\\b", "-a", "é", "x" * 129, "{}", "a,b"])
async def test_a_request_id_that_is_not_sane_is_replaced(scene: Scenes, asked: str) -> None:
    async with scene() as s:
        raw = request(CHAT, {"model": "m"}, headers={"x-request-id": asked})
        said = await s.ask(raw.decode().encode("latin-1"))
        ours = said.fields["x-llm-proxy-request-id"]
        assert len(ours) == 32
        assert int(ours, 16)
        assert (await s.line())["request_id"] == said.fields["x-request-id"] == ours


async def test_a_request_id_that_is_sane_is_kept(scene: Scenes) -> None:
    async with scene() as s:
        said = await s.ask(request(CHAT, {"model": "m"}, headers={"x-request-id": "mine:1.2/3"}))
        assert (await s.line())["request_id"] == "mine:1.2/3"
        assert said.fields["x-llm-proxy-request-id"] == "mine:1.2/3"
