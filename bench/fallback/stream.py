"""A run, and its streams as seen from both ends."""

import asyncio
import time

import msgspec

from bench.generator import WorkloadFailed
from bench.payloads import CONTENT_EVENTS, frames, message_frames

FRAMES = {
    "plain": frames(usage=False),
    "usage": frames(usage=True),
    "messages": message_frames(),
}
"""By variant: what the request asks for, and of whom."""


class Run(msgspec.Struct, frozen=True):
    """What a `run` command asks for."""

    kind: str
    port: int
    request: str
    connections: int = 1
    warm: float = 0.0
    window: float = 0.0
    rate: float = 0.0
    seed: int = 0
    exact: int = 1
    stream_at: int = 0


class Stream:
    """A stream, seen from both ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.mock: asyncio.StreamWriter | None = None
        self.mock_done = asyncio.Event()
        self.variant = "plain"
        self.sent = self.seen = 0
        self.tail_at: int | None = None
        self.sent_at = 0.0

    def send(self, *contents: bytes) -> None:
        """From the mock: these frames, or the next content."""
        if self.mock is None or self.mock.is_closing():
            raise WorkloadFailed("the proxy left a stream that its client still reads")
        self.sent_at = time.monotonic()
        for frame in contents or (FRAMES[self.variant][1 + (self.sent - 1) % CONTENT_EVENTS],):
            self.sent += 1
            self.mock.write(b"%x\r\n%b\r\n" % (len(frame), frame))

    def tail(self) -> None:
        """From the mock: the end, as providers do it."""
        self.tail_at = self.sent
        self.send(*FRAMES[self.variant][1 + CONTENT_EVENTS :])
        self.sent = self.tail_at + 2  # the client sees no usage
        assert self.mock is not None
        self.mock.write(b"0\r\n\r\n")
        self.mock_done.set()

    def expected(self) -> bytes:
        """The frame that must arrive next."""
        all_frames = FRAMES[self.variant]
        if self.seen >= self.sent:
            raise WorkloadFailed("a stream holds more than the provider sent")
        if self.seen == 0:
            return all_frames[0]
        if self.tail_at is None or self.seen < self.tail_at:
            return all_frames[1 + (self.seen - 1) % CONTENT_EVENTS]
        return all_frames[-1] if self.seen > self.tail_at else all_frames[1 + CONTENT_EVENTS]
