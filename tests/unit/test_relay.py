"""The relay between an upstream and a downstream that do what the test says."""

import asyncio
from typing import ClassVar, cast

import pytest

from proxy.dialect import Watch
from proxy.errors import BadResponse, ClientLeft, ClientTimeout, ProviderBroke
from proxy.event import Usage
from proxy.framing import FramingError
from proxy.relay import GAP_BOUNDS, Relay, collect
from proxy.tasks import spawn
from proxy.timers import Sweep, Watched
from tests.unit.conftest import Downstream, Upstream, exchange_of, turns


class FakeSweep:
    """Says who is watched."""

    def __init__(self) -> None:
        self.watched: set[Watched] = set()

    def add(self, watched: Watched) -> None:
        self.watched.add(watched)

    def discard(self, watched: Watched) -> None:
        self.watched.discard(watched)


class Stripping:
    """Takes every x out, keeps the last byte for the end, and chokes on an exclamation mark."""

    whole_frames: ClassVar[bool] = False

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        if b"!" in data:
            raise FramingError("a bang")
        self.usage = Usage(output_tokens=len(data))
        data, self._held = self._held + data[:-1], data[-1:]
        return data.replace(b"x", b"")

    def close(self) -> bytes:
        return self._held


class Passing:
    """Looks and changes nothing."""

    usage = Usage(input_tokens=1)

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""


class Scene:
    """A relay at work between the two."""

    def __init__(
        self,
        *script: bytes | ProviderBroke | None,
        watch: Watch | None = None,
        send_timeout: float = 10.0,
        chunked: bool = False,
        timed: bool = False,
    ) -> None:
        self.upstream = Upstream(*script)
        self.downstream = Downstream()
        self.downstream.start(200, b"", None)
        self.downstream.chunked = chunked
        self.sweep = FakeSweep()
        self.relay = Relay(
            self.upstream,
            self.downstream,
            watch,
            sweep=cast(Sweep, self.sweep),
            send_timeout=send_timeout,
            timed=timed,
        )
        self.exchange = exchange_of()

    async def begin(self) -> "asyncio.Task[None]":
        """Let it run until it waits."""
        task = spawn(self.relay.run(), "relay")
        await turns()
        return task

    async def stick(self) -> "asyncio.Task[None]":
        """Let it run until the client takes no more."""
        task = await self.begin()
        self.downstream.writing_paused = True
        self.upstream.play(b"one ")
        await turns()
        return task

    def settle(self) -> None:
        self.relay.settle(self.exchange)


async def test_a_body_leaves_as_it_comes_and_ends_once() -> None:
    scene = Scene()
    task = await scene.begin()
    assert scene.downstream.flushed, "the head waits for the body"
    for number, piece in enumerate((b"one ", b"two ", b"three")):
        scene.upstream.play(piece)
        assert scene.downstream.sent[number:] == [piece], "a piece waited for something"
    assert not task.done()
    scene.upstream.play(None)
    await task
    scene.settle()

    assert scene.downstream.ends == ["finished"]
    assert (scene.exchange.chunks, scene.exchange.bytes_out) == (3, 13)
    assert scene.upstream.calls == []


async def test_a_body_that_is_here_at_once_needs_no_wait() -> None:
    scene = Scene(b"one", None)
    await scene.relay.run()

    assert (scene.downstream.body, scene.downstream.ends) == (b"one", ["finished"])


@pytest.mark.parametrize(
    ("chunked", "watch", "framed"),
    [
        (True, None, [b"3\r\none\r\n"]),
        (True, Passing(), [b"3\r\none\r\n"]),
        (False, None, []),
        (True, Stripping(), []),
    ],
)
async def test_clean_chunks_go_through_as_they_came_where_nothing_changed(
    chunked: bool, watch: Watch | None, framed: list[bytes]
) -> None:
    scene = Scene(chunked=chunked, watch=watch)
    await scene.begin()
    assert scene.upstream.sink is not None
    scene.upstream.sink.data(b"one", b"3\r\none\r\n")
    assert scene.downstream.framed == framed
    scene.upstream.play(None)


async def test_what_a_watch_takes_out_is_not_sent_and_what_it_holds_comes_last() -> None:
    scene = Scene(b"axb", b"x", b"c", None, watch=Stripping())
    await scene.relay.run()
    scene.settle()

    assert scene.downstream.sent == [b"a", b"b", b"c"]
    assert scene.exchange.usage == Usage(output_tokens=1)
    assert scene.downstream.ends == ["finished"]


async def test_what_a_watch_cannot_read_is_a_bad_response() -> None:
    scene = Scene(b"good ", b"bad!", b"late", None, watch=Stripping())

    with pytest.raises(BadResponse, match="the provider's stream cannot be read: a bang"):
        await scene.relay.run()
    assert scene.downstream.body == b"good"
    assert scene.downstream.ends == []


async def test_a_client_that_takes_no_more_pauses_the_provider_until_it_does() -> None:
    scene = Scene()
    task = await scene.stick()
    assert scene.upstream.calls == ["pause"]
    assert scene.downstream.body == b"one "

    scene.upstream.play(b"two ")  # was on its way already
    await turns()
    assert scene.upstream.calls == ["pause"]
    scene.downstream.make_room()
    await turns()
    assert scene.upstream.calls == ["pause", "resume"]

    scene.downstream.writing_paused = True
    scene.upstream.play(b"three")
    await turns()
    assert scene.upstream.calls == ["pause", "resume", "pause"]
    scene.downstream.make_room()
    scene.upstream.play(None)
    await task
    assert (scene.downstream.body, scene.downstream.ends) == (b"one two three", ["finished"])


async def test_the_end_waits_for_a_client_that_takes_no_more() -> None:
    scene = Scene()
    task = await scene.stick()
    scene.upstream.play(None)
    await turns()
    assert not task.done()

    scene.downstream.make_room()
    await task
    assert scene.downstream.ends == ["finished"]


async def test_what_breaks_is_raised_and_the_end_is_left_to_the_caller() -> None:
    error = ProviderBroke("reset")
    scene = Scene(b"one", error, b"late", None)

    with pytest.raises(ProviderBroke) as raised:
        await scene.relay.run()
    scene.settle()
    assert raised.value is error
    assert scene.downstream.sent == [b"one"]
    assert scene.downstream.ends == []
    assert (scene.exchange.chunks, scene.exchange.bytes_out) == (1, 3)


async def test_what_breaks_while_it_waits_wakes_it_up() -> None:
    scene = Scene()
    task = await scene.begin()
    scene.upstream.play(ProviderBroke("reset"))

    with pytest.raises(ProviderBroke):
        await task


async def test_after_the_end_nothing_breaks_and_nothing_comes() -> None:
    scene = Scene(b"one", None, ProviderBroke("reset"), b"late")
    await scene.relay.run()

    assert (scene.downstream.sent, scene.downstream.ends) == ([b"one"], ["finished"])


async def test_a_client_that_leaves_while_it_is_waited_for_is_told_of() -> None:
    scene = Scene()
    task = await scene.stick()
    scene.downstream.gone = ClientLeft("gone")
    scene.downstream.make_room()

    with pytest.raises(ClientLeft):
        await task
    assert scene.sweep.watched == set()
    assert "resume" not in scene.upstream.calls


@pytest.mark.parametrize("stuck", [False, True])
async def test_a_cancelled_relay_sends_nothing_more(stuck: bool) -> None:
    scene = Scene()
    task = await (scene.stick() if stuck else scene.begin())
    sent = list(scene.downstream.sent)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    scene.upstream.play(b"late")
    scene.upstream.play(None)
    await turns()
    assert (scene.downstream.sent, scene.downstream.ends) == (sent, [])
    assert scene.sweep.watched == set()


async def test_only_a_client_that_takes_no_more_is_watched() -> None:
    scene = Scene()
    task = await scene.begin()
    scene.upstream.play(b"one")
    assert scene.sweep.watched == set()
    scene.downstream.writing_paused = True
    scene.upstream.play(b"two")
    await turns()
    assert scene.sweep.watched == {scene.relay}

    scene.downstream.make_room()
    await turns()
    assert scene.sweep.watched == set()
    scene.upstream.play(None)
    await task


async def test_a_client_that_takes_nothing_for_too_long_is_cut_off() -> None:
    scene = Scene(send_timeout=10.0)
    task = await scene.stick()
    for now, left in ((100.0, 9000), (105.0, 9000), (109.9, 8999), (115.0, 8999), (119.8, 8999)):
        scene.downstream.left = left
        scene.relay.check(now)
        assert scene.downstream.ends == [], f"cut off at {now}"
    scene.relay.check(119.9)
    assert scene.downstream.ends == ["aborted"]
    assert scene.sweep.watched == set()

    # Cutting the connection off cancels whoever serves it.
    task.cancel()
    with pytest.raises(ClientTimeout, match="the client took nothing for 10 s"):
        await task
    assert scene.downstream.ends == ["aborted"]


async def test_each_time_that_a_client_takes_no_more_is_measured_anew() -> None:
    scene = Scene(send_timeout=10.0)
    task = await scene.stick()
    for now in (100.0, 500.0):
        scene.relay.check(now)
        scene.relay.check(now + 9.9)
        assert scene.downstream.ends == []
        scene.downstream.make_room()
        await turns()
        scene.downstream.writing_paused = True
        scene.upstream.play(b"more")
        await turns()
    scene.downstream.make_room()
    scene.upstream.play(None)
    await task


async def test_a_client_may_have_all_the_time_it_wants() -> None:
    scene = Scene(send_timeout=0.0)
    task = await scene.stick()
    assert scene.sweep.watched == set()
    scene.downstream.make_room()
    scene.upstream.play(None)
    await task


async def test_time_is_counted_between_reads_by_power_of_two() -> None:
    now = 100.0
    scene = Scene(timed=True)
    task = await scene.begin()
    for gap in (5.0, 0.0, 0.001, 0.3, 0.3, 1000.0):
        now += gap
        scene.upstream.heard_at = now
        scene.upstream.play(b"x")
    scene.upstream.play(None)
    await task
    scene.settle()

    exchange = scene.exchange
    assert (exchange.first_at, exchange.last_at) == (105.0, 1105.601)
    assert exchange.gaps is not None
    assert sum(exchange.gaps) == 5
    at = 0
    for gap in (0.0, 0.001, 0.3, 0.3, 1000.0):
        at = next(i for i, bound in enumerate(GAP_BOUNDS) if gap < bound)
        assert exchange.gaps[at] > 0
        assert at == 0 or GAP_BOUNDS[at - 1] <= gap
    assert exchange.gaps[at] == 1


async def test_gaps_are_counted_only_where_they_are_asked_for() -> None:
    scene = Scene(b"a", b"b", None)
    await scene.relay.run()
    scene.settle()

    assert scene.exchange.gaps is None


@pytest.mark.parametrize(
    ("pieces", "torn"),
    [
        ([], False),
        ([b"data: a\n\n"], False),
        ([b"data: a\r\n\r\n"], False),
        ([b"data: a\r\r"], False),
        ([b"data: a\n"], True),
        ([b"data: a\n\ndata"], True),
        ([b"data: ", b"a\n\n"], False),
    ],
)
async def test_a_stream_is_torn_if_its_client_has_a_part_of_a_frame(
    pieces: list[bytes], torn: bool
) -> None:
    scene = Scene(*pieces, ProviderBroke("reset"))
    with pytest.raises(ProviderBroke):
        await scene.relay.run()
    scene.settle()

    assert scene.exchange.torn is torn


async def test_a_short_body_is_collected_whole() -> None:
    upstream = Upstream(b"a", b"b")
    task = spawn(collect(upstream, 2), "collect")
    await turns()
    assert not task.done(), "the end was not waited for"
    upstream.play(None)

    assert await task == b"ab"


async def test_a_body_that_is_too_long_is_not_waited_for() -> None:
    upstream = Upstream(b"ab", b"c")

    assert await collect(upstream, 2) == b"abc"


async def test_a_body_that_breaks_is_not_taken_for_the_whole() -> None:
    with pytest.raises(ProviderBroke):
        await collect(Upstream(b"a", ProviderBroke("reset"), None), 2)


async def test_an_open_frame_is_kept_until_it_ends() -> None:
    scene = Scene(timed=True)
    task = await scene.begin()
    for piece, between in ((b"data: a\n\nda", False), (b"ta: b\n", False), (b"\n", True)):
        scene.upstream.play(piece)
        assert scene.relay.between_frames is between
    assert scene.relay.last_chunk.endswith(b"data: b\n\n")
    scene.upstream.play(None)
    await task
