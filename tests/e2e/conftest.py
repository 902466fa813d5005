"""What the fault tests share: a proxy before one scripted provider, and a look at what is left."""

import asyncio
import gc
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import pytest

from proxy import server
from proxy.downstream import Downstream
from proxy.exchange import Exchange
from proxy.front import OrdinaryRequest
from proxy.testing import ON_FREE_PORTS, ProxyURL, RawClient, Script, Upstream, request, serve
from proxy.upstream import UpstreamConnection
from tests.authority import Authority

CHAT = "/v1/chat/completions"
SETTLE_SECONDS = 10.0

BODY = b'{"model":"m"}'
LENGTH = f"content-length: {len(BODY)}\n"

elsewhere = pytest.mark.parametrize("more", ["", "te: trailers\n"], ids=["ordinary", "other"])
"""Two parsers read requests: ordinary ones are for the one, what adds `more` for the other."""

_CONFIG = """
{server}
[provider.fake]
type = "openai_compatible"
url = "{upstream}/v1"
{provider}
[[route]]
name = "chat"
targets = ["{target}"]
{route}
[[route]]
name = "other"
path = ["/v1/files", "/v1/files/*"]
targets = ["fake"]
"""


@dataclass(frozen=True)
class Answer:
    """A response as a client has it."""

    status: int
    fields: dict[str, str]
    body: bytes
    whole: bool
    """It came to its end; False: the client sees that there should be more."""

    @property
    def error(self) -> dict[str, Any]:
        """The error that it says, which has OpenAI's shape."""
        return read_error(self.body)


@dataclass
class Scene:
    """A proxy, and the provider that it sends everything to."""

    url: ProxyURL
    upstream: Upstream
    tls: ssl.SSLContext | None = None
    """What its clients need, where it speaks HTTPS."""
    counted: int | None = None
    """How many exchanges there were when a test counted them last."""

    def client(self, *, timeout: float = 10.0, receive_buffer: int | None = None) -> RawClient:
        """A connection to the proxy, to be opened by `async with`."""
        return RawClient(self.url, timeout=timeout, receive_buffer=receive_buffer, tls=self.tls)

    async def ask(self, raw: bytes, *, method: str = "POST") -> Answer:
        """Send the bytes of one request on a connection of its own; the response to it."""
        async with self.client() as client:
            await client.send(raw)
            return await read_answer(client, method)

    async def chat(self, *, stream: bool = False, **fields: object) -> Answer:
        """Ask for a chat completion."""
        return await self.ask(chat(stream=stream, **fields))

    async def line(self) -> dict[str, Any]:
        """The log line of the one exchange that there was."""
        [line] = await self.lines(1)
        return line

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """The log lines of all exchanges, of which there are so many."""
        await until(lambda: len(self.url.exchanges) >= count)
        lines = self.url.exchanges
        assert len(lines) == count, lines
        self.counted = count
        return lines

    async def refused(self, answer: Answer, status: int, code: str, **said: str) -> None:
        """Check that the client, and the log in one line, were told of an error.

        `said`: what the error object says beyond its code.
        """
        assert answer.whole
        error = answer.error
        assert (answer.status, error["code"]) == (status, said.pop("code", code))
        assert answer.fields["content-type"] == "application/json"
        assert answer.fields["x-llm-proxy-error"] == code
        for name, value in said.items():
            assert value in str(error[name]), error
        line = await self.line()
        assert (line["status"], line["error"]) == (status, code)
        assert line["request_id"] == answer.fields["x-llm-proxy-request-id"]

    async def broke(self, answer: Answer, sent: bytes, code: str) -> None:
        """Check that a stream that began with `sent` ended in an error event, and then broke."""
        assert answer.status == 200
        assert not answer.whole
        assert answer.body.startswith(sent)
        *_, event, rest = answer.body[len(sent) :].split(b"\n\n")
        assert rest == b""
        assert event.startswith(b"data: ")
        assert read_error(event.removeprefix(b"data: "))["code"] == code
        line = await self.line()
        assert (line["status"], line["error"], line["phase"]) == (200, code, "streaming")


class Scenes(Protocol):
    """Makes scenes."""

    def __call__(
        self,
        *scripts: Script,
        server: str = "",
        provider: str = "",
        route: str = "",
        target: str = "fake",
        at: str | None = None,
    ) -> AbstractAsyncContextManager[Scene]:
        """A proxy with these lines of configuration, before a provider that plays the scripts.

        `server` stands at the top, `provider` and `route` in the sections of their names, and
        `target` is the route's. `at` is where the provider is instead. When the block ends,
        nothing of what happened may be left.
        """


@pytest.fixture
def secured() -> Authority | None:
    """Who vouches for both sides of the scenes; a module that has its own makes them HTTPS."""
    return None


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture, secured: Authority | None) -> Iterator[Scenes]:
    """Scenes; at the test's end the program must not have complained in its log."""

    @asynccontextmanager
    async def make(
        *scripts: Script,
        server: str = "",
        provider: str = "",
        route: str = "",
        target: str = "fake",
        at: str | None = None,
    ) -> AsyncIterator[Scene]:
        # What exists now is not looked at again, so that a look at what is left is quick.
        gc.disable()
        gc.freeze()
        try:
            tls = None if secured is None else secured.server()
            async with Upstream(*scripts, tls=tls) as upstream:
                if secured is not None:
                    server = _secured(server, secured)
                    if at is None:
                        provider += f'\ntls = {{ ca = "{secured.file}" }}'
                config = _CONFIG.format(
                    server=server,
                    upstream=at or upstream.url,
                    provider=provider,
                    route=route,
                    target=target,
                )
                listen = () if secured else ON_FREE_PORTS.listen
                overrides = msgspec.structs.replace(ON_FREE_PORTS, listen=listen)
                async with serve(config, overrides=overrides) as url:
                    before = asyncio.all_tasks()
                    made = Scene(url, upstream, None if secured is None else secured.client())
                    yield made
                    await check_leftovers(made, before)
                    assert made.counted in (None, len(url.exchanges)), url.exchanges
        finally:
            gc.unfreeze()
            gc.enable()

    yield make
    complaints = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert not complaints


def _secured(server: str, authority: Authority) -> str:
    """The section that has a listener speak HTTPS, beside what it says already."""
    listen = f'listen = {{ address = "127.0.0.1:0", tls = {{ {authority.issue().toml} }} }}'
    before, header, behind = server.partition("[server]")
    return f"{before}[server]\n{listen}\n{behind}" if header else f"[server]\n{listen}\n{server}"


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks at its deadlines often."""
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)


async def check_leftovers(scene: Scene, before: set[asyncio.Task[Any]]) -> None:
    """Check that once the clients have left, no exchange costs anything any more."""
    app, upstream = scene.url.app, scene.upstream

    def idle() -> int:
        return sum(map(len, app._transport._idle.values()))

    def tasks() -> list[str]:
        # Each connection that the provider still has open is a task of the test's own.
        names = [task.get_name() for task in asyncio.all_tasks() - before]
        return [name for name in names if not name.startswith("upstream connection ")]

    def watched() -> list[object]:
        idle = (one for one in app._sweep._watched if is_idle(one))
        return [*(app._sweep._watched - {app._transport, *idle})]

    def left() -> dict[str, object]:
        return {
            "running": list(app.pipeline.running),
            "client connections": len(open_connections(scene)),
            "upstream connections in use": upstream.open_connections - idle(),
            "tasks": tasks(),
            "watched by the sweep": watched(),
        }

    await until(lambda: not any(left().values()))
    assert not any(left().values()), left()

    # The collector of garbage runs rarely: an exchange has to go without it. What aiohttp makes
    # of an odd request it may leave behind.
    ours = (Exchange, OrdinaryRequest, UpstreamConnection)
    await until(lambda: not held(ours))
    assert not held(ours)
    gc.collect()
    assert not held((Downstream,))


def is_idle(one: object) -> bool:
    """Whether it is a connection to a provider that waits for the next request."""
    return isinstance(one, UpstreamConnection) and one.usable


def held(kinds: tuple[type, ...]) -> list[object]:
    """The objects of these kinds, made since the scene began, that still live."""
    return [one for one in gc.get_objects() if isinstance(one, kinds) and not is_idle(one)]


def open_connections(scene: Scene) -> list[asyncio.Transport]:
    """The connections that clients have to the proxy."""
    [server] = scene.url.app._listening.servers
    fronts = [front.transport for front in server._fronts if front.transport is not None]
    return [*fronts, *server._web._connections.values()]


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, but not for ever: what is asserted behind it says what was wrong."""
    end = time.monotonic() + SETTLE_SECONDS
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - of any kind
        await asyncio.sleep(0.005)


async def read_answer(client: RawClient, method: str = "POST") -> Answer:
    """Read a response to its end, be that good or bad."""
    head = await client.read_head(method)
    body = await client.read_body()
    fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return Answer(head.status, fields, body, client.clean_end)


def read_error(body: bytes) -> dict[str, Any]:
    """The error in a body of OpenAI's shape: what its SDKs read, and nothing else."""
    found = msgspec.json.decode(body)
    assert list(found) == ["error"]
    error: dict[str, Any] = found["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    assert isinstance(error["message"], str)
    assert "Traceback" not in error["message"]
    return error


def chat(*, stream: bool = False, **fields: object) -> bytes:
    """The bytes of a request for a chat completion."""
    return request(CHAT, {"model": "m", "messages": [], "stream": stream, **fields})


def raw(
    fields: str = LENGTH,
    body: bytes = BODY,
    *,
    line: str = f"POST {CHAT} HTTP/1.1",
    host: str = "host: x\n",
) -> bytes:
    """A request, spelled out; the lines of its head end in CRLF."""
    return f"{line}\n{host}{fields}\n".replace("\n", "\r\n").encode("latin-1") + body


def parse(received: bytes) -> Answer:
    """One whole response with a length."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    fields = {name.decode(): value.decode("latin-1") for name, _, value in lines}
    return Answer(int(head[9:12]), fields, body, int(fields["content-length"]) == len(body))


async def check_refused(s: Scene, received: bytes, status: int = 400) -> None:
    """Check that all that came is one refusal, the last of its connection, and logged in a line."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    code = read_error(body)["code"]
    line = await s.line()
    assert (line["status"], line["error"]) == (status, code)
    assert code in ("client.bad_request", "client.too_large", "client.unsupported")
    assert s.upstream.requests == []


@contextmanager
def deaf() -> Iterator[str]:
    """The URL of a listener whose queue is full: the kernel answers no attempt to connect."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((host, port))
            waiting.append(one)
        try:
            yield f"http://{host}:{port}"
        finally:
            for one in waiting:
                one.close()
