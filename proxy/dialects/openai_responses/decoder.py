"""What a provider of OpenAI's Responses answers, as events: in a stream, or whole."""

from proxy.dialects._openai import errors
from proxy.dialects._openai.lenient import decode_leniently
from proxy.dialects._openai.stream import BROKEN, DONE, StreamDecoder, raised, used
from proxy.dialects.openai_responses import frames as f
from proxy.dialects.openai_responses.wire import NAME, pack
from proxy.errors import BadResponse, ProviderBroke
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    StopReason,
    Text,
    Thinking,
    call_id,
)
from proxy.exchange import Raw
from proxy.framing.sse import parse_frame

_NULL = Raw(b"null")
_BETWEEN = "\n\n"
"""What stands between the parts of a summary where they are one text."""
_REASONS: dict[str | None, StopReason] = {"max_output_tokens": "length", "content_filter": "filter"}
_CALLS = ("function_call", "custom_tool_call")
_KNOWN = (*_CALLS, "message", "reasoning", "image_generation_call")

_decode = f.decode_event.decode


class ResponsesDecoder(StreamDecoder):
    """Decodes one stream."""

    __slots__ = (
        *("_base", "_begun", "_calls", "_cited", "_done", "_heard", "_id"),
        *("_length", "_made", "_refused"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._id = ""
        self._calls: dict[int, int] = {}
        """The calls that began, by the place of their item in the output."""
        self._made = 0
        self._heard: set[int] = set()
        """Items of which a part has come already, ..."""
        self._cited: set[int] = set()
        """a citation, ..."""
        self._done: set[int] = set()
        """and all."""
        self._length = 0
        """Characters of text so far, ..."""
        self._base = 0
        """and before the message that comes."""
        self._refused = False

    def whole(self, body: bytes) -> list[Event]:
        """The events of a whole response. Raises BadResponse, or what the provider said."""
        try:
            response = decode_leniently(f.decode_response, body)
        except BROKEN as broken:
            raise BadResponse("the provider's answer is not one of OpenAI's Responses") from broken
        if response.output is None and response.status is None:
            error = errors.of_event(body)
            raise error or BadResponse("the provider's answer has no output")
        if response.status in ("queued", "in_progress"):
            raise BadResponse(f"the provider's response has not ended: it is {response.status}")
        events: list[Event] = []
        self._end(response, events)
        return raised(events)

    def _read(self, frame: bytes, events: list[Event]) -> None:
        at = frame.find(b"data:")
        if at <= 0 or frame[at - 1] not in b"\r\n":
            self._odd(frame, events)
            return
        try:
            event = _decode(frame[at + 5 :])
        except BROKEN:
            self._odd(frame, events)
            return
        self._add(event, frame, events)

    def _finish(self, events: list[Event]) -> None:
        """Nothing: the end is said, or it did not come."""

    def _odd(self, frame: bytes, events: list[Event]) -> None:
        """A frame that is not the plain one of an event that we know."""
        data = parse_frame(frame).data
        if not data or data.strip() == DONE:
            return
        try:
            tag = decode_leniently(f.decode_tag, data).type
            if tag in f.TAGS:
                self._add(decode_leniently(f.decode_event, data), frame, events)
                return
            error = errors.of_event(data)
        except BROKEN as broken:
            self._fail_unreadable(broken, events)
            return
        if error is not None:
            self._fail(error, events)
        else:
            events.append(Other(frame, NAME))

    def _add(self, event: f.Event, frame: bytes, events: list[Event]) -> None:
        if not self._begun and not isinstance(event, f.OfResponse | f.Error):
            self._begin(f.Response(), events)
        if type(event) is f.TextDelta:
            self._heard.add(event.output_index)
            if event.delta:
                self._length += len(event.delta)
                events.append(Text(event.delta))
            if event.logprobs:
                events.append(Logprobs([token.neutral() for token in event.logprobs]))
        elif type(event) is f.ArgumentsDelta or type(event) is f.InputDelta:
            index = self._calls.get(event.output_index)
            if index is not None and event.delta:
                self._heard.add(event.output_index)
                events.append(Arguments(index, event.delta))
        elif type(event) is f.SummaryDelta or type(event) is f.ReasoningDelta:
            self._heard.add(event.output_index)
            if event.delta:
                events.append(Thinking(event.delta, 0, type(event) is f.SummaryDelta))
        elif type(event) is f.RefusalDelta:
            self._heard.add(event.output_index)
            self._refuse(event.delta, events)
        elif type(event) is f.ItemAdded:
            self._start(event, frame, events)
        elif type(event) is f.ItemDone:
            self._item(event.item, event.output_index, frame, events)
        elif type(event) is f.SummaryAdded:
            if event.summary_index:
                events.append(Thinking(_BETWEEN, 0, True))
        elif type(event) is f.AnnotationAdded:
            self._cited.add(event.output_index)
            self._cite(event.annotation, events)
        elif isinstance(event, f.Ended):
            self._end(event.response, events)
        elif isinstance(event, f.OfResponse):
            if not self._begun:
                self._begin(event.response, events)
        elif type(event) is f.Error:
            told = errors.of_event(parse_frame(frame).data)
            self._fail(told or ProviderBroke("an error event in the stream"), events)

    def _begin(self, response: f.Response, events: list[Event]) -> None:
        self._begun = True
        self._id = response.id or ""
        created = int(response.created_at or 0)
        tier = response.service_tier or ""
        events.append(Begin(self._id, response.model or "", created, tier))

    def _start(self, event: f.ItemAdded, frame: bytes, events: list[Event]) -> None:
        item = event.item
        if item.type in _CALLS:
            if item.name:
                self._call(item, event.output_index, events)
        elif item.type not in _KNOWN:
            events.append(Other(frame, NAME))
        elif item.type == "message":
            self._base = self._length

    def _item(self, raw: Raw, place: int, frame: bytes, events: list[Event]) -> None:
        """An item that is whole: what of it has not come in parts."""
        try:
            item = decode_leniently(f.decode_item, bytes(raw))
        except BROKEN:
            return
        if item.type not in _KNOWN:
            events.append(Other(frame or bytes(raw), NAME))
        elif place in self._done:
            return
        elif item.type in _CALLS:
            if place not in self._calls:
                self._call(item, place, events)
            text = item.arguments if item.arguments is not None else item.input
            if text and place not in self._heard:
                events.append(Arguments(self._calls[place], text))
        elif item.type == "message":
            self._message(item, place, events)
        elif item.type == "reasoning":
            self._reason(item, place, events)
        elif item.result:
            events.append(Media(f"image/{item.output_format or 'png'}", item.result))
        self._done.add(place)

    def _call(self, item: f.Item, place: int, events: list[Event]) -> None:
        index = self._calls[place] = self._made
        self._made += 1
        identifier = item.call_id or item.id or call_id(self._id, 0, index)
        custom = item.type == "custom_tool_call"
        events.append(Call(index, identifier, item.name or "", custom=custom))

    def _message(self, item: f.Item, place: int, events: list[Event]) -> None:
        heard, cited = place in self._heard, place in self._cited
        for content in item.content or ():
            if not heard:
                self._base = self._length
                if content.text:
                    self._length += len(content.text)
                    events.append(Text(content.text))
                if content.logprobs:
                    events.append(Logprobs([token.neutral() for token in content.logprobs]))
                if content.refusal:
                    self._refuse(content.refusal, events)
            if not cited:
                for annotation in content.annotations or ():
                    self._cite(annotation, events)

    def _reason(self, item: f.Item, place: int, events: list[Event]) -> None:
        if place not in self._heard:
            for content in item.content or ():
                if content.text:
                    events.append(Thinking(content.text))
            summary = _BETWEEN.join(part.text or "" for part in item.summary or ())
            if summary:
                events.append(Thinking(summary, 0, True))
        if item.encrypted_content:
            events.append(Signature(pack(item.id or "", item.encrypted_content), NAME))

    def _refuse(self, words: str, events: list[Event]) -> None:
        if words:
            self._refused = True
            events.append(Refusal(words))

    def _cite(self, raw: Raw, events: list[Event]) -> None:
        try:
            found = f.decode_annotation.decode(raw)
            str(raw, "utf-8")  # what is not read of it is not checked by msgspec
        except BROKEN:
            return
        start, end = found.start_index, found.end_index
        if start is not None and end is not None:
            start, end = self._base + start, self._base + end
        title = found.title or found.filename or ""
        events.append(Citation(found.url or "", title, "", start, end, bytes(raw), NAME))

    def _end(self, response: f.Response, events: list[Event]) -> None:
        if not self._begun:
            self._begin(response, events)
        failed = response.status in ("failed", "cancelled")
        if failed or (response.error and response.error != _NULL):
            error = errors.of_object(response.error) if response.error else None
            self._fail(error or ProviderBroke("the provider's response failed"), events)
            return
        if not (self._done or self._heard):
            # A whole response, or a stream of one that only its last event tells.
            for place, raw in enumerate(response.output or ()):
                self._item(raw, place, b"", events)
        events.append(self._stop(response))
        used(response.usage, events)
        events.append(End())
        self._over = True

    def _stop(self, response: f.Response) -> Stop:
        details = response.incomplete_details
        why = details.reason if details is not None else None
        if response.status == "incomplete" or why is not None:
            return Stop(_REASONS.get(why, "length"), why or "incomplete")
        status = response.status or ""
        if self._calls:
            return Stop("tool_calls", status)
        return Stop("refusal" if self._refused else "stop", status)
