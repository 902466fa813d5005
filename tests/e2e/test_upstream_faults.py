"""Providers on bad days, before they answer: what the client is told, and what the log says."""

import gzip
import os
import socket
import statistics
from collections.abc import Sequence

import pytest

from proxy.exchange import Origin
from proxy.testing import (
    Cut,
    Drip,
    Flood,
    Hold,
    OnAccept,
    Reset,
    Send,
    Sleep,
    Stall,
    Step,
    Upstream,
    answer,
    chunks,
    request,
)
from proxy.upstream import UpstreamConnection
from tests.e2e.conftest import Scenes, chat, read_answer

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


# Before the head.

GONE: dict[str, Steps] = {
    "reset on accept": [OnAccept(), Reset()],
    "closed on accept": [OnAccept(), Cut()],
    "reset": [Reset()],
    "closed": [Cut()],
    "reset in the head": [raw("HTTP/1.1 200 OK\nconte"), Sleep(0.01), Reset()],
    "closed in the head": [raw("HTTP/1.1 200 OK\nconte"), Cut()],
    "closed after an interim response": [raw("HTTP/1.1 103 Early Hints\n\n"), Cut()],
}


@both
@pytest.mark.parametrize("script", GONE.values(), ids=GONE)
async def test_a_provider_that_leaves_before_it_answers(
    scene: Scenes, script: Steps, stream: bool
) -> None:
    async with scene(script) as s:
        await s.refused(await s.chat(stream=stream), 502, "provider.broke", type="server_error")
        assert s.upstream.connections == 1


async def test_a_provider_that_cannot_be_connected_to(scene: Scenes) -> None:
    async with Upstream() as gone:
        pass
    async with scene(at=gone.url) as s:
        await s.refused(await s.chat(), 502, "provider.connect", message=": Connection refused")
        assert (await s.line())["attempts"] == 1


async def test_a_provider_that_leaves_is_told_of_at_once(scene: Scenes) -> None:
    async with scene([Reset()]) as s:
        for _ in range(9):
            await s.chat()
        lines = await s.lines(9)
    assert statistics.median(line["total_ms"] for line in lines) < 50


NOT_HTTP: dict[str, Send] = {
    "garbage": Send(b"\x00\xff\xfegarbage\r\n\r\n"),
    "words": Send(b"go away\r\n\r\n"),
    "another protocol": Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "a TLS alert": Send(b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n"),
    "HTTP/2": Send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n"),
    "HTTP/0.9": Send(b'{"choices":[]}\r\n\r\n'),
    "HTTP/1.2": raw("HTTP/1.2 200 OK\ncontent-length: 2\n\n{}"),
    "HTTP/1.10": raw("HTTP/1.10 200 OK\ncontent-length: 2\n\n{}"),
    "ICY": raw("ICY 200 OK\ncontent-length: 2\n\n{}"),
    "no status": raw("HTTP/1.1 OK\ncontent-length: 2\n\n{}"),
    "a short status": raw("HTTP/1.1 20 OK\ncontent-length: 2\n\n{}"),
    "a long status": raw("HTTP/1.1 2000 OK\ncontent-length: 2\n\n{}"),
    "a blank line first": raw("\nHTTP/1.1 200 OK\ncontent-length: 2\n\n{}"),
    "bare LF": Send(b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"),
    "a bare CR": raw("HTTP/1.1 200 OK\nx: a\rb\ncontent-length: 2\n\n{}"),
    "a NUL": raw("HTTP/1.1 200 OK\nx: a\0b\ncontent-length: 2\n\n{}"),
    "an escape": raw("HTTP/1.1 200 OK\nx: \x1b[2J\ncontent-length: 2\n\n{}"),
    "a folded line": raw("HTTP/1.1 200 OK\nx: a\n b\ncontent-length: 2\n\n{}"),
    "a line without a colon": raw("HTTP/1.1 200 OK\nx\ncontent-length: 2\n\n{}"),
    "a field without a name": raw("HTTP/1.1 200 OK\n: x\ncontent-length: 2\n\n{}"),
    "a space in a name": raw("HTTP/1.1 200 OK\nx y: z\ncontent-length: 2\n\n{}"),
    "a space before the colon": raw("HTTP/1.1 200 OK\ncontent-length : 2\n\n{}"),
    "too many fields": raw("HTTP/1.1 200 OK\n" + "x: y\n" * 200 + "content-length: 2\n\n{}"),
    "two lengths": raw("HTTP/1.1 200 OK\ncontent-length: 2\ncontent-length: 3\n\n{}"),
    "two lengths in a line": raw("HTTP/1.1 200 OK\ncontent-length: 2, 3\n\n{}"),
    "a negative length": raw("HTTP/1.1 200 OK\ncontent-length: -2\n\n{}"),
    "a signed length": raw("HTTP/1.1 200 OK\ncontent-length: +2\n\n{}"),
    "a hexadecimal length": raw("HTTP/1.1 200 OK\ncontent-length: 0x2\n\n{}"),
    "an empty length": raw("HTTP/1.1 200 OK\ncontent-length:\n\n{}"),
    "a length without end": raw(f"HTTP/1.1 200 OK\ncontent-length: {'9' * 30}\n\n{{}}"),
    "a length and chunks": raw(
        "HTTP/1.1 200 OK\ncontent-length: 2\ntransfer-encoding: chunked\n\n2\n{}\n0\n\n"
    ),
    "chunks in HTTP/1.0": raw("HTTP/1.0 200 OK\ntransfer-encoding: chunked\n\n2\n{}\n0\n\n"),
    "compressed chunks": raw("HTTP/1.1 200 OK\ntransfer-encoding: gzip, chunked\n\n0\n\n"),
    "an unknown transfer coding": raw("HTTP/1.1 200 OK\ntransfer-encoding: identity\n\n{}"),
    "an empty transfer coding": raw("HTTP/1.1 200 OK\ntransfer-encoding:\n\n{}"),
    "chunked twice": raw("HTTP/1.1 200 OK\ntransfer-encoding: chunked, chunked\n\n0\n\n"),
    "another protocol from here on": raw("HTTP/1.1 101 Switching Protocols\nupgrade: h2c\n\n"),
}


@pytest.mark.parametrize("said", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_an_answer_that_is_not_http(scene: Scenes, said: Send) -> None:
    async with scene([said, Stall()]) as s:
        await s.refused(await s.chat(), 502, "provider.bad_response", message="not HTTP")


async def test_a_provider_that_speaks_before_it_was_asked(scene: Scenes) -> None:
    async with scene([OnAccept(), Send(b"220 smtp.example ESMTP\r\n"), Stall()]) as s:
        await s.refused(await s.chat(), 502, "provider.bad_response")


HEADS_WITHOUT_END: dict[str, Steps] = {
    "a status line": [Flood(1 << 30, b"H" * 65536)],
    "a field": [raw("HTTP/1.1 200 OK\nx: "), Flood(1 << 30, b"y" * 65536)],
    "fields": [raw("HTTP/1.1 200 OK\n"), Flood(1 << 30, b"x: y\r\n" * 10_000)],
    "interim responses": [Flood(1 << 30, b"HTTP/1.1 102 Processing\r\n\r\n" * 2_000)],
}


@pytest.mark.parametrize("script", HEADS_WITHOUT_END.values(), ids=HEADS_WITHOUT_END)
async def test_a_head_without_end_is_not_read_for_ever(scene: Scenes, script: Steps) -> None:
    async with scene(script) as s:
        await s.refused(await s.chat(), 502, "provider.bad_response")
        # The rest of what it could send is the kernel's.
        assert s.upstream.sent < 16 * 1024 * 1024


@both
async def test_interim_responses_are_swallowed(scene: Scenes, stream: bool) -> None:
    hints = raw(
        "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nlink: </x>\n\nHTTP/1.1 102 P\n\n"
    )
    last = raw("HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: 2\n\n{}")
    for script in ([hints, last], [hints, Sleep(0.02), last], [Drip(hints.data + last.data, 0)]):
        async with scene(script) as s:
            said = await s.chat(stream=stream)
            assert (said.status, said.body, said.whole) == (200, b"{}", True)
            assert "link" not in said.fields
            assert "error" not in await s.line()


# A head that is fine, and not an answer.

PAGE = "<html><body><h1>Bad Gateway</h1><hr>nginx</body></html>"
HTML = {"content-type": "text/html; charset=utf-8"}


@both
@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (200, 502, "provider.bad_response"),
        (403, 403, "provider.refused"),
        (404, 404, "provider.refused"),
        (429, 429, "provider.rate_limited"),
        (500, 500, "provider.bad_response"),
        (502, 502, "provider.bad_response"),
        (503, 503, "provider.overloaded"),
        (504, 504, "provider.timeout"),
    ],
)
async def test_a_page_of_html_never_reaches_the_client(
    scene: Scenes, stream: bool, status: int, expected: int, code: str
) -> None:
    async with scene(answer(status, PAGE, HTML)) as s:
        said = await s.chat(stream=stream)
        await s.refused(said, expected, code)
        assert b"<" not in said.body


NOT_ANSWERS: dict[str, Send] = {
    "204": raw("HTTP/1.1 204 No Content\n\n"),
    "205": raw("HTTP/1.1 205 Reset Content\ncontent-length: 0\n\n"),
    "206": raw("HTTP/1.1 206 Partial Content\ncontent-range: bytes 0-1/9\ncontent-length: 2\n\n{}"),
    "304": raw("HTTP/1.1 304 Not Modified\netag: x\n\n"),
    "200 without a body": raw("HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
    "a status nobody knows": raw("HTTP/1.1 299 Fine\ncontent-length: 2\n\n{}"),
}


@both
@pytest.mark.parametrize("said", NOT_ANSWERS.values(), ids=NOT_ANSWERS)
async def test_an_answer_without_an_answer(scene: Scenes, said: Send, stream: bool) -> None:
    async with scene(said) as s:
        await s.refused(await s.chat(stream=stream), 502, "provider.bad_response")


@both
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(scene: Scenes, status: int, stream: bool) -> None:
    async with Upstream() as trap:
        away = {"location": f"{trap.url}/v1/chat/completions"}
        async with scene(answer(status, "{}", away)) as s:
            said = await s.chat(stream=stream)
            await s.refused(said, 502, "provider.bad_response", message=str(status))
            assert "location" not in said.fields
        async with scene(answer(status, "", away)) as s:
            passed = await s.ask(request("/v1/files/f/content", method="GET"), method="GET")
            assert (passed.status, passed.fields["location"]) == (status, away["location"])
            assert len(s.upstream.requests) == 1
        assert trap.connections == 0


@both
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd"])
async def test_a_coding_that_nobody_asked_for(scene: Scenes, coding: str, stream: bool) -> None:
    fields = {"content-type": "application/json", "content-encoding": coding}
    async with scene(answer(200, gzip.compress(b"{}"), fields)) as s:
        said = await s.chat(stream=stream)
        await s.refused(said, 502, "provider.bad_response", message=coding)
        assert "content-encoding" not in said.fields
        assert s.upstream.requests[0].header("accept-encoding") == "identity"


async def test_a_coding_that_the_client_takes_is_passed_on(scene: Scenes) -> None:
    packed = gzip.compress(b'{"choices":[]}')
    fields = {"content-type": "application/json", "content-encoding": "gzip"}
    asked = request(
        "/v1/chat/completions", {"model": "m"}, headers={"accept-encoding": "gzip, br;q=0.5"}
    )
    async with scene(answer(200, packed, fields), route=EXACT) as s:
        said = await s.ask(asked)
        assert (said.status, said.body, said.fields["content-encoding"]) == (200, packed, "gzip")


async def test_an_error_in_a_coding_is_told_in_other_words(scene: Scenes) -> None:
    packed = gzip.compress(b'{"error":{"message":"secret"}}')
    fields = {"content-type": "application/json", "content-encoding": "gzip"}
    async with scene(answer(400, packed, fields)) as s:
        said = await s.chat()
        await s.refused(said, 400, "provider.refused")
        assert "content-encoding" not in said.fields


ERROR = '{"error": {"message": "No.", "type": "odd", "param": null, "code": "c"}, "extra": 1.0}'


@both
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "provider.refused"),
        (401, "provider.refused"),
        (402, "provider.refused"),
        (403, "provider.refused"),
        (404, "provider.refused"),
        (422, "provider.refused"),
        (429, "provider.rate_limited"),
        (500, "provider.broke"),
        (503, "provider.overloaded"),
        (504, "provider.timeout"),
        (529, "provider.overloaded"),
        (599, "provider.broke"),
    ],
)
async def test_an_error_in_openais_shape_keeps_its_words(
    scene: Scenes, status: int, code: str, stream: bool
) -> None:
    fields = {"content-type": "application/json", "retry-after": "7", "x-request-id": "theirs"}
    async with scene(answer(status, ERROR, fields)) as s:
        said = await s.chat(stream=stream)
        assert (said.status, said.body, said.whole) == (status, ERROR.encode(), True)
        assert said.fields["x-llm-proxy-error"] == code
        assert (said.fields["retry-after"], said.fields["x-request-id"]) == ("7", "theirs")
        line = await s.line()
        assert (line["status"], line["error"], line["attempts"]) == (status, code, 1)


async def test_an_error_about_our_token_keeps_its_words_to_itself(scene: Scenes) -> None:
    error = '{"error": {"message": "Incorrect API key provided: sk-secret-sk", "code": "x"}}'
    async with scene(answer(401, error), provider='token = "literal:sk-secret-sk"') as s:
        said = await s.chat()
        await s.refused(said, 502, "provider.credentials")
        assert b"sk-secret" not in said.body
        assert "sk-secret" not in str(s.url.lines)
        assert s.upstream.requests[0].header("authorization") == "Bearer sk-secret-sk"


ERROR_HEAD = raw("HTTP/1.1 500 Oh\ncontent-type: application/json\ntransfer-encoding: chunked\n\n")


async def test_an_error_without_end_is_not_read_for_ever(scene: Scenes) -> None:
    async with scene([ERROR_HEAD, Flood(1 << 30)]) as s:
        await s.refused(await s.chat(), 500, "provider.bad_response")
        assert s.upstream.sent < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        (Cut(), 502, "provider.broke"),
        (Send(b"zz\r\n"), 502, "provider.broke"),
        (Stall(), 504, "provider.timeout"),
    ],
    ids=["cut", "broken", "stalled"],
)
async def test_an_error_that_breaks(scene: Scenes, ending: Step, status: int, code: str) -> None:
    script = [ERROR_HEAD, chunks(b'{"error"'), Sleep(0.02), ending, Stall()]
    async with scene(script, provider='idle_timeout = "100ms"') as s:
        await s.refused(await s.chat(), status, code)


# Connections that are kept.


CLOSINGS: dict[str, Steps] = {"closed": [Cut()], "reset": [Reset()]}


@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
@pytest.mark.parametrize("delay", [0.0, 0.001], ids=["at once", "soon"])
async def test_a_kept_connection_that_the_provider_closed(
    scene: Scenes, closing: Steps, delay: float
) -> None:
    # What it does not read it cannot have acted upon.
    async with scene([answer(), Hold(delay), *closing]) as s:
        async with s.client() as client:
            for _ in range(200):
                await client.send(chat())
                assert (await read_answer(client)).status == 200
        lines = await s.lines(200)
        assert {line["attempts"] for line in lines} == {1}
        assert len(s.upstream.requests) == 200


async def test_a_kept_connection_that_the_provider_closes_while_it_is_asked(
    scene: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene() as s:
        transport = s.url.app._transport
        take = transport._take_idle
        taken = 0

        def take_and_close(origin: Origin) -> UpstreamConnection | None:
            # The provider's end is closed between the choice of the connection and the request.
            nonlocal taken
            connection = take(origin)
            if connection is not None:
                taken += 1
                descriptor = s.upstream._all[-1]._transport.get_extra_info("socket").fileno()
                with socket.socket(fileno=os.dup(descriptor)) as provider_side:
                    provider_side.shutdown(socket.SHUT_RDWR)
            return connection

        monkeypatch.setattr(transport, "_take_idle", take_and_close)
        async with s.client() as client:
            for _ in range(200):
                await client.send(chat())
                assert (await read_answer(client)).status == 200
        assert taken == 199
        assert len(s.upstream.requests) == 200
        assert {line["attempts"] for line in await s.lines(200)} == {1}


@both
async def test_what_a_provider_may_have_read_is_not_sent_again(scene: Scenes, stream: bool) -> None:
    async with scene(answer(), [Cut()], answer()) as s, s.client() as client:
        await client.send(chat())
        assert (await read_answer(client)).status == 200
        await client.send(chat(stream=stream))
        said = await read_answer(client)
        assert (said.status, said.error["code"]) == (502, "provider.broke")
        assert len(s.upstream.requests) == 2


async def test_a_fresh_connection_that_breaks_is_not_replaced(scene: Scenes) -> None:
    for ending in ([Cut()], [Reset()]):
        async with scene(ending, answer()) as s:
            await s.refused(await s.chat(), 502, "provider.broke")
            assert len(s.upstream.requests) == 1
