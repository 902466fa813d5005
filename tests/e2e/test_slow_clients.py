"""Clients that take their time: with a head, with a body, with an answer, with anything."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from proxy import front, server
from proxy.tasks import spawn
from proxy.testing import (
    Stall,
    answer,
    exchange,
)
from tests.e2e.conftest import (
    BODY,
    LENGTH,
    Scenes,
    elsewhere,
    open_connections,
    parse,
    raw,
    read_answer,
    until,
)

CHUNKED = "transfer-encoding: chunked\n"
IMPATIENT = '[server]\nhead_timeout = "200ms"\nbody_timeout = "200ms"\nkeepalive_timeout = "300ms"'


def dripped(data: bytes) -> Iterator[bytes]:
    """A byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("sent", [b"P", b"POST / HTTP/1.1\r\n", raw()[: -len(BODY) - 2]])
async def test_a_head_that_does_not_end(scene: Scenes, sent: bytes) -> None:
    async with scene(server=IMPATIENT) as s:
        began = time.monotonic()
        said = parse(await exchange(s.url, sent))
        assert 0.2 <= time.monotonic() - began < 5
        await s.refused(said, 408, "client.timeout", message="0.2 s")


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("first", [b"", raw()], ids=["first", "second"])
async def test_a_head_byte_by_byte(scene: Scenes, first: bytes) -> None:
    async with scene(server=IMPATIENT) as s:
        began = time.monotonic()
        received = await exchange(s.url, [first, *dripped(raw())], pause=0.02)
        assert 0.2 <= time.monotonic() - began < 5
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
        assert 0.2 <= time.monotonic() - began < 5
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
        assert 0.2 <= time.monotonic() - began < 5
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
@elsewhere
async def test_connections_that_ask_nothing_are_closed(scene: Scenes, more: str) -> None:
    async with scene(server=IMPATIENT) as s:
        async with s.client() as fresh, s.client() as used:
            await used.send(raw(LENGTH + more))
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
