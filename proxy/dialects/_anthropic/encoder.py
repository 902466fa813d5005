"""Events encoded as a stream of server-sent events."""

from collections.abc import Iterable

import msgspec

from proxy.chat import Chat
from proxy.dialects._anthropic.sequencer import Block, Raw, Sequencer
from proxy.dialects._anthropic.wire import encode
from proxy.event import End, Event

_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
)
PIECES = {
    "text": (b"text_delta", b"text"),
    "thinking": (b"thinking_delta", b"thinking"),
    "call": (b"input_json_delta", b"partial_json"),
}
_DELTA_END = b"}}\n\n"
_encode = msgspec.json.Encoder().encode


class StreamEncoder(Sequencer):
    """Makes a stream of events."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat)
        self._out: list[bytes] = []
        self._index = -1
        self._prefix = b""
        self._fed = self._started = self._ended = False

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames that say the events."""
        for event in events:
            self._fed = True
            if type(event) is End:
                self._end()
            else:
                self.take(event)
        if self._fed and not self._started:
            self._start()
        return self._written()

    def close(self) -> bytes:
        """The frames that end the stream, if `End` did not bring them."""
        self._end()
        return self._written()

    def _written(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _start(self) -> None:
        self._started = True
        nothing: Block = {"content": [], "stop_reason": None, "stop_sequence": None}
        message = self.message() | nothing
        self._write({"type": "message_start", "message": message})

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if not self._started:
            self._start()
        self.finish()
        delta, usage = self.ending()
        self._write(self._tail | {"type": "message_delta", "delta": delta, "usage": usage})
        self._write({"type": "message_stop"})

    def _frame(self, kind: str, data: bytes) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _write(self, data: Block) -> None:
        self._out.append(self._frame(data["type"], encode(data)))

    def _open(self, block: Block) -> None:
        if not self._started:
            self._start()
        self._index += 1
        self._write({"type": "content_block_start", "index": self._index, "content_block": block})
        if self._kind != "native":
            self._prefix = _DELTA % (self._index, *PIECES[self._kind])

    def _piece(self, text: str) -> None:
        self._out += (self._prefix, _encode(text), _DELTA_END)

    def _say(self, delta: Block | Raw) -> None:
        self._write({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> None:
        self._write({"type": "content_block_stop", "index": self._index})

    def _stray(self, data: bytes, kind: str) -> None:
        if not self._started:
            self._start()
        self._out.append(self._frame(kind, data))
