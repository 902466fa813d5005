"""Handing the listening sockets over to a process that takes this one's place.

They meet at an abstract unix socket (unix(7)) that is named for the user and the address that is
listened at: it is no file, so a read-only root will do, and it goes with its process. Each side
asks the kernel who the other is (SO_PEERCRED) and deals with its own user only.

::

    new                                   old
    Take             ---->
                     <----                Given, with a socket, for each that listens; then Whole
    accepts on them, and is ready
    Done             ---->
                     <----                Gone: it takes no more, and ends what runs

Until `Done` the old one goes on as if nothing were: a new one that fails changes nothing.
"""

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proxy.channel import Channel, Framing, receive
from proxy.config.address import ListenAddress
from proxy.errors import ConfigError
from proxy.listener import Listener, bind

WAIT_SECONDS = 10.0
"""For what the other process says next."""

LINGER_SECONDS = 5.0
"""How long connections that are idle may still be used after a takeover: a client that is about
to ask must not find its connection closed, and the old process is in nobody's way."""

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: process, user, group."""

_BACKLOG = 4


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Something that is said."""


class Take(Message, frozen=True):
    """A new process would like the sockets."""


class Given(Message, frozen=True):
    """A socket that listens at this address."""

    address: str


class Whole(Message, frozen=True):
    """There are no more sockets than those that were given."""


class Done(Message, frozen=True):
    """The new process answers in the place of the old one."""


class Gone(Message, frozen=True):
    """The old process takes no more."""


Asked = Take | Done
Told = Given | Whole | Gone

Open = Callable[[], Iterable[tuple[Listener, Iterable[socket.socket]]]]
"""What is listened at now, and all its sockets."""


def available() -> bool:
    """Whether this system has what it takes, which is Linux's."""
    return hasattr(socket, "SO_PEERCRED")


class Handover:
    """The old process's side: waits to be asked for its sockets."""

    def __init__(self, open_now: Open, taken: Callable[[int], None]) -> None:
        """`taken` is called with the id of the process that answers from now on."""
        self._open_now = open_now
        self._taken = taken
        self._doors: dict[str, socket.socket] = {}
        self._visits: set[_Visit] = set()

    def wait(self) -> None:
        """Wait at the addresses that are listened at now, and nowhere else."""
        loop = asyncio.get_running_loop()
        names = set()
        if available():
            # A descriptor's number says nothing to another process.
            open_now = (listener.bound for listener, _ in self._open_now())
            names = {_name(address) for address in open_now if address.fd is None}
        for name in self._doors.keys() - names:
            self._shut(name)
        for name in names - self._doors.keys():
            door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                door.bind(name)
                door.listen(_BACKLOG)
            except OSError:
                # Another process of ours waits there, which listens at the same address: who
                # asks for it is answered by that one.
                door.close()
                continue
            door.setblocking(False)
            self._doors[name] = door
            loop.add_reader(door, self._let_in, door)

    def close(self) -> None:
        """Wait no more; who was let in is let go."""
        for name in tuple(self._doors):
            self._shut(name)
        for visit in tuple(self._visits):
            visit.close()

    def _shut(self, name: str) -> None:
        door = self._doors.pop(name)
        asyncio.get_running_loop().remove_reader(door)
        door.close()

    def _let_in(self, door: socket.socket) -> None:
        try:
            peer, _ = door.accept()
        except OSError:
            return
        process, user = peer_of(peer)
        if user == os.geteuid():
            self._visits.add(_Visit(self, peer, process))
        else:
            peer.close()

    def give(self, channel: Channel) -> None:
        """Send every socket."""
        for listener, socks in self._open_now():
            for sock in socks:
                channel.send(Given(str(listener.bound)), [sock.fileno()])
        channel.send(Whole())

    def done(self, visit: "_Visit") -> None:
        """Leave the place to whoever has the sockets."""
        for name in tuple(self._doors):
            self._shut(name)
        self._taken(visit.process)

    def left(self, visit: "_Visit") -> None:
        """A process that asked is gone."""
        self._visits.discard(visit)


class _Visit:
    """A process that asked."""

    def __init__(self, handover: Handover, sock: socket.socket, process: int) -> None:
        self.process = process
        self._handover = handover
        self._channel = Channel(sock, self._heard, self.close, kind=Asked)

    def close(self) -> None:
        self._channel.close()
        self._handover.left(self)

    def _heard(self, message: Asked, files: list[int]) -> None:
        for file in files:
            os.close(file)
        if isinstance(message, Take):
            self._handover.give(self._channel)
        else:
            self._handover.done(self)
            self._channel.send(Gone())


class Takeover:
    """The new process's side: the sockets that it was given, until each has found its use."""

    def __init__(self, sock: socket.socket, process: int, stock: dict[str, list[socket.socket]]):
        """`take` makes one."""
        self.process = process
        """The id of the old one."""
        self._sock = sock
        self._stock = stock

    @classmethod
    def take(cls, addresses: Iterable[ListenAddress]) -> "Takeover | None":
        """Ask whoever listens at one of the addresses for its sockets; None if nobody does.

        Waits for the other process. Raises ConfigError.
        """
        if not available():
            raise ConfigError(["--takeover: only Linux hands sockets over"])
        for address in addresses:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(WAIT_SECONDS)
            try:
                sock.connect(_name(address))
                process, user = peer_of(sock)
                if user != os.geteuid():
                    what = f"whoever waits there belongs to another user ({user})"
                    raise ConfigError([f"--takeover: {address}: {what}"])
                sock.sendall(Framing.frame(msgspec.msgpack.encode(Take())))
                return cls(sock, process, _given(sock))
            except ConnectionRefusedError:
                sock.close()
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                sock.close()
                reason = "no answer in time" if isinstance(error, TimeoutError) else error
                raise ConfigError([f"--takeover: {address}: {reason}"]) from error
            except BaseException:
                sock.close()
                raise
        return None

    def bind(self, address: ListenAddress, key: str, *, share: bool = False) -> Listener:
        """The first that listens at this address, else one that is made: a `Bind`.

        Until `done` what was given is the other's.
        """
        given = self._stock.get(str(address))
        if not given:
            return bind(address, key, share=share)
        listener = Listener(address, given[0], owned=False)
        if address.mode is not None or address.owner is not None:
            listener.permit(address, key)
        del given[0]
        return listener

    def rest(self, address: ListenAddress) -> list[socket.socket]:
        """The others that listen at this address, handed over: whoever asks owns them."""
        return self._stock.pop(str(address), [])

    async def done(self) -> bool:
        """Have the old process take no more; whether it said so before it fell silent.

        Sockets that nobody asked for are closed.
        """
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[bool] = loop.create_future()

        def hear(message: Any, files: list[int]) -> None:
            if not gone.done():
                gone.set_result(True)

        def lose() -> None:
            if not gone.done():
                gone.set_result(False)

        channel = Channel(self._sock, hear, lose, kind=Told)
        channel.send(Done())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await gone
        except TimeoutError:
            return False
        finally:
            channel.close()
            self.close()

    def close(self) -> None:
        """Give back what was not used; before `done` the old process goes on."""
        self._sock.close()
        for socks in self._stock.values():
            for sock in socks:
                sock.close()
        self._stock.clear()


def _given(sock: socket.socket) -> dict[str, list[socket.socket]]:
    """What the other process gives, by address; raises OSError, ValueError, MsgspecError."""
    framing, decoder = Framing(), msgspec.msgpack.Decoder(Told)
    stock: dict[str, list[socket.socket]] = {}
    while True:
        data, files = receive(sock)
        if not data:
            raise ValueError("it hung up")
        for payload, its_files in framing.feed(data, files):
            message = decoder.decode(payload)
            if isinstance(message, Given):
                [file] = its_files
                given = socket.socket(fileno=file)
                given.setblocking(False)
                stock.setdefault(message.address, []).append(given)
            elif isinstance(message, Whole):
                return stock


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end of a unix socket."""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(told)
    return process, user


def _name(address: ListenAddress) -> str:
    """Where one waits who listens at `address`: an abstract name, which has 107 bytes at most."""
    digest = hashlib.sha256(str(address).encode()).hexdigest()
    return f"\0llm-proxy/{os.geteuid()}/{digest}"
