"""Lines to a pipe whose reader reads, is stuck, or is gone."""

import errno
import os
import select
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from proxy.observe.lines import GATHER_SECONDS, MAX_KEPT, LineWriter


class Pipe:
    """A pipe, and everything that was read from it so far."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.open = {self.reader, self.writer}

    def read(self) -> bytes:
        """Everything that stands in the pipe."""
        parts = []
        try:
            while part := os.read(self.reader, 1 << 16):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts)

    def close(self, *ends: int) -> None:
        for end in ends or (self.reader, self.writer):
            if end in self.open:
                self.open.remove(end)
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


LINE = b"x" * 99 + b"\n"


Write = Callable[[bytes], int]


@pytest.fixture(params=["a write that does not wait", "write"])
def patch_write(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Write], None]:
    """Writes as the test says; with a kernel that knows how not to wait, and with an older one."""
    if request.param == "write":
        monkeypatch.delattr("proxy.observe.lines.os.RWF_NOWAIT", raising=False)
    elif not hasattr(os, "RWF_NOWAIT"):
        pytest.skip("no such write on this system")

    def patch(write: Write) -> None:
        monkeypatch.setattr("proxy.observe.lines.os.write", lambda fd, data: write(data))
        monkeypatch.setattr(
            "proxy.observe.lines.os.pwritev",
            lambda fd, buffers, offset, flags: write(*buffers),
            raising=False,
        )

    return patch


def taking(writes: list[bytes]) -> Write:
    """A write that takes everything."""

    def write(data: bytes) -> int:
        writes.append(data)
        return len(data)

    return write


def test_without_a_loop_a_line_is_written_at_once(pipe: Pipe) -> None:
    LineWriter(pipe.writer).write(b"one\n")

    assert pipe.read() == b"one\n"


class Loop:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.planned: list[tuple[float, object]] = []

    def call_later(self, delay: float, call: object) -> SimpleNamespace:
        self.planned.append((delay, call))
        return SimpleNamespace()

    def turn(self) -> None:
        [(delay, call)] = self.planned
        assert delay == GATHER_SECONDS
        self.planned = []
        assert callable(call)
        call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr("proxy.observe.lines.asyncio.get_running_loop", lambda: loop)
    return loop


def test_lines_of_a_moment_are_written_together(
    pipe: Pipe, loop: Loop, patch_write: Callable[[Write], None]
) -> None:
    writes: list[bytes] = []
    patch_write(taking(writes))
    writer = LineWriter(pipe.writer)
    writer.write(b"one\n")
    writer.write(b"two\n")
    assert writes == []
    loop.turn()

    assert writes == [b"one\ntwo\n"]
    assert loop.planned == []


def test_flushing_does_not_wait_for_the_moment(pipe: Pipe, loop: Loop) -> None:
    writer = LineWriter(pipe.writer)
    writer.write(b"one\n")
    writer.flush()
    assert pipe.read() == b"one\n"

    loop.turn()
    assert pipe.read() == b""


def test_a_stuck_reader_loses_the_newest_lines_and_they_are_counted(pipe: Pipe, loop: Loop) -> None:
    writer = LineWriter(pipe.writer)
    sent = [b"%099d\n" % at for at in range(2 * MAX_KEPT // len(LINE))]
    for line in sent:
        writer.write(line)
    got = b""
    while loop.planned:
        loop.turn()
        got += pipe.read()

    assert MAX_KEPT - len(LINE) < len(got) <= MAX_KEPT
    assert got == b"".join(sent[: -writer.dropped])
    writer.write(LINE)
    loop.turn()
    assert pipe.read() == LINE


def test_a_stuck_reader_is_tried_again_and_gets_whole_lines(pipe: Pipe, loop: Loop) -> None:
    writer = LineWriter(pipe.writer)
    for _ in range(2000):
        writer.write(LINE)
    for _ in range(3):
        loop.turn()
    got = pipe.read()
    assert 0 < len(got) < 2000 * len(LINE)

    while loop.planned:
        loop.turn()
        got += pipe.read()
    assert got == LINE * 2000
    assert writer.dropped == 0


def test_writing_to_a_stuck_reader_never_blocks(pipe: Pipe, loop: Loop) -> None:
    """The descriptor stays blocking, as stderr is: only asking first keeps it from that."""
    assert os.get_blocking(pipe.writer)
    writer = LineWriter(pipe.writer)
    for _ in range(2000):
        writer.write(LINE)
        writer.flush()

    assert len(pipe.read()) < 2000 * len(LINE)


def test_a_reader_that_is_gone_takes_nothing_along(pipe: Pipe, loop: Loop) -> None:
    writer = LineWriter(pipe.writer)
    pipe.close(pipe.reader)
    for _ in range(2 * MAX_KEPT // len(LINE)):
        writer.write(LINE)
        writer.flush()
    loop.turn()

    assert writer.dropped == 0
    assert loop.planned == []


def test_a_descriptor_that_does_not_block_may_be_full(
    pipe: Pipe, loop: Loop, patch_write: Callable[[Write], None]
) -> None:
    def full(data: bytes) -> int:
        raise BlockingIOError

    writes: list[bytes] = []
    writer = LineWriter(pipe.writer)
    patch_write(full)
    writer.write(b"one\n")
    writer.flush()
    patch_write(taking(writes))
    loop.turn()

    assert writes == [b"one\n"]


def test_a_line_that_was_cut_goes_on_where_it_was_cut(
    pipe: Pipe, loop: Loop, patch_write: Callable[[Write], None]
) -> None:
    write = os.write
    patch_write(lambda data: write(pipe.writer, data[:3]))
    writer = LineWriter(pipe.writer)
    writer.write(b"a long line\n")
    writer.flush()
    writer.write(b"another\n")
    writer.flush()

    assert pipe.read() == b"a long line\nanother\n"


def test_what_poll_promises_is_no_more_than_what_is_written(
    pipe: Pipe, loop: Loop, patch_write: Callable[[Write], None]
) -> None:
    writes: list[bytes] = []
    patch_write(taking(writes))
    writer = LineWriter(pipe.writer)
    writer.write(LINE * 500)
    writer.flush()

    assert b"".join(writes) == 500 * LINE
    assert max(map(len, writes)) <= select.PIPE_BUF


def test_what_is_written_at_once_ends_with_a_line(
    pipe: Pipe, loop: Loop, patch_write: Callable[[Write], None]
) -> None:
    """Else the lines of another process would come in between."""
    writes: list[bytes] = []
    patch_write(taking(writes))
    writer = LineWriter(pipe.writer)
    for size in (1000, 3000, 4096, 1, 5000, 20):
        writer.write(b"x" * (size - 1) + b"\n")
    writer.flush()

    assert [len(write) for write in writes[:2]] == [4000, 4096]
    whole = hasattr(os, "RWF_NOWAIT")
    assert all(write.endswith(b"\n") for write in writes) or not whole


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="such a write is Linux's")
def test_a_line_longer_than_a_pipe_promises_goes_whole_where_there_is_room(
    pipe: Pipe, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    pwritev = os.pwritev

    def spied(fd: int, buffers: tuple[bytes], offset: int, flags: int) -> int:
        writes.append(buffers[0])
        return pwritev(fd, buffers, offset, flags)

    monkeypatch.setattr("proxy.observe.lines.os.pwritev", spied)
    writer = LineWriter(pipe.writer)
    line = b"x" * 29_999 + b"\n"
    writer.write(line + line)
    writer.flush()

    assert writes[0] == line
    assert max(map(len, writes[1:])) <= select.PIPE_BUF
    assert pipe.read() == line + line


def test_a_kernel_without_such_a_write_is_asked_once(
    pipe: Pipe, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def unknown(fd: int, buffers: tuple[bytes], offset: int, flags: int) -> int:
        asked.append(fd)
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr("proxy.observe.lines.os.RWF_NOWAIT", 8, raising=False)
    monkeypatch.setattr("proxy.observe.lines.os.pwritev", unknown, raising=False)
    writer = LineWriter(pipe.writer)
    for _ in range(2):
        writer.write(b"one\n")
        writer.flush()

    assert pipe.read() == b"one\none\n"
    assert asked == [pipe.writer]


class Poll:
    """A reader that reads as much as the test says each time that it is waited for."""

    def __init__(self, pipe: Pipe, times: int) -> None:
        self._pipe = pipe
        self._times = times
        self.got = b""

    def poll(self, timeout: float) -> list[object]:
        if timeout:
            if not self._times:
                return []
            self._times -= 1
            self.got += self._pipe.read()
        return [1]


@pytest.mark.parametrize("patience", [100, 1])
def test_at_the_end_a_reader_that_is_behind_is_waited_for(
    pipe: Pipe, loop: Loop, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    if not hasattr(os, "RWF_NOWAIT"):
        pytest.skip("the pipe would be waited for")
    writer = LineWriter(pipe.writer)
    for _ in range(2000):
        writer.write(LINE)
    reader = Poll(pipe, patience)
    monkeypatch.setattr(LineWriter, "_poll", reader)
    writer.finish(5.0)
    got = reader.got + pipe.read()

    assert (got == LINE * 2000) is (patience == 100)
    assert got.endswith(LINE)
