"""What tokens share that are had from somebody, and had anew before they expire."""

import asyncio
import contextlib
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from random import uniform
from typing import ClassVar, TypeVar, cast

from proxy.errors import ConfigError
from proxy.exchange import Outcome
from proxy.tasks import spawn
from proxy.token import Token
from proxy.units import clock

AHEAD = (0.7, 0.8)
"""The part of a credential's life after which the next one is asked for: by chance between the
two, so that neighbours do not ask in step."""
RETRY = (1.0, 60.0)
"""Seconds until a failed attempt is repeated, at first and at most; each wait doubles the last."""
FIRST = 10.0
"""Seconds that a start waits for a credential: then it goes on without."""
SHORTEST = 1.0
"""Seconds between two attempts, however short a life is."""
LOOK = 600.0
"""Seconds after which a credential that does not say when it expires is looked up again."""
UNASKED = 30.0
"""Seconds that a credential is old before a provider's refusal has another one asked for."""

T = TypeVar("T")

log = logging.getLogger("proxy")


class Refused(ValueError):
    """Whoever gives credentials out says no, and would say so again."""


class Refreshed(Token):
    """A token whose credential is renewed ahead of its expiry, by one attempt at a time.

    A failure keeps the old one. One that the provider refuses (401) is renewed before its time.
    """

    refusals: ClassVar[tuple[int, ...]] = (401,)
    """The statuses by which a provider says that it does not take the credential."""
    patient: ClassVar[bool] = True
    """The proxy starts without it, where whoever gives it out cannot be reached or is not well."""

    @abstractmethod
    async def renew(self) -> float | None:
        """Get the credential anew, and hold it; returns for how many seconds it is good.

        None is for ever. Does not take longer than a time of its own. Raises Refused, or
        ValueError where another attempt may succeed; neither has a trace of a credential.
        """

    async def open(self) -> None:
        self._wanted = asyncio.Event()
        self._tried_at = 0.0
        self._held = False
        async with contextlib.AsyncExitStack() as opened:
            for token in self.inner():
                await token.open()
                opened.push_async_callback(token.close)
            first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refreshing = spawn(self._refresh(first), f"refresh {self._place}")
            opened.callback(refreshing.cancel)
            await asyncio.wait([first], timeout=FIRST if self.patient else None)
            if first.cancel():
                self._complain(ValueError(f"it is not there after {FIRST:g} s"))
            elif (error := first.exception()) is not None:
                raise ConfigError([f"{self._place}: {error}"]) from None
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    def report(self, token: Token, outcome: Outcome) -> None:
        if outcome.status in self.refusals and clock() - self._tried_at > UNASKED:
            self._wanted.set()

    async def _refresh(self, first: asyncio.Future[None]) -> None:
        """Renew it for ever; `first` hears how the first time went, if that cannot be mended."""
        retry, longest = RETRY
        while True:
            try:
                delay = await self._renew()
            except ValueError as error:
                hopeless = isinstance(error, Refused) or not self.patient
                if hopeless and not first.done():
                    first.set_exception(error)
                    return
                self._complain(error)
                delay, retry = retry * uniform(0.8, 1.2), min(2 * retry, longest)
            else:
                log.debug("%s: refreshed", self._place)
                retry = RETRY[0]
            if not first.done():
                first.set_result(None)
            await pause(self._wanted, delay)

    async def _renew(self) -> float | None:
        self._tried_at = clock()
        try:
            life = await self.renew()
        except ValueError:
            raise
        except Exception as error:
            # Of a library's: what it says may hold what it was given.
            raise ValueError(f"it cannot be had ({type(error).__name__})") from None
        self._held = True
        return None if life is None else max(life * uniform(*AHEAD), SHORTEST)

    def _complain(self, error: ValueError) -> None:
        kept = "the old credential stays in use" if self._held else "there is none so far"
        log.warning("%s: %s; %s", self._place, error, kept)


async def in_thread(function: Callable[[], T], seconds: float) -> T:
    """What `function` returns, which blocks. Raises ValueError if that takes too long.

    Then its thread is left to itself: it keeps neither the loop nor the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def run() -> None:
        result, failed = None, None
        try:
            result = function()
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="token", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise ValueError(f"it cannot be had within {seconds:g} s") from None


def require(module: str, extra: str) -> None:
    """Raise ValueError if what `module` is of is not installed; it is not imported yet."""
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise ValueError(f"{module} is not installed (pip install 'llm-proxy[{extra}]')")


def quiet(*names: str) -> None:
    """Have libraries' loggers say nothing of their own accord: what matters is said by us."""
    for name in names:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


async def pause(wanted: asyncio.Event, seconds: float | None) -> None:
    """Wait for so many seconds, or until something is wanted."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wanted.wait()
    wanted.clear()
