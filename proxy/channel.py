"""Messages, and open files with them, between two of our own processes on one machine.

A message is a struct in MessagePack behind its length; the kernel carries descriptors beside the
bytes (SCM_RIGHTS, unix(7)), and never past the end of the message that they go with.
"""

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

MAX_MESSAGE = 256 << 20
"""Bytes of one message: whoever announces more speaks another language."""

MAX_FILES = 250
"""Descriptors with one message; the kernel takes 253 (SCM_MAX_FD)."""

_HEAD = struct.Struct("!IB")
"""How long a message is, and how many descriptors go with it."""
_READ = 64 * 1024


class Framing:
    """Cuts what arrives into messages, each with the descriptors that came with it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._files: deque[int] = deque()

    @staticmethod
    def frame(payload: bytes, files: int = 0) -> bytes:
        """The bytes that carry `payload`, with which so many descriptors go.

        Raises ValueError for more than a message may hold.
        """
        if len(payload) > MAX_MESSAGE or files > MAX_FILES:
            raise ValueError(f"{len(payload)} bytes and {files} files are too much for a message")
        return _HEAD.pack(len(payload), files) + payload

    def feed(self, data: bytes, files: Sequence[int] = ()) -> list[tuple[bytes, list[int]]]:
        """The messages that are whole with `data`. Raises ValueError for what is none."""
        self._data += data
        self._files += files
        messages = []
        while len(self._data) >= _HEAD.size:
            length, count = _HEAD.unpack_from(self._data)
            if length > MAX_MESSAGE:
                raise ValueError(f"a message of {length} bytes")
            end = _HEAD.size + length
            if len(self._data) < end:
                break
            if len(self._files) < count:
                raise ValueError("a message without its files")
            payload = bytes(self._data[_HEAD.size : end])
            del self._data[:end]
            messages.append((payload, [self._files.popleft() for _ in range(count)]))
        return messages

    def close(self) -> None:
        """Close the descriptors that nobody was given."""
        while self._files:
            os.close(self._files.popleft())


class Channel:
    """One end of a connection; it reads as soon as it is made."""

    def __init__(
        self,
        sock: socket.socket,
        heard: Callable[[Any, list[int]], None],
        lost: Callable[[], None],
        *,
        kind: Any,
    ) -> None:
        """Messages of the type `kind` (a struct, or a union of tagged ones) come to `heard`.

        Whoever hears a message owns its descriptors. `lost` is called once, when the other end
        is gone or makes no sense; not after `close`.
        """
        sock.setblocking(False)
        self._sock = sock
        self._heard = heard
        self._lost = lost
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._framing = Framing()
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, message: msgspec.Struct, files: Sequence[int] = ()) -> None:
        """Send a message, soon; nothing happens once the channel is closed.

        Descriptors are duplicated at once, so the caller may close its own.
        """
        if not self._open:
            return
        data = Framing.frame(msgspec.msgpack.encode(message), len(files))
        self._unsent.append((memoryview(data), tuple(map(os.dup, files))))
        if len(self._unsent) == 1:
            self._write()

    def close(self) -> None:
        """Close this end; what was not sent yet is lost."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._framing.close()
        for _, files in self._unsent:
            _close(files)
        self._unsent.clear()

    @property
    def closed(self) -> bool:
        """Whether nothing more will be sent or heard."""
        return not self._open

    @property
    def idle(self) -> bool:
        """Whether the other end's kernel has everything that was sent."""
        return not self._unsent

    def _write(self) -> None:
        try:
            while self._unsent:
                data, files = self._unsent[0]
                taken = _send(self._sock, data, files)
                _close(files)
                if taken < len(data):
                    self._unsent[0] = data[taken:], ()
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._write)
            return
        except OSError:
            # Whoever sends is in the middle of something: it hears of this afterwards.
            self._loop.call_soon(self._fail)
        self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        try:
            data, files = receive(self._sock)
            messages = self._framing.feed(data, files)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data, messages = b"", []
        for payload, its_files in messages:
            self._hear(payload, its_files)
        if not data:
            self._fail()

    def _hear(self, payload: bytes, files: list[int]) -> None:
        if self._open:
            try:
                message = self._decoder.decode(payload)
            except msgspec.MsgspecError:
                self._fail()
            else:
                self._heard(message, files)
                return
        _close(files)

    def _fail(self) -> None:
        if self._open:
            self.close()
            self._lost()


def _send(sock: socket.socket, data: memoryview, files: Sequence[int]) -> int:
    if not files:
        return sock.send(data)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
    return sock.sendmsg([data], [rights])


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """What is there; raises OSError where descriptors came that this process has no room for."""
    space = socket.CMSG_SPACE(MAX_FILES * array.array("i").itemsize)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    data, rights, told, _ = sock.recvmsg(_READ, space, flags)
    files = array.array("i")
    for level, kind, content in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    if told & socket.MSG_CTRUNC:
        _close(files)
        raise OSError("more files than this process may open")
    return data, list(files)


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)
