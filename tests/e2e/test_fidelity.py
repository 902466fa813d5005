"""What nobody changed leaves byte for byte, wherever it is cut; what was changed, changed in place.

The recorded traffic is of many providers, in every dialect that clients speak. It is served by a
scripted upstream, framed and cut in several ways, and read back by a raw client.
"""

import asyncio
import itertools
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.event import Usage
from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing import Connection, ProxyURL, RawClient, Upstream, answer, request, serve
from tests.recorded import STREAM, Recorded, recordings, used

DIALECTS = (
    *("openai_chat", "openai_completions", "openai_responses", "openai_embeddings"),
    *("anthropic_messages", "anthropic_count_tokens", "gemini", "gemini_count_tokens"),
)

CONFIG = """
[provider.fake]
type = "vllm"
url = "%s/v1"
dialects = [
    "openai_chat", "openai_completions", "openai_responses", "openai_embeddings",
    "anthropic_messages", "anthropic_count_tokens", "gemini", "gemini_count_tokens",
]
forward_headers = ["x-case", "x-way"]

[[route]]
targets = ["fake"]
usage = "%s"

[[route]]
path = "/v1/*"
targets = ["fake"]
"""

OURS = {"cache-control", "x-accel-buffering"}
"""Fields of a stream that the proxy writes in the provider's place."""

WITHHELD = {
    *("connection", "keep-alive", "trailer", "upgrade", "proxy-connection"),
    *("set-cookie", "alt-svc", "strict-transport-security"),
}
"""Fields that belong to one connection, or to one site and its browsers."""


def asked(case: Recorded) -> bool:
    """Whether the client asked for usage in the stream."""
    options = json.loads(case.request).get("stream_options")
    return bool(options and options.get("include_usage"))


def may_be_asked(case: Recorded) -> bool:
    """Whether the proxy may ask in the client's place."""
    streams = json.loads(case.request).get("stream") is True
    return streams and case.dialect in ("openai_chat", "openai_completions") and not asked(case)


@pytest.fixture(scope="module")
def cases(cassettes: Path) -> list[Recorded]:
    found = recordings(cassettes, *DIALECTS)
    assert len(found) > 400
    return found


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """`data` in pieces of these sizes, again and again; whole if there are none."""
    if not sizes or not data:
        return [data]
    borders = list(itertools.takewhile(len(data).__gt__, itertools.accumulate(_repeat(sizes))))
    return [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]


def _repeat(sizes: Sequence[int]) -> Iterator[int]:
    return itertools.cycle(sizes)


async def respond(
    connection: Connection,
    lines: list[str],
    body: bytes,
    *,
    framing: str,
    sizes: Sequence[int],
    cuts: Sequence[int],
) -> None:
    """Send a response whose chunks have these sizes, cut by the network into those of `cuts`."""
    if framing == "length":
        lines = [*lines, f"content-length: {len(body)}"]
    elif framing == "chunked":
        lines = [*lines, "transfer-encoding: chunked"]
        body = b"".join(map(encode_chunk, cut(body, sizes) if body else [])) + LAST_CHUNK
    else:
        lines = [*lines, "connection: close"]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    for piece in cut(head + body, cuts):
        await connection.send(piece)
        await asyncio.sleep(0)  # so that the proxy reads this piece before the next is sent
    if framing == "close":
        connection.cut()


class Replay:
    """A script's step: answers with what was recorded, in the way that the request says."""

    def __init__(self, cases: list[Recorded]) -> None:
        self._cases = {case.id: case for case in cases}
        self._dice = random.Random(1)

    async def __call__(self, connection: Connection, /) -> None:
        got = connection.request
        assert got is not None
        case = self._cases[got.header("x-case") or ""]
        framing, way = (got.header("x-way") or "").split()
        sizes, cuts = [9, 1, 40], [1]
        if way != "bytes":
            sizes = cuts = []
        if way == "frames":
            sizes = [len(frame) for frame in frames(case.response)]
        if way == "random":
            sizes, cuts = (self._dice.choices(range(1, 4000), k=9) for _ in range(2))
        lines = [f"HTTP/1.1 {case.status} As It Was", *map(": ".join, case.fields)]
        await respond(connection, lines, case.response, framing=framing, sizes=sizes, cuts=cuts)


@dataclass
class Passage:
    """What became of one exchange; `seen` is the body that the provider got."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    log: dict[str, Any]
    seen: bytes

    @property
    def usage(self) -> Usage | None:
        """What the log says was used."""
        if "input_tokens" not in self.log:
            return None
        return Usage(*(self.log.get(name, 0) for name in Usage.__struct_fields__))


class Recital:
    """A proxy before the recorded providers, and one connection to it."""

    def __init__(self, proxy: ProxyURL, upstream: Upstream, client: RawClient) -> None:
        self._proxy = proxy
        self._upstream = upstream
        self._client = client

    async def play(self, case: Recorded, way: str, body: bytes | None = None) -> Passage:
        """Ask for `case`, with another `body` than the recorded one if there is one."""
        headers = {"x-case": case.id, "x-way": way}
        sent = case.request if body is None else body
        await self._client.send(request(case.target, sent, headers=headers))
        head = await self._client.read_head()
        payload = await self._client.read_body()
        assert self._client.clean_end, case.id
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        line, seen = self._proxy.exchanges[-1], self._upstream.requests[-1].body
        return Passage(head.status, fields, payload, line, seen)


@asynccontextmanager
async def reciting(cases: list[Recorded], usage: str) -> AsyncIterator[Recital]:
    async with (
        Upstream([Replay(cases)]) as upstream,
        serve(CONFIG % (upstream.url, usage)) as proxy,
        RawClient(proxy) as client,
    ):
        yield Recital(proxy, upstream, client)


def frames(stream: bytes) -> list[bytes]:
    """The stream, cut behind each blank line."""
    found = re.findall(rb".*?(?:\r?\n){2}|.+\Z", stream, re.DOTALL)
    assert b"".join(found) == stream
    return found


def without_usage(stream: bytes) -> bytes:
    """The stream without the chunk that says nothing but what was used."""
    return b"".join(frame for frame in frames(stream) if not _is_usage(frame))


def _is_usage(frame: bytes) -> bool:
    data = b"".join(line[5:] for line in frame.splitlines() if line.startswith(b"data:"))
    if not data.lstrip().startswith(b"{"):
        return False
    chunk = json.loads(data)
    return bool(chunk.get("usage")) and chunk.get("choices") == []


def assert_passed_on(case: Recorded, passage: Passage, expected: bytes) -> None:
    """The answer is the provider's: its status, its fields before ours, its body."""
    assert passage.status == case.status, case.id
    assert passage.body == expected, case.id
    ours = OURS if case.streamed and case.status < 400 else set()
    withheld = WITHHELD | ours
    kept = [field for field in case.fields if field[0] not in withheld]
    assert passage.fields[: len(kept)] == kept, case.id
    added = dict(passage.fields[len(kept) :])
    assert added["x-llm-proxy-request-id"] == passage.log["request_id"]
    assert added.get("x-llm-proxy-error") == passage.log.get("error")
    assert ("x-llm-proxy-error" in added) == (case.status >= 400), case.id
    own_id = {"x-request-id"} - dict(kept).keys()
    framing = {"content-length"} & added.keys() or {"transfer-encoding"}
    others = {name for name in added if not name.startswith("x-llm-proxy-")}
    assert others == {"server-timing", *own_id, *framing, *ours}, case.id


def raw_fields(body: bytes) -> list[tuple[str, str]]:
    """The top-level fields of a JSON object, their values as they are spelled."""
    text, decode = body.decode(), json.JSONDecoder().raw_decode
    found, at = [], text.index("{") + 1
    while (at := _skip(text, at)) < len(text) and text[at] != "}":
        name, at = decode(text, at)
        start = _skip(text, text.index(":", at) + 1)
        _, at = decode(text, start)
        found.append((name, text[start:at]))
        at = _skip(text, at)
        at += text[at] == ","
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def spell(fields: list[tuple[str, str]]) -> bytes:
    """A JSON object of fields whose values are spelled already."""
    inside = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{raw}" for name, raw in fields)
    return b"{%b}" % inside.encode()


WAYS = ["length whole", "length random", "chunked whole", "chunked random", "chunked frames"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("usage", ["never", "auto"])
async def test_recorded_answers_are_passed_on_byte_for_byte(
    cases: list[Recorded], usage: str, way: str
) -> None:
    async with reciting(cases, usage) as recital:
        for case in cases:
            passage = await recital.play(case, way)
            if usage == "auto" and may_be_asked(case):
                before = [field for field in raw_fields(case.request) if field[0] != OPTIONS]
                assert passage.seen == spell([*before, (OPTIONS, ASKED)]), case.id
                stripped = without_usage(case.response) if case.streamed else case.response
                assert_passed_on(case, passage, stripped)
            else:
                assert passage.seen == case.request, case.id
                assert_passed_on(case, passage, case.response)
                if case.status < 400:
                    assert passage.usage == used(case), case.id


OPTIONS, ASKED = "stream_options", '{"include_usage":true}'


@pytest.mark.parametrize("way", WAYS)
async def test_who_does_not_ask_for_usage_is_spared_exactly_its_chunk(
    cases: list[Recorded], way: str
) -> None:
    # The recorded client did ask, so the recorded stream is what the provider answers to us.
    spared = 0
    async with reciting(cases, "auto") as recital:
        for case in cases:
            if not (asked(case) and case.streamed):
                continue
            unasked = [field for field in raw_fields(case.request) if field[0] != OPTIONS]
            passage = await recital.play(case, way, spell(unasked))
            assert passage.seen == spell([*unasked, (OPTIONS, ASKED)]), case.id
            expected = without_usage(case.response)
            spared += expected != case.response
            assert_passed_on(case, passage, expected)
            assert passage.usage == used(case), case.id
    assert spared > 10


@pytest.mark.parametrize(("usage", "framing"), [("never", "length"), ("auto", "chunked")])
async def test_recorded_answers_that_come_byte_by_byte(
    cases: list[Recorded], usage: str, framing: str
) -> None:
    few: dict[object, Recorded] = {}
    for case in sorted(cases, key=lambda case: len(case.response)):
        if len(case.response) > 300:
            few.setdefault((case.dialect, case.kind, b"\r\n" in case.response), case)
    assert len(few) > 6
    async with reciting(cases, usage) as recital:
        for case in few.values():
            passage = await recital.play(case, f"{framing} bytes")
            stripped = usage == "auto" and may_be_asked(case) and case.streamed
            assert_passed_on(
                case, passage, without_usage(case.response) if stripped else case.response
            )
            assert passage.usage == used(case), case.id


async def test_a_schema_that_has_a_usage_is_not_taken_for_usage() -> None:
    body = b"""{"id":"resp_1","usage":{"input_tokens":7,"output_tokens":9},"tools":[
        {"type":"function","parameters":{"properties":{"usage":{"type":"string"}}}}]}"""
    async with (
        Upstream(answer(body=body)) as upstream,
        serve(CONFIG % (upstream.url, "auto")) as proxy,
        RawClient(proxy) as client,
    ):
        await client.send(request("/v1/responses", {"model": "m", "input": "Hello"}))
        await client.read_head()
        assert await client.read_body() == body
        assert proxy.exchanges[0]["input_tokens"] == 7
        assert proxy.exchanges[0]["output_tokens"] == 9


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_large_bodies_on_one_connection(framing: str) -> None:
    # More than one read brings, and than is held before a body's way is known.
    sizes = [70_000, 300_000, 4_000_000, 70_000]

    async def step(connection: Connection, /) -> None:
        assert connection.request is not None
        lines = ["HTTP/1.1 200 OK", "content-type: application/json"]
        await respond(
            connection, lines, connection.request.body, framing=framing, sizes=[1 << 20], cuts=[]
        )

    async with (
        Upstream([step]) as upstream,
        serve(CONFIG % (upstream.url, "auto")) as proxy,
        RawClient(proxy) as client,
    ):
        for path in ("/v1/embeddings", "/v1/files"):
            for size in sizes:
                digits = random.Random(size).randbytes(size // 2).hex()
                body = f'{{"model":"m","input":"{digits}"}}'.encode()
                await client.send(request(path, body))
                await client.read_head()
                assert await client.read_body() == body
                assert upstream.requests[-1].body == body
        assert upstream.connections == 1


# Payloads that look like the framing around them, and cuts that a network may make.

FRAGMENTS = st.binary(max_size=200) | st.sampled_from(
    [
        *(b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\n", b"\n\n", b"5\r\nhello\r\n", b"data: [DONE]\n\n"),
        *(b'data: {"usage":{"prompt_tokens":7}}\n\n', b'"usage":', b"HTTP/1.1 200 OK\r\n\r\n"),
        b'data: {"choices":[],"usage":null}\n\n',
    ]
)
PAYLOADS = st.lists(FRAGMENTS, max_size=8).map(b"".join)
SIZES = st.lists(st.integers(1, 150) | st.just(1), max_size=4)


async def pass_through(
    target: str, body: bytes, *, chunked: bool, sizes: list[int], config: str, down: Any
) -> tuple[bytes, bytes]:
    """What the provider got, and what the client got of what the step `down` answers."""
    async with (
        Upstream([down]) as upstream,
        serve(CONFIG % (upstream.url, config)) as proxy,
        RawClient(proxy) as client,
    ):
        if chunked:
            framed = b"".join(map(encode_chunk, cut(body, sizes) if body else [])) + LAST_CHUNK
            raw = request(target, framed, headers={"transfer-encoding": "chunked"})
        else:
            raw = request(target, body)
        await client.send(cut(raw, sizes[::-1]))
        await client.read_head()
        answered = await client.read_body()
        assert client.clean_end
        return upstream.requests[0].body, answered


@given(
    up=PAYLOADS,
    down=PAYLOADS,
    chunked=st.booleans(),
    framing=st.sampled_from(["length", "chunked", "close"]),
    sizes=SIZES,
)
async def test_bytes_pass_both_ways_wherever_they_are_cut(
    up: bytes, down: bytes, chunked: bool, framing: str, sizes: list[int]
) -> None:
    async def step(connection: Connection, /) -> None:
        lines = ["HTTP/1.1 200 OK", "content-type: application/octet-stream"]
        await respond(connection, lines, down, framing=framing, sizes=sizes, cuts=sizes[::-1])

    passed = await pass_through(
        "/v1/files", up, chunked=chunked, sizes=sizes, config="auto", down=step
    )
    assert passed == (up, down)


@given(
    content=st.text(max_size=300),
    down=PAYLOADS.filter(len),
    chunked=st.booleans(),
    framing=st.sampled_from(["length", "chunked", "close"]),
    usage=st.sampled_from(["never", "auto"]),
    asks=st.booleans(),
    sizes=SIZES,
)
async def test_a_stream_passes_wherever_it_is_cut(
    content: str,
    down: bytes,
    chunked: bool,
    framing: str,
    usage: str,
    asks: bool,
    sizes: list[int],
) -> None:
    async def step(connection: Connection, /) -> None:
        lines = ["HTTP/1.1 200 OK", f"content-type: {STREAM}"]
        await respond(connection, lines, down, framing=framing, sizes=sizes, cuts=sizes[::-1])

    options = f',"{OPTIONS}" : {{ "include_usage" : true }} ' if asks else ""
    up = f'{{ "model":"m", "stream" : true, "x":{json.dumps(content)}{options}}}\n'.encode()
    passed = await pass_through(
        "/v1/chat/completions", up, chunked=chunked, sizes=sizes, config=usage, down=step
    )
    asked = [*raw_fields(up), (OPTIONS, ASKED)]
    assert passed == (spell(asked) if usage == "auto" and not asks else up, down)


# JSON as somebody may spell it. What an edit does not touch keeps its spelling.

NUMBERS = ["0.10000000000000001", "12345678901234567890123", "1E+2", "-0", "1.0", "0.5e-7"]
OTHERS = ["null", "true", '"\\u00e9\\/\\ud83d\\ude00"', '"\u00e9\U0001f600"', '""', "[ ]", "{ }"]
NAMES = st.sampled_from(["messages", "temperature", "x-unknown", "\u00e9", "", "usage", "mode"])
NESTED = NAMES | st.sampled_from(["model", "stream", OPTIONS])


def _array(values: list[str]) -> str:
    return "[ " + " ,\n".join(values) + "]"


def _object(fields: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f'"{name}" : {value}' for name, value in fields) + " }"


VALUES = st.recursive(
    st.sampled_from(NUMBERS + OTHERS),
    lambda inner: (
        st.lists(inner, max_size=3).map(_array)
        | st.lists(st.tuples(NESTED, inner), max_size=3).map(_object)
    ),
    max_leaves=8,
)


@given(
    before=st.lists(st.tuples(NAMES, VALUES), max_size=4, unique_by=lambda field: field[0]),
    place=st.integers(0, 4),
    options=st.sampled_from([None, "null", "{}", '{ "x" : 1.50, "include_usage":false}']),
    space=st.sampled_from(["", " ", "\n\t"]),
)
async def test_an_edited_request_keeps_the_spelling_of_all_else(
    before: list[tuple[str, str]], place: int, options: str | None, space: str
) -> None:
    fields = [("stream", "true"), *before]
    fields.insert(place, ("model", '"m"'))
    if options is not None:
        fields.insert(place, (OPTIONS, options))
    inside = f"{space},{space}".join(f'"{name}"{space}:{space}{raw}' for name, raw in fields)
    config = CONFIG.replace('targets = ["fake"]', 'targets = ["fake/other"]', 1)
    async with (
        Upstream(answer()) as upstream,
        serve(config % (upstream.url, "auto")) as proxy,
        RawClient(proxy) as client,
    ):
        body = f"{space}{{{space}{inside}{space}}}{space}".encode()
        await client.send(request("/v1/chat/completions", body))
        assert (await client.read_head()).status == 200
    edited = dict(fields) | {"model": '"other"'}
    has_more = options is not None and "x" in options
    edited[OPTIONS] = '{"x":1.50,"include_usage":true}' if has_more else ASKED
    assert upstream.requests[0].body == spell(list(edited.items()))


@pytest.mark.parametrize(
    ("kind", "path", "target"),
    [
        ("anthropic", "/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("openai", "/v1/responses?a=%2F&key=sk-c&b", "/v1/responses?a=%2F&b"),
        # There Google's API is around Anthropic's, and knows nothing of its queries.
        (
            "vertex",
            "/v1/messages?beta=true",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict",
        ),
    ],
)
async def test_a_query_goes_where_the_endpoint_is_the_same(
    kind: str, path: str, target: str
) -> None:
    place = 'variables = { project = "p", region = "l" }' if kind == "vertex" else ""
    async with Upstream(answer(body="{}")) as upstream:
        config = f"""
            [provider.up]
            type = "{kind}"
            url = "{upstream.url}{"/v1" if kind == "openai" else ""}"
            token = "literal:sk-ours"
            {place}
            [[route]]
            targets = ["up"]
        """
        body = {"model": "claude-x", "max_tokens": 5, "input": "Hi", "messages": []}
        async with serve(config) as proxy, RawClient(proxy) as client:
            for _ in range(2):
                await client.send(request(path, body))
                assert (await client.read_head()).status == 200
                await client.read_body()
        assert [asked.target for asked in upstream.requests] == [target] * 2
