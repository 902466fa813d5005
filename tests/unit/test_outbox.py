"""The outbox: what waits, for how long, and in which order it leaves."""

import asyncio
import logging
from math import inf
from typing import cast

import pytest

from proxy.outbox import MOST, SMALL, Outbox


class Transport:
    """Writes down what was written where, in the order of all."""

    def __init__(
        self, name: str, written: list[tuple[str, bytes]], *, broken: bool = False
    ) -> None:
        self.name = name
        self.closing = False
        self.aborted = False
        self._written = written
        self._broken = broken

    def write(self, data: bytes) -> None:
        if self._broken:
            raise RuntimeError("no")
        self._written.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def written() -> list[tuple[str, bytes]]:
    return []


def transport(name: str, written: list[tuple[str, bytes]]) -> asyncio.Transport:
    return cast(asyncio.Transport, Transport(name, written))


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_written_in_one_turn_leaves_at_its_end(
    written: list[tuple[str, bytes]],
) -> None:
    outbox = Outbox(inf)
    one, two = transport("one", written), transport("two", written)

    outbox.write(one, b"a")
    outbox.write(two, b"b")
    outbox.write(one, b"c")
    assert outbox.holds(one)
    assert written == []

    await turn()
    assert written == [("one", b"ac"), ("two", b"b")]
    assert not outbox.holds(one)

    outbox.write(two, b"d")
    await turn()
    assert written[2:] == [("two", b"d")]


async def test_a_write_on_its_own_leaves_at_once(written: list[tuple[str, bytes]]) -> None:
    outbox = Outbox(0.0)

    outbox.write(transport("one", written), b"a")

    assert written == [("one", b"a")]
    await turn()
    assert len(written) == 1


async def test_much_waits_for_nothing_and_takes_along_what_waits_before_it(
    written: list[tuple[str, bytes]],
) -> None:
    outbox = Outbox(inf)
    one = transport("one", written)

    outbox.write(one, b"a")
    outbox.write(one, b"x" * SMALL)
    assert written == [("one", b"a" + b"x" * SMALL)]

    await turn()
    assert len(written) == 1


async def test_only_so_many_wait_for_each_other(written: list[tuple[str, bytes]]) -> None:
    outbox = Outbox(inf)
    names = [str(number) for number in range(MOST)]

    for name in names[:-1]:
        outbox.write(transport(name, written), b"x")
    assert written == []
    outbox.write(transport(names[-1], written), b"x")

    assert [name for name, _ in written] == names


async def test_what_waits_can_be_released_or_dropped(written: list[tuple[str, bytes]]) -> None:
    outbox = Outbox(inf)
    one, two = transport("one", written), transport("two", written)
    outbox.write(one, b"a")
    outbox.write(two, b"b")

    outbox.release(one)
    outbox.drop(two)
    outbox.release(two)
    assert written == [("one", b"a")]

    await turn()
    assert len(written) == 1


async def test_nothing_is_written_to_what_closes_meanwhile(
    written: list[tuple[str, bytes]],
) -> None:
    outbox, one = Outbox(inf), Transport("one", written)
    outbox.write(cast(asyncio.Transport, one), b"a")
    one.closing = True

    await turn()
    assert written == []


async def test_one_that_fails_keeps_nothing_from_the_others(
    written: list[tuple[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    outbox, bad = Outbox(inf), Transport("bad", written, broken=True)
    outbox.write(cast(asyncio.Transport, bad), b"a")
    outbox.write(transport("good", written), b"b")

    with caplog.at_level(logging.ERROR, "proxy"):
        await turn()

    assert written == [("good", b"b")]
    assert bad.aborted
    assert "a write failed" in caplog.text
