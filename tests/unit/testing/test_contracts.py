"""The checks of the contracts find what breaks them."""

from typing import Any, ClassVar

import msgspec
import pytest

from proxy.dialect import Dialect, Watch
from proxy.dialects.openai_chat import OpenAIChat
from proxy.errors import Blocked, ProxyError
from proxy.event import Usage
from proxy.exchange import Exchange, ParsedRequest
from proxy.processor import Processor
from proxy.testing import check_dialect, check_processor
from tests.unit.conftest import Request

CHAT = OpenAIChat()
BODY = b'{"model":"m","a":1,"b":2}'


class Doing(Processor):
    """Does to requests what a test says, and notes how far its life came."""

    what: str
    life: list[str]

    async def open(self) -> None:
        self.life.append("open")

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        self.life.append("asked")
        match self.what:
            case "edit":
                request.drop("a")
                request.set("c", 3)
            case "refuse":
                raise Blocked("no")
            case "count":
                request.set("a", len(self.life))
            case "reorder":
                request.drop("a")
                request.set("a", 1)
            case "swap":
                request.raw = BODY.replace(b"1", b"7")
            case "fail":
                raise LookupError("a bug")

    def on_end(self, exchange: Exchange) -> None:
        self.life.append("told")

    async def close(self) -> None:
        self.life.append("close")


async def check(what: str) -> tuple[bytes, list[str]]:
    processor = Doing(what=what, life=[])
    try:
        made = await check_processor(processor, CHAT, BODY, raw=Request(BODY))
    finally:
        assert processor.life[-1] == "close"
    return made, processor.life


async def test_a_processor_that_keeps_its_contract_says_what_it_made() -> None:
    assert (await check("nothing"))[0] == BODY
    assert (await check("edit"))[0] == b'{"model":"m","b":2,"c":3}'
    assert b"content_filter" in (await check("refuse"))[0]


async def test_a_processor_lives_its_whole_life() -> None:
    assert (await check("edit"))[1] == ["open", "asked", "told", "asked", "told", "close"]


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("count", "the same request gave two results"),
        ("reorder", "the order of the fields changed"),
        ("swap", "nothing was changed, yet the bytes differ"),
    ],
)
async def test_a_processor_that_breaks_its_contract_is_told_how(what: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        await check(what)


async def test_a_processor_may_raise_nothing_but_its_refusal() -> None:
    with pytest.raises(LookupError):
        await check("fail")


class Looking:
    """A watch that is right but for what a test says."""

    whole_frames: ClassVar[bool] = False

    def __init__(self, what: str) -> None:
        self.usage: Usage | None = None
        self.what = what
        self.fed = 0

    def feed(self, data: bytes) -> bytes:
        self.fed += 1
        if self.what == "count":
            self.usage = Usage(output_tokens=self.fed)
        return data.upper() if self.what == "change" else data

    def close(self) -> bytes:
        return b"!" if self.what == "add" else b""


class Spoiled(OpenAIChat):
    """A dialect that is right but for what a test says."""

    def __init__(self, what: str) -> None:
        self.what = what

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        if self.what == "parse":
            msgspec.json.decode(body, type=dict[str, Any])
        return super().parse(body)

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return Looking(self.what)

    def error(self, error: ProxyError) -> bytes:
        return b"" if self.what == "error" else super().error(error)

    def error_event(self, error: ProxyError) -> bytes:
        event = super().error_event(error)
        return event[:-1] if self.what == "event" else event


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("count", "where it was cut mattered"),
        ("change", "a watch that strips nothing changed the bytes"),
        ("add", "a watch that strips nothing changed the bytes"),
        ("error", "an error has no body"),
        ("event", "an error event is not a whole frame"),
    ],
)
def test_a_dialect_that_breaks_its_contract_is_told_how(what: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_dialect(Spoiled(what), [BODY], [b"data: a\n\n"])


def test_a_dialect_may_raise_nothing_but_its_refusal() -> None:
    with pytest.raises(msgspec.MsgspecError):
        check_dialect(Spoiled("parse"), [], [])


def test_a_dialect_must_read_the_requests_of_its_kind() -> None:
    with pytest.raises(ProxyError):
        check_dialect(CHAT, [b'{"messages":[]}'], [])


def test_a_dialect_that_keeps_its_contract_is_not_complained_about() -> None:
    check_dialect(Spoiled("nothing"), [BODY], [b"data: a\n\n", b""])
