"""The input of a request of OpenAI's Responses, in the neutral form."""

from proxy.chat import (
    CallPart,
    ImagePart,
    Message,
    NativePart,
    Part,
    RefusalPart,
    ResultPart,
    TextPart,
)
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.parts import cache_mark, read_audio, read_file, read_image
from proxy.dialects.openai_responses.wire import NAME, thinking_of

_ROLES = "one of system, developer, user and assistant"


class Conversation:
    """A conversation, item by item. What the assistant did without a break is one message."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def add(self, fields: Fields) -> None:
        """The next item. Raises BadRequest."""
        whole = fields.whole()
        kind = fields.take("type", f.TEXT)
        if kind in (None, "message") and (kind or "role" in fields):
            self._message(fields)
        elif kind == "reasoning":
            self._assistant(_reasoning(fields))
        elif kind == "function_call":
            self._assistant([_call(fields, "arguments")])
        elif kind == "custom_tool_call":
            self._assistant([_call(fields, "input", custom=True)])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            result = ResultPart(
                id=fields.need("call_id", f.TEXT), content=_content(fields, "output")
            )
            self.messages.append(Message("tool", [result]))
        elif kind is None:
            raise fields.wrong("type", "the type of an item")
        else:
            self._assistant([NativePart(raw=whole, origin=NAME, kind=kind)])

    def _message(self, fields: Fields) -> None:
        role = fields.need("role", f.TEXT)
        parts = _content(fields, "content")
        if role in ("system", "developer"):
            self.messages.append(Message("system", parts))
        elif role == "user":
            self.messages.append(Message("user", parts))
        elif role == "assistant":
            self._assistant(parts)
        else:
            raise fields.wrong("role", _ROLES)

    def _assistant(self, parts: list[Part]) -> None:
        if self.messages and self.messages[-1].role == "assistant":
            self.messages[-1].parts += parts
        else:
            self.messages.append(Message("assistant", parts))


def _reasoning(fields: Fields) -> list[Part]:
    """Reasoning: its own words, or else the summary that stands in their place."""
    words = [part.take("text", f.TEXT) or "" for part in fields.objects("content")]
    summary = [part.take("text", f.TEXT) or "" for part in fields.objects("summary")]
    text = "".join(words) or "\n\n".join(summary)
    encrypted = fields.take("encrypted_content", f.TEXT) or ""
    if not text and not encrypted:
        return []
    return [thinking_of(text, fields.take("id", f.TEXT) or "", encrypted)]


def _call(fields: Fields, field: str, *, custom: bool = False) -> CallPart:
    return CallPart(
        id=fields.need("call_id", f.TEXT),
        name=fields.need("name", f.TEXT),
        arguments=fields.take(field, f.TEXT) or "",
        custom=custom,
    )


def _content(fields: Fields, field: str) -> list[Part]:
    found = fields.take(field, f.TEXT_OR_LIST)
    if found is None or found == "":
        return []
    if isinstance(found, str):
        return [TextPart(text=found)]
    return [_part(part) for part in fields.each(field, found)]


def _part(fields: Fields) -> Part:
    whole = fields.whole()
    kind = fields.need("type", f.TEXT)
    part: Part
    if kind in ("input_text", "output_text", "text"):
        part = TextPart(text=fields.need("text", f.TEXT))
        # What came with an answer goes back with it, and says nothing new.
        fields.raw("annotations")
        fields.raw("logprobs")
    elif kind == "input_image":
        part = _image(fields)
    elif kind == "input_audio":
        inner = fields.object("input_audio")
        if inner is None:
            raise fields.wrong("input_audio", "an object")
        part = read_audio(inner)
    elif kind == "input_file":
        part = read_file(fields, NAME)
        fields.raw("file_id")
    elif kind == "refusal":
        part = RefusalPart(text=fields.need("refusal", f.TEXT))
    else:
        return NativePart(raw=whole, origin=NAME, kind=kind)
    part.cache = cache_mark(fields)
    part.extra = fields.rest()
    return part


def _image(fields: Fields) -> ImagePart:
    detail = fields.take("detail", f.TEXT)
    url = fields.take("image_url", f.TEXT)
    if url is None:
        image = ImagePart(file_id=fields.need("file_id", f.TEXT), origin=NAME)
    else:
        image = read_image(url, fields, "image_url")
        fields.raw("file_id")
    image.detail = detail
    return image
