"""Parts of messages that Chat and Responses spell nearly alike."""

import mimetypes
from typing import Any

from proxy.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    Omissions,
    Part,
    TextPart,
    data_url,
    split_data_url,
)
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.family import MEMBERS
from proxy.dialects._openai.fields import Fields
from proxy.exchange import Raw

PDF = "application/pdf"
_AUDIO_TYPES = {"mp3": "audio/mpeg"}
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
"""Subtypes of media types that have another name here."""
_LIFETIMES = {"cache_control": ("5m", "1h"), "prompt_cache_breakpoint": ("30m", "12h")}
"""Those that each spelling of a cache mark knows."""


def cache_mark(fields: Fields) -> str | None:
    """The cache mark on a part, a message or a tool: its lifetime, "" if it names none."""
    for name in _LIFETIMES:
        mark = fields.object(name)
        if mark is not None:
            return mark.take("ttl", f.TEXT) or ""
    return None


def plainest(
    parts: list[Part], written: list[dict[str, Any] | Raw]
) -> str | list[dict[str, Any] | Raw]:
    """Parts as they were written; the text itself where one that says no more is all there is."""
    if not written:
        return ""
    if len(written) == 1 and isinstance(parts[0], TextPart) and len(written[0]) == 2:
        return parts[0].text
    return written


def marked(spelling: str, lifetime: str | None, omissions: Omissions) -> dict[str, Any]:
    """The field that is a cache mark in that spelling; "" is that of who knows none."""
    if lifetime is None:
        return {}
    if not spelling:
        omissions.hint("cache_control")
        return {}
    mark = {"type": "ephemeral"} if spelling == "cache_control" else {"mode": "explicit"}
    if lifetime in _LIFETIMES[spelling]:
        mark["ttl"] = lifetime
    return {spelling: mark}


def read_image(url: str, fields: Fields, field: str) -> ImagePart:
    """The image at a URL, which may be a data URL. Raises BadRequest that names `field`."""
    data = split_data_url(url)
    if data is not None:
        return ImagePart(media_type=data[0], data=data[1])
    if url[:5].lower() == "data:":
        raise fields.wrong(field, "a URL, or a data URL in base64")
    return ImagePart(url=url)


def image_url(part: ImagePart, omissions: Omissions) -> str:
    """The URL of an image. Raises Unsupported for one that a provider keeps."""
    if part.data is not None:
        return data_url(part.media_type or "image/png", part.data)
    if part.url is None:
        omissions.refuse("an image that another provider keeps", param="messages")
    return part.url


def read_audio(fields: Fields) -> AudioPart:
    """The sound in an `input_audio` object. Raises BadRequest."""
    form = fields.need("format", f.TEXT)
    media_type = _AUDIO_TYPES.get(form, f"audio/{form}")
    return AudioPart(data=fields.need("data", f.TEXT), media_type=media_type)


def audio(part: AudioPart) -> dict[str, Any]:
    """A part that is a sound."""
    subtype = part.media_type.partition("/")[2]
    form = _AUDIO_FORMATS.get(subtype, subtype)
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}


def read_file(fields: Fields, origin: str) -> FilePart:
    """The file of `file_data`, `file_url` or `file_id`. Raises BadRequest."""
    name = fields.take("filename", f.TEXT)
    url = fields.take("file_url", f.TEXT)
    data = fields.take("file_data", f.TEXT)
    if url is not None:
        return FilePart(url=url, name=name)
    if data is None:
        return FilePart(file_id=fields.need("file_id", f.TEXT), origin=origin, name=name)
    if data.startswith(("https://", "http://")):  # OpenRouter's way
        return FilePart(url=data, name=name)
    typed = split_data_url(data)
    if typed is not None:
        return FilePart(media_type=typed[0], data=typed[1], name=name)
    guessed = mimetypes.guess_type(name)[0] if name else None
    return FilePart(media_type=guessed or PDF, data=data, name=name)


def file(part: FilePart, omissions: Omissions) -> dict[str, Any]:
    """The fields that bring a file along. Raises Unsupported for one that another one keeps."""
    if part.data is not None:
        media_type = part.media_type or PDF
        fields: dict[str, Any] = {"file_data": data_url(media_type, part.data)}
        if part.name is not None or media_type == PDF:
            fields["filename"] = part.name or "document.pdf"
        return fields
    if part.file_id is None or part.origin not in MEMBERS:
        omissions.refuse("a file that another provider keeps", param="messages")
    return {"file_id": part.file_id}
