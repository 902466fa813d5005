"""TLS over a socket that is read and written as a test says, no faster."""

import asyncio
import socket
import ssl

_READ = 65536


class Secured:
    """A client's TLS. `close_notify` says whether the server said that it would say no more."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self.close_notify = False

    async def open(self) -> None:
        """Do the handshake. Raises ssl.SSLError, and ConnectionError if the server leaves."""
        while True:
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self.object.write(data)
        await self._flush()

    async def receive(self, size: int) -> bytes:
        """At most `size` bytes of what has come; b"" when the connection has ended.

        Raises ssl.SSLError where the server said by an alert what it does not like.
        """
        while True:
            try:
                data = self.object.read(size)
            except ssl.SSLWantReadError:
                await self._more()
            except ssl.SSLEOFError:
                return b""
            else:
                self.close_notify = not data
                return data

    async def _more(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._socket, _READ)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
