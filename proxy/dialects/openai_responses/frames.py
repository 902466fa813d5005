"""What is read of the events, and of the whole, of a response; the rest is passed over."""

import typing

import msgspec

from proxy.dialects._openai.logprobs import Token
from proxy.exchange import Raw

NOTHING = Raw()
"""A field that is not there."""


class Summary(msgspec.Struct, gc=False):
    text: str | None = None


class Content(msgspec.Struct, gc=False):
    """A part of a message, or of reasoning."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] | None = None
    logprobs: list[Token] | None = None


class Item(msgspec.Struct, gc=False):
    """An item of the output."""

    type: str = ""
    id: str | None = None
    content: list[Content] | None = None
    summary: list[Summary] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    result: str | None = None
    output_format: str | None = None


class Details(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """A whole response, or what is known of one that has begun."""

    id: str | None = None
    model: str | None = None
    created_at: int | float | None = None
    service_tier: str | None = None
    status: str | None = None
    error: Raw = NOTHING
    incomplete_details: Details | None = None
    output: list[Raw] | None = None
    usage: Raw = NOTHING


class Event(msgspec.Struct, gc=False, tag_field="type"):
    """An event of a stream."""


class OfResponse(Event, gc=False):
    """One that has the response as it is by now."""

    response: Response


class Ended(OfResponse, gc=False):
    """One that is the last."""


class Created(OfResponse, gc=False, tag="response.created"):
    pass


class InProgress(OfResponse, gc=False, tag="response.in_progress"):
    pass


class Queued(OfResponse, gc=False, tag="response.queued"):
    pass


class Completed(Ended, gc=False, tag="response.completed"):
    pass


class Incomplete(Ended, gc=False, tag="response.incomplete"):
    pass


class Failed(Ended, gc=False, tag="response.failed"):
    pass


class ItemAdded(Event, gc=False, tag="response.output_item.added"):
    item: Item
    output_index: int = 0


class ItemDone(Event, gc=False, tag="response.output_item.done"):
    item: Raw
    output_index: int = 0


class PartAdded(Event, gc=False, tag="response.content_part.added"):
    pass


class PartDone(Event, gc=False, tag="response.content_part.done"):
    pass


class TextDelta(Event, gc=False, tag="response.output_text.delta"):
    delta: str
    output_index: int = 0
    logprobs: list[Token] | None = None


class TextDone(Event, gc=False, tag="response.output_text.done"):
    pass


class AnnotationAdded(Event, gc=False, tag="response.output_text.annotation.added"):
    annotation: Raw
    output_index: int = 0


class RefusalDelta(Event, gc=False, tag="response.refusal.delta"):
    delta: str
    output_index: int = 0


class RefusalDone(Event, gc=False, tag="response.refusal.done"):
    pass


class ArgumentsDelta(Event, gc=False, tag="response.function_call_arguments.delta"):
    delta: str
    output_index: int = 0


class ArgumentsDone(Event, gc=False, tag="response.function_call_arguments.done"):
    pass


class InputDelta(Event, gc=False, tag="response.custom_tool_call_input.delta"):
    delta: str
    output_index: int = 0


class InputDone(Event, gc=False, tag="response.custom_tool_call_input.done"):
    pass


class SummaryAdded(Event, gc=False, tag="response.reasoning_summary_part.added"):
    output_index: int = 0
    summary_index: int = 0


class SummaryDelta(Event, gc=False, tag="response.reasoning_summary_text.delta"):
    delta: str
    output_index: int = 0


class SummaryTextDone(Event, gc=False, tag="response.reasoning_summary_text.done"):
    pass


class SummaryDone(Event, gc=False, tag="response.reasoning_summary_part.done"):
    pass


class ReasoningAdded(Event, gc=False, tag="response.reasoning_part.added"):
    pass


class ReasoningDelta(Event, gc=False, tag="response.reasoning_text.delta"):
    delta: str
    output_index: int = 0


class ReasoningDone(Event, gc=False, tag="response.reasoning_text.done"):
    pass


class ReasoningPartDone(Event, gc=False, tag="response.reasoning_part.done"):
    pass


class Error(Event, gc=False, tag="error"):
    pass


Known = (
    TextDelta
    | ArgumentsDelta
    | SummaryDelta
    | ReasoningDelta
    | RefusalDelta
    | InputDelta
    | ItemAdded
    | ItemDone
    | SummaryAdded
    | AnnotationAdded
    | Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | Error
    | PartAdded
    | PartDone
    | TextDone
    | RefusalDone
    | ArgumentsDone
    | InputDone
    | SummaryTextDone
    | SummaryDone
    | ReasoningAdded
    | ReasoningDone
    | ReasoningPartDone
)


TAGS = frozenset(str(each.__struct_config__.tag) for each in typing.get_args(Known))
"""The types of the events above."""


class Annotation(msgspec.Struct, gc=False):
    """Where a text comes from: a page, or a file."""

    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Tag(msgspec.Struct):
    type: str = ""


decode_event = msgspec.json.Decoder(Known)
decode_tag = msgspec.json.Decoder(Tag)
decode_item = msgspec.json.Decoder(Item)
decode_response = msgspec.json.Decoder(Response)
decode_annotation = msgspec.json.Decoder(Annotation)
