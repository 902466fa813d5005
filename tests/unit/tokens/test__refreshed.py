"""Credentials that are had anew: when, how often, and what becomes of the old one."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from proxy.errors import ConfigError
from proxy.exchange import Outcome
from proxy.token import Secret, Token
from proxy.tokens import _refreshed as module
from proxy.tokens._held import Held
from proxy.tokens._refreshed import Refreshed, Refused, in_thread, pause, quiet, require
from tests.unit.conftest import Request, turns

PLACE = "c.toml:3: [provider.x.token]"

Outcomes = str | Exception


class Lent(Refreshed, Held):
    """A token that gets what a test says, good for 100 seconds."""

    outcomes: list[Outcomes]
    inside: tuple[Token, ...] = ()
    life: float | None = 100.0

    async def renew(self) -> float | None:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        self.hold(Secret(outcome))
        return self.life


def lent(*outcomes: Outcomes, life: float | None = 100.0, inside: tuple[Token, ...] = ()) -> Lent:
    token = Lent(outcomes=list(outcomes), life=life, inside=inside)
    vars(token)["_place"] = PLACE
    return token


class Pauses:
    """Stands for the loop's clock: notes for how long is waited, and lets a test end it."""

    def __init__(self) -> None:
        self.seconds: list[float | None] = []
        self._go = asyncio.Event()

    async def __call__(self, wanted: asyncio.Event, seconds: float | None) -> None:
        self.seconds.append(seconds)
        self._go.clear()
        await self._go.wait()

    async def end(self) -> None:
        """Let the pause end, and come to the next."""
        self._go.set()
        await turns()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr(module, "pause", made)
    return made


async def test_it_is_renewed_ahead_and_soon_after_a_failure(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    no = ValueError("the service is not well")
    token = lent("one", "two", no, no, no, "three", no, "four")
    await token.open()
    held = []
    for _ in range(7):
        await turns()
        held.append(token.credential(Request()))
        await pauses.end()
    await token.close()

    assert held == ["one", "two", "two", "two", "two", "three", "three"]
    assert token.credential(Request()) == "four"
    for seconds, expected in zip(pauses.seconds, (75, 75, 1, 2, 4, 75, 1, 75), strict=True):
        assert seconds is not None
        low, high = (0.93, 1.07) if expected == 75 else (0.8, 1.2)
        assert low * expected <= seconds <= high * expected
    complaint = f"{PLACE}: the service is not well; the old credential stays in use"
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.INFO] == [complaint] * 4


async def test_the_waits_after_failures_grow_to_a_minute(pauses: Pauses) -> None:
    token = lent("one", *[ValueError("no")] * 10)
    await token.open()
    for _ in range(10):
        await turns()
        await pauses.end()
    await token.close()

    assert pauses.seconds[-1] is not None
    assert 48 <= pauses.seconds[-1] <= 72


async def test_neighbours_do_not_ask_in_step(pauses: Pauses) -> None:
    for _ in range(20):
        token = lent("one")
        await token.open()
        await turns()
        await token.close()

    assert len(set(pauses.seconds)) > 10


async def test_one_that_is_good_for_ever_or_hardly_at_all(pauses: Pauses) -> None:
    for life, seconds in ((None, None), (0.0, 1.0), (-5.0, 1.0)):
        token = lent("one", life=life)
        await token.open()
        await turns()
        await token.close()
        assert pauses.seconds.pop() == seconds


async def test_the_proxy_starts_without_one_that_cannot_be_had_just_now(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    token = lent(ValueError("nobody answers"), "one")
    await token.open()
    await turns()
    assert "_secret" not in vars(token)
    assert f"{PLACE}: nobody answers; there is none so far" in caplog.text
    await pauses.end()
    assert token.credential(Request()) == "one"
    await token.close()


async def test_it_starts_without_one_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST", 0.01)
    go = asyncio.Event()

    class Slow(Lent):
        async def renew(self) -> float | None:
            await go.wait()
            return await super().renew()

    monkeypatch.setattr(module, "RETRY", (0.0, 0.0))
    cases: list[list[Outcomes]] = [["one"], [Refused("no"), "one"]]
    for outcomes in cases:
        go.clear()
        token = Slow(outcomes=outcomes)
        await token.open()
        assert "it is not there after 0.01 s; there is none so far" in caplog.text
        go.set()
        await turns(20)
        assert token.credential(Request()) == "one"
        await token.close()


async def test_one_that_is_refused_after_the_start_is_asked_for_again(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    token = lent("one", Refused("the client is unknown"), "two")
    await token.open()
    for _ in range(2):
        await turns()
        await pauses.end()
    await token.close()

    assert "the client is unknown; the old credential stays in use" in caplog.text
    assert token.credential(Request()) == "two"


async def test_it_does_not_start_without_one_that_is_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        await lent(Refused("the client is unknown")).open()

    assert raised.value.problems == [f"{PLACE}: the client is unknown"]


async def test_one_that_cannot_wait_is_had_at_once_or_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lent, "patient", False)
    with pytest.raises(ConfigError, match="nobody answers"):
        await lent(ValueError("nobody answers")).open()


async def test_what_a_library_says_is_not_repeated(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    token = lent("one", LookupError("canary"), "two")
    await token.open()
    for _ in range(2):
        await turns()
        await pauses.end()
    await token.close()

    assert f"{PLACE}: it cannot be had (LookupError); the old credential stays" in caplog.text
    assert "canary" not in caplog.text
    assert token.credential(Request()) == "two"


async def test_one_that_is_refused_by_its_provider_is_renewed_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "clock", lambda: now)
    token = lent("one", "two", ValueError("no"), "three")
    await token.open()

    async def refused(at: float) -> str:
        nonlocal now
        now = at
        token.report(token, Outcome(status=401))
        await turns(10)
        return token.credential(Request())

    token.report(token, Outcome(status=403))
    token.report(token, Outcome(status=200))
    assert await refused(1010.0) == "one", "it is new"
    assert await refused(1040.0) == "two"
    assert await refused(1041.0) == "two"
    # What fails is no reason to ask more often.
    assert await refused(1080.0) == "two"
    assert len(token.outcomes) == 1
    assert await refused(1085.0) == "two"
    assert await refused(1120.0) == "three"
    await token.close()


async def test_a_pause_ends_with_its_time_or_when_something_is_wanted() -> None:
    wanted = asyncio.Event()
    await pause(wanted, 0.0)
    wanted.set()
    await pause(wanted, None)
    assert not wanted.is_set()


class Inside(Token):
    """A token of a token's, that notes its life."""

    life: list[str]

    async def open(self) -> None:
        self.life.append("open")

    async def close(self) -> None:
        self.life.append("close")

    def credential(self, request: object) -> str:
        return "x"


@pytest.fixture
def life() -> Iterator[list[str]]:
    noted: list[str] = []
    yield noted
    assert noted == ["open", "close"]


async def test_what_it_is_had_with_lives_as_long(life: list[str], pauses: Pauses) -> None:
    token = lent("one", inside=(Inside(life=life),))
    await token.open()
    await token.close()


async def test_what_it_is_had_with_is_closed_where_it_cannot_be_had(life: list[str]) -> None:
    with pytest.raises(ConfigError):
        await lent(Refused("no"), inside=(Inside(life=life),)).open()


async def test_what_blocks_runs_beside_the_loop() -> None:
    ran_in = await in_thread(threading.current_thread, 5.0)

    assert ran_in is not threading.current_thread()
    assert ran_in.daemon


async def test_what_fails_in_a_thread_fails_here() -> None:
    def fail() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await in_thread(fail, 5.0)


async def test_what_blocks_for_too_long_is_left_to_itself() -> None:
    go = threading.Event()
    try:
        with pytest.raises(ValueError, match=r"cannot be had within 0\.01 s"):
            await in_thread(go.wait, 0.01)
    finally:
        go.set()


def test_what_is_not_installed_is_told_with_how_to_have_it() -> None:
    require("asyncio", "x")
    for name in ("no_such_module", "no_such_module.at_all"):
        with pytest.raises(ValueError, match=r"is not installed \(pip install 'llm-proxy\[x\]'\)"):
            require(name, "x")


def test_a_librarys_logger_says_nothing_of_its_own_accord() -> None:
    quiet("tests.a-library", "tests.a-library")

    [handler] = logging.getLogger("tests.a-library").handlers
    assert isinstance(handler, logging.NullHandler)
