"""The messages of a request of OpenAI's Chat, in the neutral form."""

import msgspec

from proxy.chat import (
    CallPart,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Part,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
    unseal,
)
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.parts import cache_mark, read_audio, read_file, read_image
from proxy.dialects.openai_chat.wire import NAME, Detail, thinking_of
from proxy.event import call_id
from proxy.exchange import Raw

_ROLES = "one of system, developer, user, assistant, tool and function"

_details = msgspec.json.Decoder(list[Detail])


class Turns:
    """A conversation, message by message.

    Calls of `functions`, and those of servers that give none an id, get one here; results that
    name none belong to the first such call that still has no result.
    """

    __slots__ = ("_made", "_waiting", "messages")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._made = 0
        self._waiting: list[CallPart] = []

    def add(self, fields: Fields) -> None:
        """The next message. Raises BadRequest."""
        role = fields.need("role", f.TEXT)
        name = fields.take("name", f.TEXT)
        if role in ("system", "developer"):
            message = Message("system", _content(fields), name)
        elif role == "user":
            message = Message("user", _content(fields), name)
        elif role == "assistant":
            message = Message("assistant", self._assistant(fields), name)
        elif role in ("tool", "function"):
            message = Message("tool", [self._result(fields, name)])
        else:
            raise fields.wrong("role", _ROLES)
        mark = cache_mark(fields)
        if mark is not None and message.parts:
            message.parts[-1].cache = mark
        self.messages.append(message)

    def _assistant(self, fields: Fields) -> list[Part]:
        parts = _thinking(fields)
        parts += _content(fields)
        refusal = fields.take("refusal", f.TEXT)
        if refusal:
            parts.append(RefusalPart(text=refusal))
        audio = fields.raw("audio")
        if audio is not None:
            parts.append(NativePart(raw=audio, origin=NAME, kind="audio"))
        for call in fields.objects("tool_calls"):
            parts.append(self._call(call))
        legacy = fields.object("function_call")
        if legacy is not None:
            parts.append(self._called(legacy, ""))
        return parts

    def _call(self, fields: Fields) -> CallPart:
        custom = fields.take("type", f.TEXT) == "custom"
        kind = "custom" if custom else "function"
        inner = fields.object(kind)
        if inner is None:
            raise fields.wrong(kind, "an object")
        call = self._called(
            inner, fields.take("id", f.TEXT) or "", "input" if custom else "arguments"
        )
        call.custom = custom
        call.cache = cache_mark(fields)
        google = (fields.object("extra_content") or Fields({})).object("google")
        signature = google.take("thought_signature", f.TEXT) if google is not None else None
        if signature:
            call.signature, call.origin = unseal(signature, NAME)
        return call

    def _called(self, fields: Fields, identifier: str, field: str = "arguments") -> CallPart:
        name = fields.need("name", f.TEXT)
        arguments = fields.take(field, f.TEXT) or ""
        call = CallPart(id=identifier, name=name, arguments=arguments)
        if not identifier:
            call.id = call_id("", 0, self._made)
            self._made += 1
            self._waiting.append(call)
        return call

    def _result(self, fields: Fields, name: str | None) -> ResultPart:
        identifier = fields.take("tool_call_id", f.TEXT) or ""
        if not identifier:
            named = [call for call in self._waiting if name in (None, call.name)]
            if not named:
                raise fields.wrong("tool_call_id", "the id of a call")
            self._waiting.remove(named[0])
            identifier = named[0].id
        return ResultPart(id=identifier, content=_content(fields), name=name)


def _thinking(fields: Fields) -> list[Part]:
    """An assistant's reasoning, in whatever field it is brought back."""
    details = fields.take("reasoning_details", _details) or []
    words = [fields.take(name, f.TEXT) for name in ("reasoning_content", "reasoning")]
    text = words[0] or words[1] or ""
    parts = [thinking_of(detail) for detail in details]
    if text and not any(part.text for part in parts):
        # The words stand in the other field only, and the first signature there is signs them.
        if parts and not parts[0].redacted:
            parts[0].text = text
        else:
            parts.insert(0, ThinkingPart(text=text))
    return [part for part in parts if part.text or part.signature]


def _content(fields: Fields) -> list[Part]:
    found = fields.take("content", f.TEXT_OR_LIST)
    if found is None or found == "":
        return []
    if isinstance(found, str):
        return [TextPart(text=found)]
    return [_part(part) for part in fields.each("content", found)]


def _part(fields: Fields) -> Part:
    whole = fields.whole()
    kind = fields.need("type", f.TEXT)
    part: Part
    if kind == "text":
        part = TextPart(text=fields.need("text", f.TEXT))
    elif kind == "image_url":
        part = _image(fields)
    elif kind == "input_audio":
        part = _audio(fields, whole)
    elif kind == "file":
        part = _file(fields)
    elif kind == "refusal":
        part = RefusalPart(text=fields.need("refusal", f.TEXT))
    elif kind == "thinking":
        part = ThinkingPart(text=_said(fields))
    else:
        return NativePart(raw=whole, origin=NAME, kind=kind)
    part.cache = cache_mark(fields)
    part.extra = fields.rest()
    return part


def _image(fields: Fields) -> ImagePart:
    found = fields.need("image_url", f.TEXT_OR_OBJECT)
    # Mistral takes the URL without the object around it.
    inner = {"url": f.spelled(found)} if isinstance(found, str) else found
    named = Fields(inner, fields.where("image_url"))
    image = read_image(named.need("url", f.TEXT), named, "url")
    image.detail = named.take("detail", f.TEXT)
    return image


def _audio(fields: Fields, whole: Raw) -> Part:
    found = fields.need("input_audio", f.TEXT_OR_OBJECT)
    if isinstance(found, str):  # Mistral's, which does not say what it is
        return NativePart(raw=whole, origin=NAME, kind="input_audio")
    return read_audio(Fields(found, fields.where("input_audio")))


def _file(fields: Fields) -> FilePart:
    inner = fields.object("file")
    if inner is None:
        raise fields.wrong("file", "an object")
    return read_file(inner, NAME)


def _said(fields: Fields) -> str:
    """What a part of Mistral's says that has the model's thoughts."""
    found = fields.need("thinking", f.TEXT_OR_LIST)
    if isinstance(found, str):
        return found
    return "".join(part.take("text", f.TEXT) or "" for part in fields.each("thinking", found))
