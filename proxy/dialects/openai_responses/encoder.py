"""Events as a stream of OpenAI's Responses, or as a whole response."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proxy.chat import Chat
from proxy.dialects.openai_responses import response as r
from proxy.dialects.openai_responses.output import (
    CallItem,
    Frames,
    MessageItem,
    ReasoningItem,
)
from proxy.dialects.openai_responses.wire import NAME, encrypted_content
from proxy.errors import ProxyError
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
    call_id,
)
from proxy.exchange import Raw
from proxy.framing.sse import parse_frame

Body = dict[str, Any]

_OUTPUT = "response.output_item."
_fields = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_whole = msgspec.json.Decoder(int)


class ResponsesEncoder:
    """Encodes one stream. There is one choice here, the first.

    Calls stay open side by side until the model stops, since their arguments may interleave;
    other items are closed by what follows them.
    """

    __slots__ = (
        *("_ask", "_calls", "_error_event", "_frames", "_message", "_output", "_over"),
        *("_places", "_reasoning", "_response", "_spoken", "_stop", "_summaries", "_usage"),
    )

    def __init__(self, ask: Chat, error_event: Callable[[ProxyError], bytes]) -> None:
        self._ask = ask
        self._error_event = error_event
        self._frames = Frames()
        self._response: Body = {}
        self._output: list[Body | Raw | None] = []
        """Items by their place; None is one that is open."""
        self._message: MessageItem | None = None
        self._reasoning: ReasoningItem | None = None
        self._calls: dict[int, CallItem] = {}
        self._places: dict[int, int] = {}
        """Where items that the provider runs stand here, by where they stood there."""
        self._spoken: str | None = None
        """Text that waits, within one feed, for the log-probabilities that belong to it."""
        self._summaries = ask.reasoning is not None and ask.reasoning.show is True
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._over = False

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames that say them."""
        for event in events:
            if self._over:
                break
            if getattr(event, "choice", 0):
                continue
            if type(event) is Text:
                if self._ask.logprobs:
                    self._flush()
                    self._spoken = event.text
                else:
                    (self._message or self._open_message()).add(event.text)
            elif type(event) is Arguments:
                self._flush()
                call = self._calls.get(event.index)
                if call is not None:
                    call.add(event.text)
            else:
                self._write(event)
        self._flush()
        return self._frames.take()

    def close(self) -> bytes:
        """The end, unless it came."""
        return self.feed([End()])

    def whole(self) -> bytes:
        """The response as it is by now: what a client gets who asked for no stream."""
        return msgspec.json.encode(self._response)

    def _write(self, event: Event) -> None:
        if isinstance(event, Logprobs):
            self._tokens(event)
            return
        self._flush()
        if isinstance(event, Begin):
            self._begin(event)
        elif isinstance(event, Thinking):
            self._think(event)
        elif isinstance(event, Signature):
            self._sign(event)
        elif isinstance(event, Refusal):
            (self._message or self._open_message()).refuse(event.text)
        elif isinstance(event, Call):
            self._call(event)
        elif isinstance(event, Citation):
            self._cite(event)
        elif isinstance(event, Media):
            self._draw(event)
        elif isinstance(event, Stop):
            self._stop = event
            self._close_all()
        elif isinstance(event, Used):
            self._usage = event.usage
        elif isinstance(event, Failure):
            self._frames.write_last(self._error_event(event.error))
            self._over = True
        elif isinstance(event, End):
            self._end()
        elif isinstance(event, Other) and event.origin == NAME:
            self._pass_on(event.frame)

    def _begin(self, event: Begin) -> None:
        self._response = r.begun(event, self._ask)
        self._frames.write("response.created", {"response": self._response})
        self._frames.write("response.in_progress", {"response": self._response})

    def _place(self) -> int:
        """The place of an item that begins."""
        if not self._response:
            self._begin(Begin())
        self._output.append(None)
        return len(self._output) - 1

    def _open_message(self) -> MessageItem:
        self._close_reasoning()
        place = self._place()
        self._message = MessageItem(self._frames, self._response["id"], place)
        self._message.begin()
        return self._message

    def _open_reasoning(self) -> ReasoningItem:
        self._close_message()
        place = self._place()
        self._reasoning = ReasoningItem(self._frames, self._response["id"], place)
        self._reasoning.begin()
        return self._reasoning

    def _close_message(self) -> None:
        if self._message is not None:
            status = "completed" if r.incomplete(self._stop) is None else "incomplete"
            self._output[self._message.place] = self._message.close(status)
            self._message = None

    def _close_reasoning(self, encrypted: str = "") -> None:
        if self._reasoning is not None:
            self._output[self._reasoning.place] = self._reasoning.close(encrypted)
            self._reasoning = None

    def _close_all(self) -> None:
        self._close_reasoning()
        self._close_message()
        for call in self._calls.values():
            self._output[call.place] = call.close()
        self._calls = {}

    def _flush(self, tokens: list[Body] | None = None) -> None:
        text, self._spoken = self._spoken, None
        if text is not None or tokens:
            (self._message or self._open_message()).add(text or "", tokens)

    def _tokens(self, event: Logprobs) -> None:
        if event.refusal:  # those of refusals have no place here
            self._flush()
        else:
            self._flush(r.tokens(event.tokens))

    def _think(self, event: Thinking) -> None:
        summary = event.summary or self._summaries
        if self._reasoning is not None and not self._reasoning.takes(summary=summary):
            self._close_reasoning()
        (self._reasoning or self._open_reasoning()).add(event.text, summary=summary)

    def _sign(self, event: Signature) -> None:
        # A block that nobody may read is one of its own.
        if event.redacted:
            self._close_reasoning()
        if self._reasoning is None:
            self._open_reasoning()
        kept = encrypted_content(event.value, event.origin, redacted=event.redacted)
        self._close_reasoning(kept)

    def _call(self, event: Call) -> None:
        self._close_reasoning()
        self._close_message()
        place = self._place()
        response = self._response["id"]
        call = self._calls[event.index] = CallItem(self._frames, response, place)
        call.begin(event.id or call_id(response, 0, event.index), event.name, custom=event.custom)

    def _cite(self, event: Citation) -> None:
        message = self._message or self._open_message()
        if event.raw and event.origin == NAME:
            message.annotate(Raw(event.raw))
            return
        start = message.length if event.start is None else event.start
        end = message.length if event.end is None else event.end
        cited = {"start_index": start, "end_index": end, "url": event.url, "title": event.title}
        message.annotate({"type": "url_citation", **cited})

    def _draw(self, event: Media) -> None:
        """An image is an item of its own; a sound has no place here."""
        kind, _, form = event.media_type.partition("/")
        if kind != "image":
            return
        self._close_reasoning()
        self._close_message()
        place = self._place()
        item: Body = {
            "id": r.item_id("ig", self._response["id"], place),
            "type": "image_generation_call",
            "status": "completed",
            "output_format": form,
            "result": event.data,
        }
        for step in ("added", "done"):
            self._frames.write(_OUTPUT + step, {"output_index": place, "item": item})
        self._output[place] = item

    def _pass_on(self, frame: bytes) -> None:
        """What only this dialect knows: an item as it is, or an event that takes its place here."""
        if frame.startswith(b"{"):
            place = self._place()
            self._output[place] = Raw(frame)
            return
        try:
            fields = _fields.decode(parse_frame(frame).data)
            kind = _text.decode(fields.pop("type"))
            there = _whole.decode(fields.get("output_index", b"-1"))
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            return
        if kind == _OUTPUT + "added":
            self._close_reasoning()
            self._close_message()
            self._places[there] = self._place()
        fields.pop("sequence_number", None)
        here: Body = dict(fields)
        if there in self._places:
            here["output_index"] = place = self._places[there]
            if kind == _OUTPUT + "done":
                self._output[place] = fields["item"]
        self._frames.write(kind, here)

    def _end(self) -> None:
        if not self._response:
            self._begin(Begin())
        self._close_all()
        output = [item for item in self._output if item is not None]
        self._response = r.ended(self._response, output, self._stop, self._usage)
        self._frames.write(f"response.{self._response['status']}", {"response": self._response})
        self._over = True
