"""Events put together as a whole response."""

from collections.abc import Iterable
from typing import Any

import msgspec

from proxy.chat import Chat
from proxy.dialects._anthropic.sequencer import Block, Raw, Sequencer
from proxy.dialects._anthropic.wire import encode, fields
from proxy.event import Event

_object = msgspec.json.Decoder(dict[str, Raw]).decode


class _Delta(msgspec.Struct):
    type: str = ""
    partial_json: str = ""
    citation: Raw = Raw(b"null")


_delta = msgspec.json.Decoder(_Delta).decode


class AnswerEncoder(Sequencer):
    """Makes a whole response of events."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat)
        self._content: list[Block] = []
        self._written: list[str] = []

    def answer(self, events: Iterable[Event]) -> bytes:
        """The response's body."""
        for event in events:
            self.take(event)
        self.finish()
        message = self.message()
        delta, usage = self.ending()
        usage = message["usage"] | usage
        tail = {name: raw for name, raw in self._tail.items() if name not in ("type", "delta")}
        return encode(message | {"content": self._content} | tail | delta | {"usage": usage})

    def _open(self, block: Block) -> None:
        self._content.append(block)

    def _piece(self, text: str) -> None:
        self._written.append(text)

    def _say(self, delta: Block | Raw) -> None:
        block = self._content[-1]
        said = _delta(encode(delta))
        if said.type == "signature_delta":
            block["signature"] = fields(encode(delta))["signature"]
        elif said.type == "citations_delta":
            cited = block.get("citations")
            block["citations"] = [*(cited if type(cited) is list else ()), said.citation]
        elif said.type == "input_json_delta":
            self._written.append(said.partial_json)

    def _close(self) -> None:
        block = self._content[-1]
        text = "".join(self._written)
        self._written.clear()
        if self._kind in ("text", "thinking"):
            block[self._kind] = text
        elif text:
            block["input"] = _input(text)

    def _stray(self, frame: bytes, kind: str) -> None:
        pass


def _input(text: str) -> Any:
    """A call's arguments as the object that they must be here.

    A model may write no JSON, or be cut off in the midst of it; what to do about it their own
    documents say: wrap it, so that the client sees it and the model may be shown it.
    """
    try:
        _object(text)
    except (msgspec.MsgspecError, RecursionError):
        return {"INVALID_JSON": text}
    return Raw(text.encode())
