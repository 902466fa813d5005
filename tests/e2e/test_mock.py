"""The mock provider over sockets: its bytes, its misbehaviour, its end."""

import asyncio
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest

from proxy.mock import Mock, MockSettings, start_mock
from proxy.mock.server import MAX_BODY

T = TypeVar("T")

USER: Any = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "mock", "messages": USER}
STREAM = {**CHAT, "stream": True}


@asynccontextmanager
async def running(settings: MockSettings | None = None) -> AsyncIterator[Mock]:
    mock = await start_mock(settings or MockSettings())
    try:
        yield mock
    finally:
        await mock.close()


@pytest.fixture
async def mock() -> AsyncIterator[Mock]:
    async with running() as mock:
        yield mock


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another task is about to do, for at most ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.005)


def frames(data: bytes) -> Iterator[bytes]:
    *whole, rest = data.split(b"\n\n")
    assert rest == b""
    return iter(whole)


async def collect(source: AsyncIterable[T], into: list[T]) -> None:
    """Keeps what came, whatever happens after it."""
    async for each in source:
        into.append(each)


async def read_to_break(response: aiohttp.ClientResponse) -> bytes:
    """What came before the connection broke; it has to break."""
    chunks: list[bytes] = []
    with pytest.raises(aiohttp.ClientPayloadError):
        await collect(response.content.iter_any(), chunks)
    return b"".join(chunks)


async def exchange(mock: Mock, body: dict[str, Any], version: str = "1.1") -> bytes:
    """Every byte of the answer on a connection of its own, to its end."""
    host, _, port = mock.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    encoded = msgspec.json.encode(body)
    writer.write(
        f"POST /v1/chat/completions HTTP/{version}\r\nhost: mock\r\nconnection: close\r\n"
        f"content-length: {len(encoded)}\r\n\r\n".encode()
        + encoded
    )
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


# What goes over the wire


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", CHAT),
        ("chat/completions", STREAM),
        ("responses", {"model": "mock", "input": "Hello", "stream": True}),
        ("embeddings", {"model": "mock", "input": "Hello"}),
        ("embeddings", {"model": "mock"}),
    ],
)
async def test_a_response_is_the_same_byte_for_byte(
    session: aiohttp.ClientSession, path: str, body: Any
) -> None:
    seen = set()
    for _ in range(2):
        async with running() as mock:
            for seed in ("1", "2"):
                async with session.post(
                    f"{mock.url}/{path}", json=body, headers={"x-mock-seed": seed}
                ) as response:
                    seen.add((response.raw_headers, await response.read()))
    assert len(seen) == 2


async def test_each_event_is_one_chunk(mock: Mock) -> None:
    data = await exchange(mock, STREAM)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream; charset=utf-8" in head.lower()
    count = 0
    while True:
        size, _, rest = rest.partition(b"\r\n")
        chunk, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        if not chunk:
            break
        count += 1
        assert re.fullmatch(rb"data: [^\n]+\n\n", chunk)
    assert rest == b""
    assert chunk == b""
    assert count == mock.events_sent == 16 + 3


async def test_a_stream_is_cut_after_its_events(mock: Mock, session: aiohttp.ClientSession) -> None:
    async with session.post(
        f"{mock.url}/chat/completions", json={**STREAM, "model": "mock-cut-5"}
    ) as response:
        assert len(list(frames(await read_to_break(response)))) == 5


async def test_a_stream_fails_after_its_events_and_then_breaks(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    body = {"model": "mock-error-3", "input": "Hello", "stream": True}
    async with session.post(f"{mock.url}/responses", json=body) as response:
        *events, failure = frames(await read_to_break(response))
    assert len(events) == 3
    assert failure.startswith(b"event: error\n")
    assert b'"sequence_number":3' in failure


async def test_to_http_1_0_a_cut_is_a_reset(mock: Mock) -> None:
    # There the end of the connection is the end of the body: a clean one would look complete.
    with pytest.raises(ConnectionResetError):
        await exchange(mock, {**STREAM, "model": "mock-cut-5"}, version="1.0")
    assert (await exchange(mock, STREAM, version="1.0")).endswith(b"data: [DONE]\n\n")


async def test_a_refusal_is_a_reset_before_any_byte(mock: Mock) -> None:
    with pytest.raises(ConnectionResetError):
        await exchange(mock, {**CHAT, "model": "mock-refuse"})
    assert mock.cancelled == 0


async def test_a_stall_lasts_until_the_client_leaves(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    body = {**STREAM, "model": "mock-stall-5"}
    async with session.post(f"{mock.url}/chat/completions", json=body) as response:
        data = b""
        while data.count(b"\n\n") < 5:
            data += await response.content.readany()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.1)
        assert mock.in_flight == 1
        response.close()
    await until(lambda: mock.in_flight == 0)
    assert (mock.cancelled, mock.events_sent) == (1, 5)


async def test_a_stall_after_no_event_still_has_a_head(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    body = {**STREAM, "model": "mock-stall-0"}
    async with session.post(f"{mock.url}/chat/completions", json=body) as response:
        assert response.status == 200
        response.close()


async def test_a_stream_that_is_shorter_ends_as_it_should(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    for model in ("mock-cut-500", "mock-error-500", "mock-stall-500"):
        async with session.post(
            f"{mock.url}/chat/completions", json={**STREAM, "model": model}
        ) as response:
            assert list(frames(await response.read()))[-1] == b"data: [DONE]"


async def test_a_whole_response_is_cut_in_half(mock: Mock, session: aiohttp.ClientSession) -> None:
    body = {**CHAT, "model": "mock-cut-5"}
    async with session.post(f"{mock.url}/chat/completions", json=body) as response:
        assert response.content_length is not None
        assert len(await read_to_break(response)) == response.content_length // 2


async def test_a_whole_response_fails(mock: Mock, session: aiohttp.ClientSession) -> None:
    body = {**CHAT, "model": "mock-error-5"}
    async with session.post(f"{mock.url}/chat/completions", json=body) as response:
        assert response.status == 500
        assert (await response.json())["error"]["type"] == "server_error"


async def test_a_whole_response_stalls_before_its_head(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    body = {**CHAT, "model": "mock-stall-5"}
    asking = asyncio.ensure_future(session.post(f"{mock.url}/chat/completions", json=body))
    await until(lambda: mock.in_flight == 1)
    assert not (await asyncio.wait([asking], timeout=0.1))[0]
    asking.cancel()
    await until(lambda: mock.in_flight == 0)
    assert mock.cancelled == 1


@pytest.mark.parametrize(
    ("body", "seconds"),
    [(STREAM, 0.05), (CHAT, 0.05), ({**CHAT, "model": "mock-status-503"}, 0.02)],
)
async def test_delays_pass_before_the_response_and_between_tokens(
    mock: Mock, session: aiohttp.ClientSession, body: Any, seconds: float
) -> None:
    headers = {"x-mock-ttft": "20ms", "x-mock-itl": "10ms", "x-mock-output-tokens": "4"}
    begun = time.perf_counter()
    async with session.post(f"{mock.url}/chat/completions", json=body, headers=headers) as response:
        await response.read()
    # The timers of the loop have a resolution of a millisecond.
    assert time.perf_counter() - begun > seconds - 0.002


async def test_equal_requests_take_different_times(session: aiohttp.ClientSession) -> None:
    async def seconds(mock: Mock, **headers: str) -> float:
        begun = time.perf_counter()
        async with session.post(
            f"{mock.url}/chat/completions", json=CHAT, headers=headers
        ) as response:
            await response.read()
        return time.perf_counter() - begun

    # The first delays that this seed draws are 9 ms and 169 ms.
    async with running(MockSettings(ttft="lognormal:50ms,1.5", seed=148)) as mock:
        first, second = await seconds(mock), await seconds(mock)
        again = await seconds(mock, **{"x-mock-seed": "148"})
    assert first < second
    assert again < second


async def test_requests_fail_after_so_many(session: aiohttp.ClientSession) -> None:
    async with running(MockSettings(fail_after_requests=2)) as mock:
        statuses = []
        for _ in range(4):
            async with session.post(f"{mock.url}/chat/completions", json=CHAT) as response:
                statuses.append(response.status)
        assert response.headers["retry-after"] == "1"
        assert statuses == [200, 200, 503, 503]
        async with session.get(f"http://{mock.address}/health") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})


# What is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param", "code"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, None, None),
        ("POST", "/v1/chat/completions", b'{"messages":[{"role":"user"}]}', 400, "model", None),
        ("POST", "/v1/chat/completions", b'{"model":"mock"}', 400, "messages", None),
        ("POST", "/v1/responses", b'{"model":"mock"}', 400, "input", None),
        ("POST", "/v1/completions", b'{"model":"mock"}', 400, "prompt", None),
        ("GET", "/v1/chat/completions", b"", 405, None, "method_not_supported"),
        ("POST", "/v1/models", b"", 405, None, "method_not_supported"),
        ("DELETE", "/v1/models/mock", b"", 405, None, "method_not_supported"),
        ("POST", "/v1/audio/speech", b"{}", 404, None, "unknown_url"),
        ("GET", "/", b"", 404, None, "unknown_url"),
    ],
)
async def test_a_bad_request_is_refused_in_the_shape_of_the_dialect(
    mock: Mock,
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    body: bytes,
    status: int,
    param: str | None,
    code: str | None,
) -> None:
    async with session.request(method, f"http://{mock.address}{path}", data=body) as response:
        error = (await response.json())["error"]
    assert response.status == status
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert response.headers["x-request-id"].startswith("req_")
    assert ("allow" in response.headers) == (status == 405)


async def test_a_bad_header_is_named(mock: Mock, session: aiohttp.ClientSession) -> None:
    async with session.post(
        f"{mock.url}/chat/completions", json=CHAT, headers={"x-mock-itl": "soon"}
    ) as response:
        error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, "x-mock-itl")
    assert error["message"].startswith("x-mock-itl: expected a delay")


async def test_a_body_that_is_too_large_is_refused(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        part = b" " * (1 << 20)
        for _ in range(MAX_BODY // len(part) + 1):
            yield part

    async with session.post(f"{mock.url}/chat/completions", data=parts()) as response:
        assert response.status == 413
        assert f"larger than {MAX_BODY} bytes" in (await response.json())["error"]["message"]


async def test_a_body_that_cannot_be_unpacked_is_refused(
    mock: Mock, session: aiohttp.ClientSession
) -> None:
    async with session.post(
        f"{mock.url}/chat/completions", data=b"no gzip", headers={"content-encoding": "gzip"}
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


# What it costs, and how it ends


async def test_a_client_that_takes_nothing_is_waited_for(mock: Mock) -> None:
    host, _, port = mock.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    body = msgspec.json.encode({**STREAM, "max_tokens": 500_000, "ignore_eos": True})
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )
    await reader.readexactly(1)
    seen = -1
    while mock.events_sent > seen:
        seen = mock.events_sent
        await asyncio.sleep(0.2)
    assert 0 < seen < 500_000
    writer.transport.abort()
    await until(lambda: mock.in_flight == 0)
    assert mock.cancelled == 1


@pytest.mark.parametrize(
    "body", [{**CHAT, "model": "mock-stall-5"}, {**STREAM, "model": "mock-stall-5"}, CHAT, STREAM]
)
async def test_closing_does_not_wait_for_open_streams(
    session: aiohttp.ClientSession, body: Any
) -> None:
    mock = await start_mock(MockSettings(itl="10s"))
    waiting = asyncio.ensure_future(session.post(f"{mock.url}/chat/completions", json=body))
    await until(lambda: mock.in_flight == 1)
    await asyncio.wait_for(mock.close(), 5)
    with pytest.raises(aiohttp.ClientError):
        await (await waiting).read()
    assert (mock.in_flight, mock.cancelled) == (0, 0)
    await mock.close()


async def test_an_address_that_is_taken_is_an_os_error(mock: Mock) -> None:
    host, _, port = mock.address.rpartition(":")
    with pytest.raises(OSError, match="address already in use"):
        await start_mock(MockSettings(), host=host, port=int(port))
