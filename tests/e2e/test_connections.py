"""What happens on a connection: requests behind each other, expectations, HTTP/1.0, HEAD."""

import asyncio
import time
import tracemalloc

import pytest

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
    BODY,
    CHAT,
    LENGTH,
    Scenes,
    check_refused,
    elsewhere,
    raw,
    read_answer,
    read_error,
    until,
)

SMUGGLED = b"GET /v1/files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


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
            start = time.monotonic()
            for turn in range(count):
                assert (await read_answer(client)).fields["x-llm-proxy-model"] == f"m{turn}"
                if turn % 100 == 0:
                    began = time.monotonic()
                    await other.send(raw())
                    assert (await read_answer(other)).status == 200
                    latencies.append(time.monotonic() - began)
            await sending
            took = time.monotonic() - start
        assert max(latencies) < took / 2  # it is not behind the others
        await s.lines(count + len(latencies))


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
                with pytest.raises(TimeoutError):
                    await client.send([raw(LENGTH + more) * 1000] * 4096)
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


async def test_what_is_idle_for_too_long_is_closed_and_leaves_nothing(
    scene: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(answer()) as s:
        transport = s.url.app._transport
        assert (await s.chat()).status == 200
        assert (await s.chat()).status == 200
        assert (s.upstream.connections, s.upstream.open_connections) == (1, 1)
        assert len(transport._idle) == len(transport._dials) == 1
        monkeypatch.setattr("proxy.transport.IDLE_SECONDS", 0.0)
        await until(lambda: not s.upstream.open_connections)
        assert s.upstream.open_connections == 0
        assert (transport._idle, transport._dials) == ({}, {})
        await until(lambda: not s.url.app._sweep._watched)
        assert not s.url.app._sweep._watched  # an idle process stays asleep
        monkeypatch.undo()
        assert (await s.chat()).status == 200
        assert s.upstream.connections == 2


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions?api-version=1",
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
    ],
)
async def test_whatever_endpoint_is_asked_the_connection_stays_with_the_front(
    scene: Scenes, path: str
) -> None:
    content = {"contents": [{"parts": [{"text": "Hi"}]}], "model": "m", "messages": []}
    async with scene() as s, s.client() as client:
        await client.send(request(path, content))
        assert (await read_answer(client)).fields["x-llm-proxy-route"] == "chat"
        [server] = s.url.app._listening.servers
        assert len(server._fronts) == 1
        assert not server._web.connections
