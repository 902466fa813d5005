"""aiohttp-sse-client as a reader of streams that shares no code with ours.

It has to be left on the stream's terminal event: at the end of a stream it connects again, which
for a POST means that the request is sent again (the last test shows it).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp_sse_client.client import EventSource

from proxy.testing import END, Cut, Drip, Reset, Upstream, chunks, serve, sse, stream_head

CHAT: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}
PROVIDER = """
[provider.fake]
type = "openai_compatible"
url = "%s/v1"
"""
AT_ONCE = timedelta(milliseconds=1)


class Reader:
    """Reads streams that it asks for with a POST."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def open(self, url: str, body: dict[str, Any]) -> EventSource:
        """The stream; its own session it would leave open when it cannot connect."""
        option = {"method": "POST"}
        return EventSource(url, option, AT_ONCE, session=self._session, json=body)

    async def read(self, url: str, body: dict[str, Any], last: str = "[DONE]") -> list[Any]:
        """The events of a stream, until the one whose data or type is `last`."""
        events = []
        async with asyncio.timeout(10), self.open(url, body) as source:
            async for event in source:
                events.append(event)
                if last in (event.data, event.type):
                    break
        return events


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with aiohttp.ClientSession() as session:
        yield Reader(session)


async def test_a_chat_stream_reads_as_what_is_answered_whole(reader: Reader) -> None:
    async with serve() as proxy:
        events = await reader.read(f"{proxy}/v1/chat/completions", CHAT | {"stream": True})
        assert [event.type for event in events] == [None] * len(events)
        decoded = [msgspec.json.decode(event.data) for event in events[:-1]]
        assert all(chunk["object"] == "chat.completion.chunk" for chunk in decoded)
        deltas = [chunk["choices"][0]["delta"] for chunk in decoded]
        assert len("".join(delta.get("content") or "" for delta in deltas).split()) == 16
        # It left after the last event, so nobody was asked twice.
        assert len(proxy.exchanges) == 1
        assert proxy.exchanges[0]["output_tokens"] == 16


async def test_the_named_events_of_a_response(reader: Reader) -> None:
    body = {"model": "mock", "input": "Hello", "stream": True}
    async with serve() as proxy:
        events = await reader.read(f"{proxy}/v1/responses", body, last="response.completed")
        assert events[0].type == "response.created"
        assert [event.type for event in events] == [
            msgspec.json.decode(event.data)["type"] for event in events
        ]
        final = msgspec.json.decode(events[-1].data)["response"]
        assert final["usage"]["output_tokens"] == proxy.exchanges[0]["output_tokens"] == 16


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_events_that_come_in_pieces(reader: Reader, line_end: bytes) -> None:
    said = ["one", "zw\u00f6lf \U0001f600", " leading", "two\nlines", "[DONE]"]
    stream = b""
    for data in said:
        stream += b"".join(b"data:%b%b" % (part.encode(), line_end) for part in data.split("\n"))
        stream += b": a comment%bid: 7%b%b" % (line_end, line_end, line_end)
    pieces = chunks(*(stream[at : at + 5] for at in range(0, len(stream), 5))).data
    async with (
        Upstream([stream_head(), Drip(pieces, every=0.0, size=7), END]) as upstream,
        serve(PROVIDER % upstream.url) as proxy,
    ):
        events = await reader.read(f"{proxy}/v1/chat/completions", CHAT | {"stream": True})
        # This reader strips every leading space, where WHATWG strips one.
        assert [event.data for event in events] == [data.lstrip() for data in said]


@pytest.mark.parametrize("ending", [Cut(), Reset()])
async def test_a_stream_that_breaks_ends_in_an_error_event(
    reader: Reader, ending: Cut | Reset
) -> None:
    async with (
        Upstream([stream_head(), sse('{"choices":[]}'), ending]) as upstream,
        serve(PROVIDER % upstream.url) as proxy,
    ):
        async with asyncio.timeout(10), reader.open(f"{proxy}/v1/chat/completions", CHAT) as source:
            assert (await anext(source)).data == '{"choices":[]}'
            error = msgspec.json.decode((await anext(source)).data)["error"]
        assert error["code"] == "provider.broke"


async def test_an_error_before_the_stream_raises(reader: Reader) -> None:
    async with serve() as proxy:
        for model, error in (
            ("mock-status-503", ConnectionError),
            ("mock-status-401", ConnectionRefusedError),
        ):
            with pytest.raises(error, match=model[-3:]):
                await reader.read(
                    f"{proxy}/v1/chat/completions", CHAT | {"model": model, "stream": True}
                )


async def test_a_reader_that_stays_after_the_end_asks_again(reader: Reader) -> None:
    # Why every reader of ours leaves on the last event: with a real provider each is paid for.
    stream = [stream_head(), sse('{"choices":[]}', "[DONE]"), END]
    async with Upstream(stream) as upstream, serve(PROVIDER % upstream.url) as proxy:
        events = []
        async with asyncio.timeout(10), reader.open(f"{proxy}/v1/chat/completions", CHAT) as source:
            async for event in source:
                events.append(event.data)
                if events.count("[DONE]") == 3:
                    break
        assert events == ['{"choices":[]}', "[DONE]"] * 3
        assert len(upstream.requests) == len(proxy.exchanges) == 3
        assert len({request.body for request in upstream.requests}) == 1
