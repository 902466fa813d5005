"""The output of a response while it is written, item by item, each as a run of frames."""

from typing import Any

import msgspec

from proxy.dialects.openai_responses.response import item_id
from proxy.exchange import Raw

Body = dict[str, Any]

_encode = msgspec.json.encode


class Frames:
    """Writes frames, numbered from 0 as they come."""

    __slots__ = ("_number", "_out")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._number = 0

    def take(self) -> bytes:
        """What was written since it was last asked for."""
        out, self._out = self._out, []
        return b"".join(out)

    def write(self, kind: str, fields: Body) -> None:
        """One frame."""
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        self._number += 1

    def write_last(self, frame: bytes) -> None:
        """A frame that is whole."""
        self._out.append(frame)

    def write_delta(self, begin: bytes, text: str, end: bytes = b"") -> None:
        """One frame with a piece of text; `begin` is what :func:`delta_begin` made."""
        self._out.append(
            b'%b%b%b,"sequence_number":%d}\n\n' % (begin, _encode(text), end, self._number)
        )
        self._number += 1


def delta_begin(kind: str, fields: Body) -> bytes:
    """A frame up to the value of its `delta`."""
    data = _encode({"type": kind, **fields})
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), data[:-1])


class OpenItem:
    """An item that has begun. Its kinds know what they are made of."""

    __slots__ = ("body", "delta", "frames", "id", "place", "said")

    prefix = ""

    def __init__(self, frames: Frames, response: str, place: int) -> None:
        self.frames = frames
        self.place = place
        self.id = item_id(self.prefix, response, place)
        self.body: Body = {}
        self.delta = b""
        self.said: list[str] = []
        """What came in deltas, of the part that is open."""

    def where(self, **more: Any) -> Body:
        """The fields that say of which item an event is."""
        return {"item_id": self.id, "output_index": self.place, **more}

    def added(self, body: Body) -> None:
        """Say that it begins, as `body` has it."""
        self.body = body
        self.frames.write("response.output_item.added", {"output_index": self.place, "item": body})

    def done(self) -> Body:
        """Say that it is whole; returns it."""
        self.frames.write(
            "response.output_item.done", {"output_index": self.place, "item": self.body}
        )
        return self.body


class CallItem(OpenItem):
    """A tool call."""

    __slots__ = ("_custom",)

    prefix = "fc"

    def begin(self, call: str, name: str, *, custom: bool) -> None:
        """The call of that id and name begins."""
        self._custom = custom
        kind, field = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
        delta = "custom_tool_call_input" if custom else "function_call_arguments"
        fields = {"call_id": call, "name": name, field: ""}
        self.added({"id": self.id, "type": kind, "status": "in_progress", **fields})
        self.delta = delta_begin(f"response.{delta}.delta", self.where())

    def add(self, text: str) -> None:
        """Some of its arguments."""
        self.said.append(text)
        self.frames.write_delta(self.delta, text)

    def close(self) -> Body:
        """They are whole."""
        text = "".join(self.said)
        if self._custom:
            self.frames.write("response.custom_tool_call_input.done", self.where(input=text))
            self.body = self.body | {"status": "completed", "input": text}
        else:
            text = text or "{}"
            done = self.where(name=self.body["name"], arguments=text)
            self.frames.write("response.function_call_arguments.done", done)
            self.body = self.body | {"status": "completed", "arguments": text}
        return self.done()


class ReasoningItem(OpenItem):
    """Reasoning: its own words, or summaries of them."""

    __slots__ = ("_content", "_summaries", "_summary")

    prefix = "rs"

    def begin(self) -> None:
        """It begins; there may be nothing to see of it."""
        self._content: list[Body] = []
        self._summaries: list[Body] = []
        self._summary: bool | None = None
        self.added({"id": self.id, "type": "reasoning", "summary": []})

    def takes(self, *, summary: bool) -> bool:
        """Whether more of that kind is of this item: it has one part of each."""
        return self._summary is summary or not (self._summaries if summary else self._content)

    def add(self, text: str, *, summary: bool) -> None:
        """Some of it."""
        if self._summary is not summary:
            self._close_part()
            self._open_part(summary=summary)
        self.said.append(text)
        self.frames.write_delta(self.delta, text)

    def close(self, encrypted: str = "") -> Body:
        """It is whole; `encrypted` is what its provider wants back."""
        self._close_part()
        self.body = self.body | {"summary": self._summaries}
        if self._content:
            self.body["content"] = self._content
        if encrypted:
            self.body["encrypted_content"] = encrypted
        return self.done()

    def _open_part(self, *, summary: bool) -> None:
        self._summary = summary
        if summary:
            where = self.where(summary_index=len(self._summaries))
            part = {"type": "summary_text", "text": ""}
            self.frames.write("response.reasoning_summary_part.added", where | {"part": part})
            self.delta = delta_begin("response.reasoning_summary_text.delta", where)
        else:
            where = self.where(content_index=len(self._content))
            self.delta = delta_begin("response.reasoning_text.delta", where)

    def _close_part(self) -> None:
        if self._summary is None:
            return
        text = "".join(self.said)
        self.said.clear()
        if self._summary:
            where = self.where(summary_index=len(self._summaries))
            part = {"type": "summary_text", "text": text}
            self.frames.write("response.reasoning_summary_text.done", where | {"text": text})
            self.frames.write("response.reasoning_summary_part.done", where | {"part": part})
            self._summaries.append(part)
        else:
            where = self.where(content_index=len(self._content))
            self.frames.write("response.reasoning_text.done", where | {"text": text})
            self._content.append({"type": "reasoning_text", "text": text})
        self._summary = None


class MessageItem(OpenItem):
    """A message: texts and refusals."""

    __slots__ = ("_annotations", "_content", "_refusal", "_tokens", "length")

    prefix = "msg"

    def begin(self) -> None:
        """It begins, and is empty."""
        self._content: list[Body] = []
        self._annotations: list[Body | Raw] = []
        self._tokens: list[Body] = []
        self._refusal: bool | None = None
        self.length = 0
        """Characters of the text that is open."""
        body = {"id": self.id, "type": "message", "status": "in_progress"}
        self.added(body | {"role": "assistant", "content": []})

    def add(self, text: str, tokens: list[Body] | None = None) -> None:
        """Some text, and the log-probabilities of its tokens."""
        if self._refusal is not False:
            self._turn(refusal=False)
        self.said.append(text)
        self.length += len(text)
        if tokens:
            self._tokens += tokens
            self.frames.write_delta(self.delta, text, b',"logprobs":%b' % _encode(tokens))
        else:
            self.frames.write_delta(self.delta, text, b',"logprobs":[]')

    def refuse(self, text: str) -> None:
        """Some of a refusal."""
        if self._refusal is not True:
            self._turn(refusal=True)
        self.said.append(text)
        self.frames.write_delta(self.delta, text)

    def annotate(self, annotation: Body | Raw) -> None:
        """Where the text so far comes from."""
        if self._refusal is not False:
            self._turn(refusal=False)
        where = self.where(
            content_index=len(self._content), annotation_index=len(self._annotations)
        )
        self._annotations.append(annotation)
        self.frames.write(
            "response.output_text.annotation.added", where | {"annotation": annotation}
        )

    def close(self, status: str) -> Body:
        """It is whole, or (`status`) as whole as it will be."""
        self._close_part()
        self.body = self.body | {"status": status, "content": self._content}
        return self.done()

    def _turn(self, *, refusal: bool) -> None:
        """End the part that is open, and begin one of the other kind."""
        self._close_part()
        self._refusal = refusal
        self.length = 0
        where = self.where(content_index=len(self._content))
        self.frames.write("response.content_part.added", where | {"part": self._part("")})
        kind = "refusal" if refusal else "output_text"
        self.delta = delta_begin(f"response.{kind}.delta", where)

    def _close_part(self) -> None:
        if self._refusal is None:
            return
        text = "".join(self.said)
        part = self._part(text)
        where = self.where(content_index=len(self._content))
        if self._refusal:
            self.frames.write("response.refusal.done", where | {"refusal": text})
        else:
            done = where | {"text": text, "logprobs": self._tokens}
            self.frames.write("response.output_text.done", done)
        self.frames.write("response.content_part.done", where | {"part": part})
        self._content.append(part)
        self.said, self._annotations, self._tokens = [], [], []
        self._refusal = None

    def _part(self, text: str) -> Body:
        if self._refusal:
            return {"type": "refusal", "refusal": text}
        more = {"annotations": self._annotations, "logprobs": self._tokens}
        return {"type": "output_text", "text": text, **more}
