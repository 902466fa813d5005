"""Fakes of what stands around the engine: nothing in them opens a socket or waits for a clock."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from multidict import CIMultiDict

from proxy.dialect import Dialect
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import ConfigError, ProxyError
from proxy.exchange import Exchange, FinalRequest, RawRequest, Timeouts
from proxy.preset import Preset
from proxy.processor import Processor
from proxy.provider import Provider
from proxy.relay import Sink
from proxy.token import Token
from proxy.tokens.static import Literal
from proxy.units import clock
from proxy.url import Url
from proxy.urls.static import Static
from proxy.via import Via

OPENAI: tuple[Dialect, ...] = (
    OpenAIChat(),
    OpenAIResponses(),
    OpenAICompletions(),
    OpenAIEmbeddings(),
)
NO_TIMEOUTS = Timeouts(connect=0.0, first_byte=0.0, idle=0.0, send=0.0, total=0.0)


class Life(Processor):
    """Notes when it is opened and closed, and fails at what a test says."""

    name: str
    life: list[str]
    fails: str = ""

    async def open(self) -> None:
        if self.fails == "open":
            raise ConfigError([f"{self.name} cannot be opened"])
        self.life.append(f"{self.name} opened")

    async def close(self) -> None:
        self.life.append(f"{self.name} closed")
        if self.fails == "close":
            raise LookupError("a bug")

    def adopt(self, fresh: Self) -> None:
        self.life.append(f"{self.name} kept")


async def turns(number: int = 5) -> None:
    """Let everything else run that can run now."""
    for _ in range(number):
        await asyncio.sleep(0)


class Request:
    """A client's request whose body is already here, or fails."""

    peer = "127.0.0.1:50000"

    def __init__(
        self,
        body: bytes | Exception = b"{}",
        *,
        path: str = "/v1/chat/completions",
        query: str = "",
        method: str = "POST",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers: Mapping[str, str] = CIMultiDict(headers)
        self.forwarded: dict[object, bytes] = {}
        self.raw_headers = tuple(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in self.headers.items()
        )
        self.length = len(body) if isinstance(body, bytes) else None
        self._body = body

    async def body(self) -> bytes:
        if isinstance(self._body, Exception):
            raise self._body
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield await self.body()


def exchange_of(request: Request | None = None) -> Exchange:
    """An exchange that has just been received."""
    return Exchange(request=request or Request(), id="id-1", received_at=1.0)


class CountingToken(Token):
    """A token that is another for each request: sk-1, sk-2 …"""

    def __post_init__(self) -> None:
        self.requests = 0

    def credential(self, request: RawRequest) -> str:
        self.requests += 1
        return f"sk-{self.requests}"


def key(value: str) -> Literal:
    """A token that is always this."""
    token = Literal.from_text(value)
    token.resolve({}, "")
    return token


def static(url: str) -> Url:
    """A URL that is always this."""
    made = Static(url=url)
    made.resolve(str)
    return made


def provider(
    name: str = "mine",
    *,
    url: Url | None = None,
    token: Token | None = None,
    auth: str | None = "authorization: Bearer {token}",
    stream_usage: bool = False,
    forward: tuple[str, ...] = (),
    dialects: Iterable[Dialect] = OPENAI,
    via: Via | None = None,
    **more: Any,
) -> Provider:
    """A provider at http://a:8000/v1, unless it is said to be elsewhere."""
    return Provider(
        name,
        Preset(
            title=name,
            dialects=tuple(dialect.name for dialect in dialects),
            auth=auth,
            stream_usage=stream_usage,
            **more,
        ),
        dialects,
        url=url or static("http://a:8000/v1"),
        token=token,
        forward_headers=forward,
        timeouts=NO_TIMEOUTS,
        via=via,
    )


class Upstream:
    """A response whose head is here; its body comes when the test says so.

    `script` comes as soon as a sink is attached: pieces of the body, then None for its end or the
    error that breaks it; without either, the test goes on with `play`. `whole` is a body that
    came together with the head.
    """

    def __init__(
        self,
        *script: bytes | ProxyError | None,
        status: int = 200,
        fields: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        length: int | None = None,
        whole: bytes | None = None,
    ) -> None:
        self.status = status
        self.fields = [(n.encode(), v.encode()) for n, v in CIMultiDict(fields).items()]
        self.lines = [b"%b: %b" % field for field in self.fields]
        self.named = dict(self.fields)
        self.length = length
        self.heard_at: float | None = None
        """Set, it is when the last of the body came; else that is always just now."""
        self.sink: Sink | None = None
        self.calls: list[str] = []
        self._script = script
        self._whole = whole

    @property
    def since(self) -> float:
        return clock() if self.heard_at is None else self.heard_at

    def whole(self) -> bytes | None:
        body, self._whole = self._whole, None
        return body

    def attach(self, sink: Sink) -> None:
        self.sink = sink
        for piece in self._script:
            self.play(piece)

    def play(self, piece: bytes | ProxyError | None) -> None:
        assert self.sink is not None, "nobody takes the body"
        if isinstance(piece, bytes):
            self.sink.data(piece, None)
        elif piece is None:
            self.sink.end()
        else:
            self.sink.broke(piece)

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")


class Downstream:
    """Where a response goes: keeps what was sent, and stops or goes on as the test says.

    Made in the task that answers, which is the one that `cancel` cancels.
    """

    def __init__(self) -> None:
        self.started = False
        self.chunked = False
        self.writing_paused = False
        self.status = 0
        self.length: int | None = None
        self.fields = CIMultiDict[str]()
        self.sent: list[bytes] = []
        self.framed: list[bytes] = []
        self.ends: list[str] = []
        self.flushed = 0
        self.left = 0
        """What `unsent` says."""
        self.gone: Exception | None = None
        """What `drain` raises once there is room, or nobody to make any."""
        self._task = asyncio.current_task()
        self._room = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.sent)

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        self.start(status, fields, len(body))
        self.write(body)
        self.finish()

    def start(self, status: int, fields: bytes, length: int | None) -> None:
        assert not self.started, "a second head"
        self.started = True
        self.status, self.length = status, length
        assert fields == b"" or fields.endswith(b"\r\n")
        for line in fields.decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(": ")
            self.fields.add(name, value)

    def write(self, data: bytes) -> bool:
        assert self.started, "a body before its head"
        assert not self.ends, "a write after the end"
        self.sent.append(data)
        return self.writing_paused

    def write_framed(self, data: bytes) -> bool:
        self.framed.append(data)
        return self.write(data)

    def flush(self) -> None:
        self.flushed += 1

    async def drain(self) -> None:
        self._room.clear()
        await self._room.wait()
        if self.gone is not None:
            raise self.gone

    def make_room(self) -> None:
        """The client has taken everything."""
        self.writing_paused = False
        self._room.set()

    def unsent(self) -> int:
        return self.left

    def finish(self) -> None:
        self.ends.append("finished")

    def abort(self) -> None:
        self.ends.append("aborted")

    def cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()


class Transport:
    """Carries requests nowhere: each gets the next of `answers`; None never comes."""

    def __init__(self, *answers: Upstream | BaseException | None) -> None:
        self.answers = list(answers)
        self.sent: list[FinalRequest] = []

    async def send(self, final: FinalRequest, exchange: Exchange) -> Upstream:
        self.sent.append(final)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("unreachable")
        exchange.sent_at, exchange.head_at = 2.0, 3.0
        return answer
