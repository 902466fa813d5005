"""Messages cut from bytes, and channels over a socket that is a script."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.channel import MAX_FILES, MAX_MESSAGE, Channel, Framing
from tests.unit.conftest import turns


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3)), max_size=6),
    st.lists(st.integers(1, 60), max_size=12),
)
def test_messages_come_whole_with_their_files_wherever_they_are_cut(
    sent: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    data, files = b"", []
    expected = []
    for number, (payload, count) in enumerate(sent):
        its = [number * 10 + n for n in range(count)]
        # The kernel gives descriptors out with the first byte of what they were sent with.
        files += [(len(data), its)]
        data += Framing.frame(payload, count)
        expected.append((payload, its))
    framing = Framing()
    came: list[tuple[bytes, list[int]]] = []
    at = 0
    for size in [*cuts, len(data)]:
        end = min(at + size, len(data))
        given_now = [fd for start, its in files if at <= start < end for fd in its]
        came += framing.feed(data[at:end], given_now)
        at = end

    assert came == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (struct.pack("!IB", MAX_MESSAGE + 1, 0), "a message of"),
        (struct.pack("!IB", 0, 1), "without its files"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Framing().feed(data)


def test_a_message_has_its_bounds() -> None:
    with pytest.raises(ValueError, match="too much for a message"):
        Framing.frame(b"", MAX_FILES + 1)


def test_files_that_nobody_was_given_are_closed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    framing = Framing()
    framing.feed(b"\0", [writer])
    framing.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


class Said(msgspec.Struct, tag=True, frozen=True):
    words: str


class Sock:
    """A socket that takes as much as it is told to, and has what the test puts there."""

    def __init__(self) -> None:
        self.takes: int | OSError = 1 << 30
        self.sent = b""
        self.files: list[int] = []
        self.here: list[tuple[bytes, list[int], int] | OSError] = []
        self.closed = False

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def send(self, data: memoryview) -> int:
        if isinstance(self.takes, OSError):
            raise self.takes
        taken = min(self.takes, len(data))
        if not taken:
            raise BlockingIOError
        self.takes -= taken
        self.sent += data[:taken]
        return taken

    def sendmsg(self, buffers: list[memoryview], rights: list[tuple[int, int, Any]]) -> int:
        [data], [(level, kind, files)] = buffers, rights
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        taken = self.send(data)
        self.files += [os.dup(file) for file in files]
        return taken

    def recvmsg(self, size: int, space: int, flags: int) -> tuple[bytes, list[Any], int, None]:
        if not self.here:
            raise BlockingIOError
        came = self.here.pop(0)
        if isinstance(came, OSError):
            raise came
        data, files, told = came
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(files)}i", *files))
        return data, [rights] if files else [], told, None

    def close(self) -> None:
        self.closed = True


class Loop:
    """Knows who wants to read and to write."""

    def __init__(self) -> None:
        self.reader: Callable[[], None] | None = None
        self.writer: Callable[[], None] | None = None

    def add_reader(self, sock: object, call: Callable[[], None]) -> None:
        self.reader = call

    def add_writer(self, sock: object, call: Callable[[], None]) -> None:
        self.writer = call

    def remove_reader(self, sock: object) -> None:
        self.reader = None

    def remove_writer(self, sock: object) -> None:
        self.writer = None

    def call_soon(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(call)


class End:
    """A channel, its socket and its loop, and what came of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sock, self.loop = Sock(), Loop()
        self.heard: list[tuple[Any, list[int]]] = []
        self.lost = 0
        self.then: Callable[[], None] = lambda: None
        """What is done about a message."""
        with monkeypatch.context() as patch:
            patch.setattr("proxy.channel.asyncio.get_running_loop", lambda: self.loop)
            self.channel = Channel(
                cast(socket.socket, self.sock),
                self._heard,
                self._lost,
                kind=Said,
            )

    def _heard(self, message: Any, files: list[int]) -> None:
        self.heard.append((message, files))
        self.then()

    def _lost(self) -> None:
        self.lost += 1

    def comes(self, data: bytes, files: list[int] | None = None, told: int = 0) -> None:
        self.sock.here.append((data, files or [], told))
        assert self.loop.reader is not None
        self.loop.reader()


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> End:
    return End(monkeypatch)


def frame(words: str, files: int = 0) -> bytes:
    return Framing.frame(msgspec.msgpack.encode(Said(words)), files)


def is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


@pytest.fixture
def file() -> int:
    """A descriptor; whoever is given it closes it."""
    reader, writer = os.pipe()
    os.close(writer)
    return reader


async def test_what_is_sent_leaves_at_once_and_what_comes_is_heard(end: End) -> None:
    end.channel.send(Said("hello"))
    end.comes(frame("one") + frame("two"))

    assert end.sock.sent == frame("hello")
    assert end.channel.idle
    assert end.heard == [(Said("one"), []), (Said("two"), [])]


async def test_what_is_not_taken_leaves_later_in_order(end: End) -> None:
    end.sock.takes = 3
    end.channel.send(Said("first"))
    end.channel.send(Said("second"))
    assert not end.channel.idle
    assert end.sock.sent == frame("first")[:3]
    end.sock.takes = 1 << 20
    assert end.loop.writer is not None
    end.loop.writer()

    assert end.sock.sent == frame("first") + frame("second")
    assert end.channel.idle
    assert end.loop.writer is None


async def test_files_go_with_the_first_byte_and_stay_the_senders(end: End, file: int) -> None:
    end.sock.takes = 2
    end.channel.send(Said("here"), [file])
    assert len(end.sock.files) == 1
    end.sock.takes = 1 << 20
    assert end.loop.writer is not None
    end.loop.writer()

    assert end.sock.sent == frame("here", 1)
    assert len(end.sock.files) == 1
    assert is_open(file)
    os.close(file)
    os.close(end.sock.files[0])


async def test_files_are_handed_to_whoever_hears(end: End, file: int) -> None:
    end.comes(frame("here", 1), [file])

    assert end.heard == [(Said("here"), [file])]
    assert is_open(file)
    os.close(file)


@pytest.mark.parametrize(
    "data",
    [b"", Framing.frame(b"\xc1"), struct.pack("!IB", MAX_MESSAGE + 1, 0)],
    ids=["end", "not MessagePack", "too long"],
)
async def test_an_end_or_nonsense_loses_the_channel_once(end: End, data: bytes) -> None:
    end.comes(data)

    assert end.lost == 1
    assert end.sock.closed
    assert end.loop.reader is None
    end.channel.send(Said("too late"))
    assert end.sock.sent == b""


async def test_files_of_nonsense_are_closed(end: End, file: int) -> None:
    end.comes(Framing.frame(b"\xc1", 1), [file])

    assert end.lost == 1
    assert not is_open(file)


async def test_files_that_this_process_has_no_room_for_lose_the_channel(
    end: End, file: int
) -> None:
    end.comes(frame("here", 2), [file], socket.MSG_CTRUNC)

    assert (end.lost, end.heard) == (1, [])
    assert not is_open(file)


async def test_a_write_that_fails_is_told_afterwards(end: End) -> None:
    end.sock.takes = BrokenPipeError()
    end.channel.send(Said("hello"))
    assert end.lost == 0
    await turns()

    assert end.lost == 1


async def test_after_close_nothing_is_heard(end: End, file: int) -> None:
    end.sock.takes = 0
    end.channel.send(Said("never"), [file])
    end.channel.close()
    end.channel.close()

    assert (end.lost, end.sock.closed) == (0, True)
    assert is_open(file)  # its copy, which waited to be sent, is closed
    os.close(file)


async def test_who_closes_on_a_message_hears_no_further(end: End, file: int) -> None:
    end.then = end.channel.close
    end.comes(frame("one") + frame("two", 1), [file])

    assert end.heard == [(Said("one"), [])]
    assert not is_open(file)
