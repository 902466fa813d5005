"""The contents of a request, read into messages."""

from collections import defaultdict, deque
from typing import NamedTuple

import msgspec

from proxy.chat import (
    AudioPart,
    CallPart,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Part,
    ResultPart,
    Role,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._gemini.fields import Fields, first
from proxy.dialects._gemini.wire import ORIGIN, encode, is_object, standard_base64, unsealed
from proxy.errors import BadRequest

Raw = msgspec.Raw

_ROLES: dict[str | None, Role] = {
    None: "user",
    "": "user",
    "user": "user",
    "model": "assistant",
    "function": "user",
    "tool": "user",
}
_KINDS = (
    *("executableCode", "codeExecutionResult", "toolCall", "toolResponse"),
    *("functionCall", "functionResponse", "inlineData", "fileData", "videoMetadata"),
)
"""What a part may be besides a text, the ones first that only this dialect knows."""

_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}

_str = msgspec.json.Decoder(str)


class _Answer(NamedTuple):
    text: str
    error: bool


class Signed:
    """A signature that came with a part."""

    __slots__ = ("origin", "redacted", "value")

    def __init__(self, text: str | None) -> None:
        self.value, self.origin, self.redacted = unsealed(text or "")

    def part(self) -> ThinkingPart:
        """It alone: it stands for thinking that is not shown."""
        return ThinkingPart(signature=self.value, origin=self.origin, redacted=self.redacted)


class Contents:
    """Reads contents one after the other; calls and answers without ids are matched by name.

    What a model said is one message, even where a client kept each chunk of a stream as a
    content of its own, and so is each text in it.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._calls = 0
        self._open: dict[str, deque[str]] = defaultdict(deque)
        """Ids of calls by function, as far as they are not answered."""

    def read(self, content: Fields) -> None:
        """Add the messages that a content is: what tools answered stands in one of its own."""
        role = content.text("role")
        if role not in _ROLES:
            raise content.wrong("role", 'must be "user" or "model"')
        answers: list[Part] = []
        rest: list[Part] = []
        if role == "model" and self.messages and self.messages[-1].role == "assistant":
            rest = self.messages.pop().parts
        for part in content.objects("parts"):
            for found in self._part(part, rest if role == "model" else []):
                (answers if isinstance(found, ResultPart) else rest).append(found)
        if answers:
            self.messages.append(Message("tool", answers))
        if rest:
            self.messages.append(Message(_ROLES[role], rest))

    def _part(self, part: Fields, before: list[Part]) -> list[Part]:
        """What a part says, none if nothing: a text and its signature are two."""
        kind = next((kind for kind in _KINDS if kind in part.members), None)
        whole = dict(part.members)
        signature = Signed(part.text("thoughtSignature"))
        is_thought = part.flag("thought")
        found: Part | None = None
        if kind is not None:
            found = self._read(kind, part)
        elif "text" in part.members:
            text = part.text("text") or ""
            if is_thought:
                return _thinking(text, signature, before)
            found = TextPart(text=text) if text else None
            if found is not None:
                found.extra = part.members
            return _said_by_model(found, signature, before)
        else:
            if not part.members:
                return [signature.part()] if signature.value else []
            kind = next(iter(part.members))
        if found is None:
            return [NativePart(raw=Raw(encode(whole)), origin=ORIGIN, kind=kind)]
        found.extra = part.members
        if isinstance(found, CallPart):
            if signature.value:
                found.signature, found.origin = signature.value, signature.origin
        elif signature.value:
            return [found, signature.part()]
        return [found]

    def _read(self, kind: str, part: Fields) -> Part | None:
        """A part of a kind that other dialects know, too; None if it says more than they can."""
        if kind == "functionCall":
            return self._call(_object(part, kind))
        if kind == "functionResponse":
            return self._answer(_object(part, kind))
        if kind not in ("inlineData", "fileData") or "videoMetadata" in part.members:
            return None
        detail = None
        resolution = part.members.get("mediaResolution")
        if resolution is not None:
            level = Fields(resolution, part.at("mediaResolution")).word("level")
            detail = _DETAILS.get(level or "")
        return media(part, kind, detail)

    def _call(self, call: Fields) -> CallPart | None:
        name = call.text("name")
        if not name:
            raise call.wrong("name", "must name the function")
        if "partialArgs" in call.members:
            return None
        identity = call.text("id") or self._new_id()
        self._open[name].append(identity)
        arguments = call.raw("args")
        return CallPart(
            id=identity, name=name, arguments="" if arguments is None else _json(arguments)
        )

    def _answer(self, answer: Fields) -> ResultPart | None:
        name = answer.text("name")
        identity = answer.text("id")
        if not name and not identity:
            raise answer.wrong("name", "must name the function")
        response = answer.raw("response")
        content: list[Part] = []
        error = False
        if response is not None:
            text, error = _said(response, answer.at("response"))
            content.append(TextPart(text=text))
        for part in answer.objects("parts"):
            kind = "fileData" if "fileData" in part.members else "inlineData"
            found = media(part, kind, None)
            found.extra = part.members
            content.append(found)
        if answer.members:
            # Answers in pieces, and answers that wait for their turn, mean something else.
            return None
        waiting = self._open.get(name or "")
        if identity is None:
            identity = waiting.popleft() if waiting else self._new_id()
        elif waiting and identity in waiting:
            waiting.remove(identity)
        return ResultPart(id=identity, content=content, name=name, error=error)

    def _new_id(self) -> str:
        self._calls += 1
        return f"call_{self._calls}"


def media(part: Fields, kind: str, detail: str | None) -> Part:
    """An image, a sound or a document of a part. Raises BadRequest."""
    blob = _object(part, kind)
    media_type = blob.text("mimeType") or ""
    name = blob.text("displayName")
    data = url = file_id = None
    if kind == "inlineData":
        data = standard_base64(blob.text("data") or "")
        if not media_type:
            raise blob.wrong("mimeType", "must name the type of the data")
    else:
        uri = blob.text("fileUri") or ""
        if not uri:
            raise blob.wrong("fileUri", "must name the file")
        url, file_id = (uri, None) if _is_public(uri) else (None, uri)
    origin = ORIGIN if file_id else ""
    if media_type.startswith("image/"):
        if name is not None:
            part.members["displayName"] = Raw(encode(name))
        return ImagePart(
            url=url,
            data=data,
            media_type=media_type,
            file_id=file_id,
            origin=origin,
            detail=detail,
        )
    if media_type.startswith("audio/") and data is not None:
        return AudioPart(data=data, media_type=media_type)
    return FilePart(
        url=url,
        data=data,
        media_type=media_type or None,
        file_id=file_id,
        origin=origin,
        name=name,
    )


def _thinking(text: str, signature: Signed, before: list[Part]) -> list[Part]:
    """A thought, which goes on with the one before it until a signature ends it."""
    last = before[-1] if before else None
    if type(last) is ThinkingPart and not last.signature:
        last.text += text
        last.signature, last.origin = signature.value, signature.origin
        last.redacted = signature.redacted
        return []
    found = signature.part()
    found.text = text
    return [found] if text or signature.value else []


def _said_by_model(text: TextPart | None, signature: Signed, before: list[Part]) -> list[Part]:
    last = before[-1] if before else None
    found: list[Part] = [] if text is None else [text]
    if text is not None and type(last) is TextPart and not last.extra and not text.extra:
        last.text += text.text
        found = []
    return [*found, signature.part()] if signature.value else found


def _is_public(uri: str) -> bool:
    """Whether anybody could fetch it: files that Google keeps are Google's to read."""
    scheme, colon, rest = uri.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        return False
    host = rest.partition("/")[0].lower().removeprefix("www.")
    return host not in ("generativelanguage.googleapis.com", "youtube.com", "youtu.be")


def _said(response: Raw, where: str) -> _Answer:
    """What a function answered; an error if all that it says is one."""
    members = Fields(response, where).members
    if len(members) == 1:
        (name, value), *_ = members.items()
        if name == "error" and first(value) == b"{":
            return _Answer(_json(value), error=True)
        if name in ("output", "error") and first(value) == b'"':
            text = _str.decode(value)
            if not is_object(text):
                return _Answer(text, error=name == "error")
    return _Answer(_json(response), error=False)


def _object(part: Fields, name: str) -> Fields:
    found = part.object(name)
    assert found is not None
    return found


def _json(raw: Raw) -> str:
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
