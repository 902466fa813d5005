"""The test toolkit against itself: upstreams that break as told, clients that notice."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.framing import FramingError
from proxy.framing.chunked import encode_chunk
from proxy.testing import (
    END,
    Connection,
    Cut,
    Drip,
    Flood,
    Hold,
    OnAccept,
    RawClient,
    ReadRequest,
    Reset,
    Send,
    Sleep,
    Stall,
    Step,
    Upstream,
    answer,
    chunks,
    exchange,
    request,
    sse,
    stream_head,
)

ANSWERED = answer(200, "hi").data


async def test_a_request_is_recorded_as_it_came() -> None:
    async with Upstream([answer(200, "hi"), Cut()]) as upstream:
        raw = request("/v1/x?y=z", {"a": 1}, headers={"X-Mine": "1", "Cookie": "c"})
        assert await exchange(upstream.url, raw) == ANSWERED
        [received] = upstream.requests
        assert await upstream.received() is received
    assert (received.method, received.target, received.body) == ("POST", "/v1/x?y=z", b'{"a": 1}')
    assert received.head + received.body == raw
    assert received.headers[-2:] == [("cookie", "c"), ("content-length", "8")]
    assert received.header("X-mine") == "1"
    assert received.header("absent") is None
    assert received.connection == 1
    assert 0 <= time.monotonic() - received.at < 5


async def test_a_chunked_request_is_read_to_its_end_and_no_further() -> None:
    head = request(headers={"transfer-encoding": "chunked"})
    body = encode_chunk(b"he") + encode_chunk(b"llo") + b"0\r\nx-trailer: 1\r\n\r\n"
    async with Upstream(answer(200, "one"), answer(200, "two")) as upstream:
        raw = head + body + request("/2")
        async with RawClient(upstream.url) as client:
            await client.send([raw[at : at + 7] for at in range(0, len(raw), 7)])
            bodies = [(await client.read_head(), await client.read_body())[1] for _ in range(2)]
        assert bodies == [b"one", b"two"]
        assert [one.body for one in upstream.requests] == [b"hello", b""]
        assert upstream.connections == 1


async def test_requests_take_the_scripts_in_order_and_the_last_repeats() -> None:
    async with Upstream(answer(503), answer(200)) as upstream, RawClient(upstream.url) as client:
        for status in (503, 200, 200):
            await client.send(request())
            assert (await client.read_head()).status == status
            assert await client.read_body() == b"{}"
            assert client.clean_end
        async with RawClient(upstream.url) as second:
            await second.send(request())
            assert (await second.read_head()).status == 200
            assert (upstream.connections, upstream.open_connections) == (2, 2)
            assert len(upstream.requests) == 4


@pytest.mark.parametrize(
    ("ending", "clean", "was_reset"),
    [(END, True, False), (Cut(), False, False), (Reset(), False, True)],
)
async def test_how_a_stream_ended_can_be_told(ending: Step, clean: bool, was_reset: bool) -> None:
    script = [stream_head(), sse("one"), sse("two"), ending]
    async with Upstream(script) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        head = await client.read_head()
        assert (b"content-type", b"text/event-stream") in head.headers
        assert await client.read_body() == b"data: one\n\ndata: two\n\n"
        assert (client.clean_end, client.was_reset) == (clean, was_reset)


async def test_the_end_of_a_body_is_seen_by_raw_reads_too() -> None:
    async with (
        Upstream([stream_head(), sse("one"), END]) as upstream,
        RawClient(upstream.url) as client,
    ):
        await client.send(request())
        await client.read_head()
        assert await client.read_until(b"one") == b"b\r\ndata: one"
        assert not client.clean_end
        assert await client.read_some(4) == b"\n\n\r\n"
        assert await client.read_until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert client.clean_end


async def test_a_body_that_ends_with_the_connection() -> None:
    for ending, clean in ((Cut(), True), (Reset(), False)):
        script = [Send(b"HTTP/1.1 200 OK\r\n\r\nabc"), ending]
        async with Upstream(script) as upstream, RawClient(upstream.url) as client:
            await client.send(request())
            await client.read_head()
            assert await client.read_body() == b"abc"
            assert client.clean_end is clean


async def test_a_body_shorter_than_its_length_is_no_clean_end() -> None:
    script = [answer(200, "abc", {"content-length": "4"}), Cut()]
    async with Upstream(script) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        await client.read_head()
        assert await client.read_body() == b"abc"
        assert client.at_end
        assert not client.clean_end


async def test_a_malformed_chunk_is_told() -> None:
    async with (
        Upstream([stream_head(), Send(b"zz\r\n")]) as upstream,
        RawClient(upstream.url) as client,
    ):
        await client.send(request())
        await client.read_head()
        with pytest.raises(FramingError):
            await client.read_body()


@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.parametrize("silence", [Stall(), Sleep(30), Drip(b"x" * 1000, every=0.01)])
async def test_the_moment_a_client_leaves_is_seen_whatever_the_script_does(
    silence: Step, rudely: bool
) -> None:
    async with Upstream([stream_head(), silence]) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        await client.read_head()
        assert upstream.open_connections == 1
        left = time.monotonic()
        if rudely:
            client.reset()
        else:
            client.close()
        assert 0 <= await upstream.closed(1, within=10) - left < 5
        assert upstream.open_connections == 0


async def test_a_connection_that_is_not_closed_by_its_peer_is_told_from_one_that_is() -> None:
    async with Upstream(Stall(), Cut()) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        await upstream.received()
        with pytest.raises(TimeoutError, match=r"connection 1 was not closed within 0\.01 s"):
            await upstream.closed(1, within=0.01)
        with pytest.raises(TimeoutError, match=r"request 2 did not come within 0\.01 s \(1 came\)"):
            await upstream.received(2, within=0.01)
        assert await exchange(upstream.url, request()) == b""
        with pytest.raises(RuntimeError, match="connection 2 was closed by its script"):
            await upstream.closed(2)


async def test_bytes_drip() -> None:
    began = time.monotonic()
    script = [Drip(b"abcde", every=0.02, size=2), Cut()]
    async with Upstream(script) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        assert await client.read_until(b"ab") == b"ab"
        assert await client.read_rest() == b"cde"
    assert time.monotonic() - began >= 0.04


async def test_a_flood_shows_how_much_is_taken() -> None:
    total = 32 << 20
    async with (
        Upstream([Flood(total, b"x" * 65536), Cut()]) as upstream,
        RawClient(upstream.url, receive_buffer=65536) as client,
    ):
        await client.send(request())
        assert await client.read_some(1 << 16) == b"x" * (1 << 16)
        await asyncio.sleep(0.2)
        taken = upstream.sent
        assert 0 < taken < total / 2
        await asyncio.sleep(0.1)
        assert upstream.sent == taken
        assert (1 << 16) + len(await client.read_rest()) == total
        assert upstream.sent == total


async def test_a_flood_ends_when_nobody_is_left_to_take_it() -> None:
    async with Upstream([Flood(1 << 40)]) as upstream:
        async with RawClient(upstream.url) as client:
            await client.send(request())
            await client.read_some()
        await upstream.closed(1)
        assert upstream.sent < 1 << 40


async def test_a_slow_reader_reads_no_faster_than_it_is_told() -> None:
    async with Upstream([answer(200, b"x" * 4000)]) as upstream, RawClient(upstream.url) as client:
        await client.send(request())
        await client.read_head()
        began = time.monotonic()
        assert await client.read_some(2000, rate=20_000) == b"x" * 2000
        assert time.monotonic() - began >= 0.09
        assert not client.clean_end
        assert await client.read_body() == b"x" * 2000
        assert client.clean_end


async def test_a_script_may_begin_before_a_request() -> None:
    async with Upstream([OnAccept(), Reset()], answer(200, "hi")) as upstream:
        assert await exchange(upstream.url, []) == b""
        async with RawClient(upstream.url) as client:
            await client.send(request())
            assert (await client.read_head()).status == 200
        assert upstream.connections == 2
        assert len(upstream.requests) == 1


async def test_a_script_that_begins_before_a_request_reads_it_where_it_says() -> None:
    early = Send(b"HTTP/1.1 408 Too Slow\r\ncontent-length: 0\r\n\r\n")
    script = [OnAccept(), early, ReadRequest(), answer(200)]
    async with Upstream(script) as upstream, RawClient(upstream.url) as client:
        assert (await client.read_head()).status == 408
        await client.send(request())
        assert [(await client.read_head()).status, await client.read_body()] == [200, b"{}"]
        await client.send(request())  # on an open connection it is the request that comes first
        assert (await client.read_head()).status == 408
        assert (await client.read_head()).status == 200
        assert len(upstream.requests) == 2


async def test_a_script_for_connections_is_played_once_for_a_request_too() -> None:
    async with Upstream([OnAccept(), Send(b".")]) as upstream, RawClient(upstream.url) as client:
        assert await client.read_until(b".") == b"."
        for turn in range(1, 3):
            await client.send(request())
            assert await client.read_some() == b"."
            assert len(upstream.requests) == turn


async def test_what_is_not_read_backs_up() -> None:
    began = time.monotonic()
    async with Upstream([OnAccept(), Hold(0.3), ReadRequest(), answer()]) as upstream:
        async with RawClient(upstream.url) as client:
            await client.send(request("/", b"x" * (16 << 20)))
            assert time.monotonic() - began >= 0.3
            assert (await client.read_head()).status == 200
        assert len(upstream.requests[0].body) == 16 << 20


async def test_a_step_may_be_any_function() -> None:
    async def echo(connection: Connection) -> None:
        assert connection.request is not None
        await connection.send(answer(200, connection.request.body).data)
        assert connection.sent > 0
        assert not connection.peer_closed
        await connection.send(await connection.read())
        connection.cut()

    async with Upstream(echo) as upstream, RawClient(upstream.url) as client:
        await client.send(request("/", b"abc"))
        await client.read_head()
        assert await client.read_body() == b"abc"
        await client.send(b"more")
        assert await client.read_rest() == b"more"


async def test_a_faulty_script_fails_the_test() -> None:
    async def faulty(connection: Connection) -> None:
        raise KeyError(connection.number)

    with pytest.raises(ExceptionGroup) as caught:
        async with Upstream(faulty) as upstream:
            assert await exchange(upstream.url, request()) == b""
    assert caught.group_contains(KeyError, match="1")


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nnonsense\r\n\r\n"])
async def test_a_malformed_request_fails_the_test(raw: bytes) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with Upstream() as upstream:
            assert await exchange(upstream.url, raw) == b""
    assert caught.group_contains(ValueError, match="nonsense")


async def test_an_upstream_that_was_left_refuses_connections() -> None:
    async with Upstream(Stall()) as upstream:
        client = RawClient(upstream.url)
        await client.connect()
        await client.send(request())
        await upstream.received()
    assert await client.read_rest() == b""
    client.close()
    with pytest.raises(ConnectionRefusedError):
        await exchange(upstream.url, request())


async def test_an_upstream_may_come_back_on_its_port() -> None:
    upstream = Upstream([answer(503), Cut()], [answer(200), Cut()])
    async with upstream:
        url = upstream.url
        assert b" 503 " in await exchange(url, request())
    async with upstream:
        assert b" 200 " in await exchange(url, request())
    assert (upstream.connections, len(upstream.requests)) == (2, 2)


async def test_a_client_may_connect_to_a_unix_socket(tmp_path: Path) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(2) + b"!")
        writer.close()

    async with await asyncio.start_unix_server(reply, tmp_path / "s"):
        assert await exchange(f"unix:{tmp_path}/s", b"hi") == b"hi!"


async def test_an_exchange_may_close_its_sending_side() -> None:
    async with Upstream([Sleep(0.01), answer(200, "hi")]) as upstream:
        pieces = [bytes([byte]) for byte in request("/", b"abc")]
        assert await exchange(upstream.url, pieces, half_close=True) == ANSWERED
        assert upstream.requests[0].body == b"abc"


async def test_an_exchange_sends_its_pieces_apart() -> None:
    raw = request("/", b"abc")
    async with Upstream([answer(), Cut()]) as upstream:
        began = time.monotonic()
        await exchange(upstream.url, [raw[:9], raw[9:30], raw[30:]], pause=0.02)
        assert upstream.requests[0].at - began >= 0.04


async def test_an_exchange_that_does_not_end_says_what_came() -> None:
    async with Upstream([answer(), Stall()]) as upstream:
        with pytest.raises(TimeoutError, match=r"did not close within 0\.3 s; \d+ bytes .*HTTP/1"):
            await exchange(upstream.url, request(), timeout=0.3)


async def test_an_exchange_returns_what_came_before_a_reset_while_it_still_sends() -> None:
    async with Upstream([OnAccept(), Send(ANSWERED), Reset()]) as upstream:
        assert await exchange(upstream.url, [b"x"] * 1000, pause=0.01) == ANSWERED


async def test_a_fault_in_the_pieces_is_not_swallowed() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("no more")

    async with Upstream([OnAccept(), Sleep(0.05), Cut()]) as upstream:
        with pytest.raises(KeyError, match="no more"):
            await exchange(upstream.url, pieces())


async def test_a_client_that_waits_in_vain_says_for_what() -> None:
    async with Upstream([stream_head(), chunks(b"one"), Cut()]) as upstream:
        async with RawClient(upstream.url) as client:
            with pytest.raises(RuntimeError, match="read_head"):
                _ = client.clean_end
            await client.send(request())
            with pytest.raises(ConnectionError, match=r"was closed before b'two'; \d+ bytes"):
                await client.read_until(b"two")
        async with RawClient(upstream.url, timeout=0.2) as client:
            with pytest.raises(TimeoutError, match=r"nothing came within 0\.2 s"):
                await client.read_some()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://127.0.0.1", "127.0.0.1:80"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not http://HOST:PORT or unix:/path"):
        await exchange(url, b"")
