"""Content blocks of a request, read as the parts of a message."""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proxy.chat import (
    CallPart,
    FilePart,
    ImagePart,
    NativePart,
    Part,
    Raw,
    ResultPart,
    TextPart,
    ThinkingPart,
    unseal,
)
from proxy.dialects._anthropic.wire import CALL_MARK, ORIGIN
from proxy.dialects._reading import wrong

_EMPTY = frozenset({b"null", b"[]"})


class CacheControl(Struct):
    """A cache mark. There is one type of it, and its lifetime is all that it can say."""

    type: str = "ephemeral"
    ttl: str | None = None


def mark(cache: CacheControl | None) -> str | None:
    """A cache mark as a part has it."""
    return None if cache is None else cache.ttl or ""


class _Kind(Struct):
    type: str


class _Text(Struct):
    text: str
    cache_control: CacheControl | None = None
    citations: Raw | UnsetType = UNSET


class _Source(Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class _Image(Struct):
    source: _Source
    cache_control: CacheControl | None = None
    transformations: Raw | UnsetType = UNSET


class _Document(Struct):
    source: _Source
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None
    citations: Raw | UnsetType = UNSET


class _Thinking(Struct):
    thinking: str
    signature: str = ""


class _Redacted(Struct):
    data: str


class _Use(Struct):
    id: str
    name: str
    input: Raw = Raw(b"{}")
    cache_control: CacheControl | None = None
    caller: Raw | UnsetType = UNSET
    toolset_name: Raw | UnsetType = UNSET


class _Result(Struct):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    toolset_name: Raw | UnsetType = UNSET


_kind = msgspec.json.Decoder(_Kind).decode
_read_text = msgspec.json.Decoder(_Text).decode
_read_image = msgspec.json.Decoder(_Image).decode
_read_document = msgspec.json.Decoder(_Document).decode
_read_thinking = msgspec.json.Decoder(_Thinking).decode
_read_redacted = msgspec.json.Decoder(_Redacted).decode
_read_use = msgspec.json.Decoder(_Use).decode
_read_result = msgspec.json.Decoder(_Result).decode


def read_content(content: str | list[Raw], where: str) -> list[Part]:
    """Content; `where` is its path in the request. Raises BadRequest."""
    if isinstance(content, str):
        return [TextPart(text=content)]
    parts: list[Part] = []
    for number, raw in enumerate(content):
        place = f"{where}.{number}"
        try:
            kind = _kind(raw).type
            reader = _READERS.get(kind)
            part = _native(raw, kind) if reader is None else reader(raw, place)
        except msgspec.ValidationError as error:
            raise wrong(error, place) from error
        last = parts[-1] if parts else None
        if isinstance(part, CallPart) and isinstance(last, ThinkingPart):
            _take_back(part, last, parts)
        parts.append(part)
    return parts


def _take_back(call: CallPart, last: ThinkingPart, parts: list[Part]) -> None:
    """What a provider wants back with a call stands before it, in a block of its own."""
    if last.redacted and last.origin.endswith(CALL_MARK):
        call.signature, call.origin = last.signature, last.origin.removesuffix(CALL_MARK)
        parts.pop()


def _native(raw: Raw, kind: str) -> NativePart:
    return NativePart(raw=raw, origin=ORIGIN, kind=kind)


def _extra(**values: Raw | UnsetType) -> dict[str, Raw]:
    return {
        name: value
        for name, value in values.items()
        if value is not UNSET and bytes(value) not in _EMPTY
    }


def _text(raw: Raw, _: str) -> Part:
    block = _read_text(raw)
    cache = mark(block.cache_control)
    return TextPart(text=block.text, cache=cache, extra=_extra(citations=block.citations))


def _image(raw: Raw, _: str) -> Part:
    block = _read_image(raw)
    source = block.source
    part = ImagePart(
        cache=mark(block.cache_control), extra=_extra(transformations=block.transformations)
    )
    match source.type:
        case "base64":
            part.data = _given(source.data, "source.data")
            part.media_type = _given(source.media_type, "source.media_type")
        case "url":
            part.url = _given(source.url, "source.url")
        case "file":
            part.file_id, part.origin = _given(source.file_id, "source.file_id"), ORIGIN
        case _:
            return _native(raw, f"image of {source.type}")
    return part


def _document(raw: Raw, _: str) -> Part:
    block = _read_document(raw)
    source = block.source
    if block.context:
        # It tells the model something, and no other dialect has a place for it.
        return _native(raw, "document with a context")
    part = FilePart(
        name=block.title,
        cache=mark(block.cache_control),
        extra=_extra(citations=block.citations),
        media_type=source.media_type,
    )
    match source.type:
        case "base64":
            part.data = _given(source.data, "source.data")
        case "text":
            part.text = _given(source.data, "source.data")
        case "url":
            part.url = _given(source.url, "source.url")
        case "file":
            part.file_id, part.origin = _given(source.file_id, "source.file_id"), ORIGIN
        case _:
            return _native(raw, f"document of {source.type}")
    return part


def _given(value: str | None, name: str) -> str:
    if value is None:
        raise msgspec.ValidationError(f"Object missing required field - at `$.{name}`")
    return value


def _thinking(raw: Raw, _: str) -> Part:
    block = _read_thinking(raw)
    signature, origin = unseal(block.signature, ORIGIN if block.signature else "")
    return ThinkingPart(text=block.thinking, signature=signature, origin=origin)


def _redacted(raw: Raw, _: str) -> Part:
    signature, origin = unseal(_read_redacted(raw).data, ORIGIN)
    return ThinkingPart(signature=signature, origin=origin, redacted=True)


def _use(raw: Raw, _: str) -> Part:
    block = _read_use(raw)
    arguments = bytes(block.input)
    if not arguments.startswith(b"{"):
        raise msgspec.ValidationError("Expected `object` - at `$.input`")
    return CallPart(
        id=block.id,
        name=block.name,
        arguments=arguments.decode(),
        cache=mark(block.cache_control),
        extra=_extra(caller=block.caller, toolset_name=block.toolset_name),
    )


def _result(raw: Raw, where: str) -> Part:
    block = _read_result(raw)
    return ResultPart(
        id=block.tool_use_id,
        content=read_content(block.content or [], f"{where}.content"),
        error=block.is_error or False,
        cache=mark(block.cache_control),
        extra=_extra(toolset_name=block.toolset_name),
    )


_READERS: dict[str, Callable[[Raw, str], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _use,
    "tool_result": _result,
}
