"""Providers on bad days, in the middle of an answer or silent: nothing broken looks whole."""

import statistics
import time
from collections.abc import Sequence

import pytest

from proxy.framing.chunked import LAST_CHUNK, encode_chunk
from proxy.testing import (
    END,
    Connection,
    Cut,
    Drip,
    Hold,
    OnAccept,
    Reset,
    Send,
    Sleep,
    Stall,
    Step,
    answer,
    chunks,
    request,
    sse,
    stream_head,
)
from tests.e2e.conftest import Scenes, chat, deaf

Steps = Sequence[Step]

ONE = b"data: one\n\n"
EXACT = 'usage = "never"'
STRIPPED = 'usage = "always"'
"""Has the usage chunk injected and taken out again, so that the relay looks at each frame."""

both = pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])
watched = pytest.mark.parametrize("usage", [EXACT, STRIPPED], ids=["exact", "stripped"])


def raw(head: str, body: bytes = b"") -> Send:
    """A response, spelled out; its lines end in CRLF."""
    return Send(head.replace("\n", "\r\n").encode("latin-1") + body)


# In the middle of a stream.

BROKEN: dict[str, tuple[Steps, bytes]] = {
    "reset before an event": ([Reset()], b""),
    "closed before an event": ([Cut()], b""),
    "reset between events": ([sse("one"), Sleep(0.02), Reset()], ONE),
    "closed between events": ([sse("one"), Cut()], ONE),
    "reset in an event": ([sse("one"), chunks(b"data: t"), Sleep(0.02), Reset()], ONE + b"data: t"),
    "closed in an event": ([sse("one"), chunks(b"data: t"), Cut()], ONE + b"data: t"),
    "closed in a chunk": ([sse("one"), Send(b"20\r\ndata: t"), Cut()], ONE + b"data: t"),
    "closed in a size": ([sse("one"), Send(b"2"), Cut()], ONE),
    "closed behind the last event": ([sse("one", "[DONE]"), Cut()], ONE + b"data: [DONE]\n\n"),
    "closed in the last chunk": ([sse("one"), Send(b"0\r\n"), Cut()], ONE),
}


@watched
@pytest.mark.parametrize(("script", "sent"), BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_breaks(scene: Scenes, script: Steps, sent: bytes, usage: str) -> None:
    async with scene([stream_head(), *script], route=usage) as s:
        if usage == STRIPPED:
            # A frame is passed on when it is whole.
            sent = sent.removesuffix(b"data: t")
        await s.broke(await s.chat(stream=True), sent, "provider.broke")


BAD_CHUNKS: dict[str, bytes] = {
    "a bad size": b"zz\r\n",
    "a size too long": b"1" * 17 + b"\r\n",
    "no CRLF after a chunk": b"3\r\n: \nX",
    "a bad trailer": b"0\r\nbad trailer\r\n\r\n",
    "a negative size": b"-1\r\n",
    "a prefixed size": b"0x1\r\n",
    "a size with a space before it": b" 1\r\n",
    "an empty size": b"\r\n",
    "a bare LF after a size": b"3\n: \n\r\n",
    "extensions without end": b"1;" + b"x" * 20_000,
    "trailers without end": b"0\r\n" + b"x: y\r\n" * 20_000,
    "text": b"data: two\n\n",
    "another response": b"HTTP/1.1 200 OK\r\n\r\n",
}


@watched
@pytest.mark.parametrize("late", [True, False], ids=["late", "at once"])
@pytest.mark.parametrize("bad", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_a_malformed_chunk_is_no_reason_to_wait(
    scene: Scenes, bad: bytes, late: bool, usage: str
) -> None:
    # The default idle timeout is longer than the client of this test waits.
    good = [stream_head(), sse("one")]
    together = Send(stream_head().data + sse("one").data + bad)
    script = [*good, Sleep(0.02), Send(bad), Stall()] if late else [together, Stall()]
    async with scene(script, route=usage) as s:
        said = await s.chat(stream=True)
        sent = ONE + b": \n" if bad.startswith(b"3\r\n") and usage == EXACT else ONE
        await s.broke(said, sent, "provider.broke")
        await s.upstream.closed(within=1)


@pytest.mark.parametrize("bad", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_a_malformed_chunk_in_a_body_that_is_no_stream(scene: Scenes, bad: bytes) -> None:
    script = [stream_head(headers={}), chunks(b'{"a":'), Sleep(0.02), Send(bad), Stall()]
    async with scene(script) as s:
        said = await s.chat()
        assert said.status == 200
        assert said.body.startswith(b'{"a":')
        assert b"error" not in said.body
        assert not said.whole
        line = await s.line()
        assert (line["status"], line["error"]) == (200, "provider.broke")


JSON_200 = "HTTP/1.1 200 OK\ncontent-type: application/json\n"


@pytest.mark.parametrize(
    ("script", "body"),
    [
        ([raw(JSON_200 + "content-length: 9\n\n{"), Cut()], b"{"),
        ([raw(JSON_200 + "content-length: 9\n\n{"), Sleep(0.02), Reset()], b"{"),
        ([raw(JSON_200 + "content-length: 9\n\n"), Cut()], b""),
        ([raw(JSON_200 + "\n{"), Sleep(0.02), Reset()], b"{"),
        ([raw(JSON_200 + "transfer-encoding: chunked\n\n1\n{\n"), Cut()], b"{"),
    ],
    ids=["closed", "reset", "closed behind the head", "until a reset", "chunked"],
)
async def test_a_body_that_is_cut_short_is_not_presented_as_whole(
    scene: Scenes, script: Steps, body: bytes
) -> None:
    async with scene(script) as s:
        said = await s.chat()
        assert (said.status, said.body, said.whole) == (200, body, False)
        line = await s.line()
        assert (line["error"], line["phase"]) == ("provider.broke", "streaming")


async def test_a_body_that_ends_with_its_connection(scene: Scenes) -> None:
    async with scene([raw(JSON_200 + "\n{}"), Cut()]) as s:
        said = await s.chat()
        assert (said.status, said.body, said.whole) == (200, b"{}", True)
        assert "error" not in await s.line()


@pytest.mark.parametrize(
    "first",
    [
        raw(JSON_200 + "content-length: 2\n\n{}HTTP/1.1 200 OK\ncontent-length: 5\n\nforge"),
        raw(JSON_200 + "transfer-encoding: chunked\n\n2\n{}\n0\n\nHTTP/1.1 200 OK\n\nforge"),
    ],
    ids=["length", "chunked"],
)
async def test_what_comes_behind_a_body_is_nobodys(scene: Scenes, first: Send) -> None:
    async with scene([first], answer(200, '{"second":2}')) as s:
        assert (await s.chat()).body == b"{}"
        assert (await s.chat()).body == b'{"second":2}'
        assert s.upstream.connections == 2


async def test_what_comes_on_an_idle_connection_is_nobodys(scene: Scenes) -> None:
    forged = answer(200, "forged")
    async with scene([answer(), Sleep(0.02), forged, Stall()], answer(200, '"mine"')) as s:
        assert (await s.chat()).body == b"{}"
        await s.upstream.closed(1)
        assert (await s.chat()).body == b'"mine"'


async def test_an_error_event_of_the_providers_own_is_passed_on_and_logged(scene: Scenes) -> None:
    event = '{"error": {"message": "overloaded, sorry", "code": 503}}'
    for ending in ([END], [Cut()]):
        async with scene([stream_head(), sse("one"), sse(event), *ending]) as s:
            said = await s.chat(stream=True)
            assert said.body == ONE + f"data: {event}\n\n".encode()
            assert said.whole is (ending == [END])
            line = await s.line()
            assert line["error"] == "provider.overloaded"
            assert "overloaded, sorry" in line["message"]


# Timers. What is asserted of a duration is that the right timer fired, not when exactly.


@both
@pytest.mark.parametrize(
    "script",
    [
        [Stall()],
        [raw("HTTP/1.1 200 OK\ncont"), Stall()],
        [Drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000, 0.01)],
        [Drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.01, size=25)],
        [OnAccept(), Hold(0.5), Stall()],
    ],
    ids=["silence", "half a head", "a dripping head", "interim responses", "deafness"],
)
async def test_no_head_within_the_first_byte_timeout(
    scene: Scenes, script: Steps, stream: bool
) -> None:
    async with scene(script, provider='first_byte_timeout = "100ms"') as s:
        began = time.monotonic()
        said = await s.chat(stream=stream, padding="x" * 3_000_000)
        assert 0.1 <= time.monotonic() - began < 5
        await s.refused(said, 504, "provider.timeout", message="0.1 s")


@watched
@pytest.mark.parametrize("sent", [b"", ONE, ONE + b"data: t"], ids=["head", "event", "torn"])
async def test_silence_in_a_stream(scene: Scenes, sent: bytes, usage: str) -> None:
    script = [stream_head(), chunks(sent), Stall()]
    async with scene(script, provider='idle_timeout = "300ms"', route=usage) as s:
        began = time.monotonic()
        said = await s.chat(stream=True)
        assert 0.3 <= time.monotonic() - began < 5
        if usage == STRIPPED:
            sent = sent.removesuffix(b"data: t")
        await s.broke(said, sent, "provider.timeout")


async def test_silence_in_a_body_that_is_no_stream(scene: Scenes) -> None:
    script = [raw(JSON_200 + "content-length: 9\n\n{"), Stall()]
    async with scene(script, provider='idle_timeout = "100ms"') as s:
        said = await s.chat()
        assert (said.status, said.body, said.whole) == (200, b"{", False)
        assert (await s.line())["error"] == "provider.timeout"


async def test_a_slow_stream_is_not_a_silent_one(scene: Scenes) -> None:
    sent: list[float] = []
    body = b"data: slow\n\n"

    async def drip(connection: Connection) -> None:
        for byte in body:
            await connection.sleep(0.1)
            sent.append(time.monotonic())
            await connection.send(encode_chunk(bytes([byte])))
        await connection.send(LAST_CHUNK)

    async with scene([stream_head(), drip], provider='idle_timeout = "500ms"', route=EXACT) as s:
        async with s.client() as client:
            await client.send(chat(stream=True))
            await client.read_head()
            arrived = []
            for byte in body:
                await client.read_until(encode_chunk(bytes([byte])))
                arrived.append(time.monotonic())
            assert await client.read_body() == b""
            assert client.clean_end
        late = [there - here for here, there in zip(sent, arrived, strict=True)]
        assert statistics.median(late) < 0.05
        assert "error" not in await s.line()


@both
async def test_no_answer_within_the_total_timeout(scene: Scenes, stream: bool) -> None:
    async with scene(Stall(), provider='total_timeout = "100ms"') as s:
        await s.refused(await s.chat(stream=stream), 504, "provider.timeout", message="0.1 s")


async def test_a_lively_stream_is_cut_off_at_the_total_timeout(scene: Scenes) -> None:
    events = Drip(sse("one").data * 1000, 0.02, size=len(sse("one").data))
    async with scene([stream_head(), events], provider='total_timeout = "200ms"') as s:
        began = time.monotonic()
        said = await s.chat(stream=True)
        assert 0.2 <= time.monotonic() - began < 5
        await s.broke(said, ONE, "provider.timeout")
        await s.upstream.closed()


@both
async def test_no_connection_within_the_connect_timeout(scene: Scenes, stream: bool) -> None:
    with deaf() as url:
        async with scene(at=url, provider='connect_timeout = "100ms"') as s:
            said = await s.chat(stream=stream)
            await s.refused(said, 502, "provider.connect", message="within 0.1 s")


# Bodies.


@watched
@pytest.mark.parametrize("size", [4_000_000, 16_384], ids=["one chunk", "many chunks"])
async def test_four_megabytes_in_one_event(scene: Scenes, size: int, usage: str) -> None:
    event = b'data: {"x":"' + bytes(range(0x20, 0x7F)) * 42_106 + b'"}\n\n'
    assert len(event) > 4_000_000
    pieces = [event[at : at + size] for at in range(0, len(event), size)]
    done = b"data: [DONE]\n\n"
    async with scene([stream_head(), chunks(*pieces), chunks(done), END], route=usage) as s:
        said = await s.chat(stream=True)
        assert said.whole
        assert said.body == event + done
        line = await s.line()
        assert line["bytes_out"] == len(said.body)
        assert "error" not in line


async def test_sixteen_megabytes_that_are_no_stream(scene: Scenes) -> None:
    body = b'{"x":"' + b"0123456789abcdef" * (1 << 20) + b'"}'
    async with scene(answer(200, body)) as s:
        said = await s.chat()
        assert said.whole
        assert said.body == body


# Passing through.


async def test_what_passes_through_and_breaks_has_nothing_added(scene: Scenes) -> None:
    script = [stream_head(), sse("one"), Sleep(0.02), Reset()]
    async with scene(script) as s:
        said = await s.ask(request("/v1/files/f", method="GET"), method="GET")
        assert (said.status, said.body, said.whole) == (200, ONE, False)
        assert (await s.line())["error"] == "provider.broke"


UPLOAD = request("/v1/files", b"x" * 4_000_000)


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ([OnAccept(), Sleep(0.02), Reset()], 502, "provider.broke"),
        ([OnAccept(), Hold(0.5), Stall()], 504, "provider.timeout"),
        ([OnAccept(), Send(b"garbage\r\n\r\n"), Stall()], 502, "provider.bad_response"),
    ],
    ids=["reset", "deaf", "garbage"],
)
async def test_a_provider_that_breaks_an_upload(
    scene: Scenes, script: Steps, status: int, code: str
) -> None:
    async with scene(script, provider='first_byte_timeout = "100ms"') as s:
        await s.refused(await s.ask(UPLOAD), status, code)


async def test_a_provider_that_refuses_an_upload_early(scene: Scenes) -> None:
    error = '{"error": {"message": "Too large."}}'
    script = [OnAccept(), Hold(0.1), answer(413, error), Hold(0.3), Stall()]
    async with scene(script) as s:
        said = await s.ask(UPLOAD)
        assert (said.status, said.body) == (413, error.encode())
        assert (await s.line())["error"] == "provider.refused"
