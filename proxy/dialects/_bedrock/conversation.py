"""The messages of a chat as Converse spells them."""

import hashlib
import re
from typing import Any

import msgspec

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    NativePart,
    Part,
    RefusalPart,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._bedrock.wire import (
    AUDIO_FORMATS,
    FILE_FORMATS,
    IMAGE_FORMATS,
    ORIGIN,
    Block,
    Raw,
)
from proxy.dialects._turns import arrange, check_results, says

_not_a_name = re.compile(r"[^A-Za-z0-9()\[\]-]+").sub
_not_an_id = re.compile(r"[^A-Za-z0-9_.:-]").sub
_MAX_ID = 64
_MAX_NAME = 190

_object = msgspec.json.Decoder(dict[str, Raw]).decode


def cache_point(cache: str | None, rendering: Rendering) -> list[Block]:
    """The block that stands behind what is marked: none, where there is no mark or place for it."""
    if cache is None:
        return []
    if "cache" in rendering.quirks.refuses:
        rendering.omissions.hint("cache")
        return []
    return [{"cachePoint": {"type": "default"} | ({"ttl": cache} if cache else {})}]


class Conversation:
    """`system` and `messages` of a chat's messages."""

    def __init__(self, chat: Chat, rendering: Rendering) -> None:
        """Raises BadRequest, or Unsupported for what cannot be carried."""
        self._rendering = rendering
        self._omissions = rendering.omissions
        self._names: set[str] = set()
        for message in chat.messages:
            self._omissions.hint("name", message.name)
        system, turns = arrange(chat, self._keeps, system_turns=rendering.quirks.system_messages)
        check_results(turns)
        self.system = self._blocks(system)
        self.messages: list[Block] = [
            {"role": turn.role, "content": self._blocks(turn.parts)} for turn in turns
        ]
        said = [turn.parts for turn in turns if turn.role == "assistant"]
        self.calls = any(isinstance(part, CallPart) for parts in said for part in parts)
        """Whether tools were called."""
        self.resumes = bool(said) and any(isinstance(part, CallPart) for part in said[-1])
        """The turn that goes on has calls, and began without thinking."""
        if self.resumes and isinstance(said[-1][0], ThinkingPart):
            self.resumes = False

    def _keeps(self, part: Part) -> bool:
        if not isinstance(part, ThinkingPart) or part.origin == ORIGIN:
            return True
        # It would be refused for its signature, and only its own provider misses it.
        self._omissions.hint("reasoning", part.text or None)
        return False

    def _blocks(self, parts: list[Part]) -> list[Any]:
        blocks: list[Any] = []
        for part in parts:
            blocks.append(self._block(part))
            blocks += cache_point(part.cache, self._rendering)
        return blocks

    def _block(self, part: Part) -> Any:
        match part:
            case TextPart() | RefusalPart():
                return {"text": part.text}
            case ImagePart():
                return {"image": self._image(part)}
            case FilePart():
                return {"document": self._document(part)}
            case AudioPart():
                kind = AUDIO_FORMATS.get(part.media_type)
                if kind is None:
                    self._refuse(f"audio of the type {part.media_type}")
                return {"audio": {"format": kind, "source": {"bytes": part.data}}}
            case ThinkingPart(redacted=True):
                return {"reasoningContent": {"redactedContent": part.signature}}
            case ThinkingPart():
                signed = {"signature": part.signature} if part.signature else {}
                return {"reasoningContent": {"reasoningText": {"text": part.text, **signed}}}
            case CallPart():
                return {"toolUse": self._use(part)}
            case ResultPart():
                return {"toolResult": self._result(part)}
            case NativePart():
                return part.raw
            case _:
                self._refuse(f"content of the type {type(part).__name__}")

    def _refuse(self, what: str) -> None:
        self._omissions.refuse(what, param="messages")

    def _image(self, part: ImagePart) -> Block:
        if part.detail != "auto":
            self._omissions.hint("detail", part.detail)
        source = self._source("an image", part)
        kind = IMAGE_FORMATS.get(part.media_type or "") or _by_suffix(part.url, _IMAGE_SUFFIXES)
        if kind is None:
            self._refuse(f"an image of the type {part.media_type or '(none given)'}")
        return {"format": kind, "source": source}

    def _document(self, part: FilePart) -> Block:
        name = self._name(part.name)
        if part.text is not None:
            return {"format": "txt", "name": name, "source": {"text": part.text}}
        source = self._source("a file", part)
        suffixes = frozenset(FILE_FORMATS.values())
        kind = FILE_FORMATS.get(part.media_type or "")
        kind = kind or _by_suffix(part.url, suffixes) or _by_suffix(part.name, suffixes)
        if kind is None:
            self._refuse(f"a file of the type {part.media_type or '(none given)'}")
        return {"format": kind, "name": name, "source": source}

    def _name(self, name: str | None) -> str:
        """A name of the few characters that are allowed, and of no other document."""
        plain = _not_a_name(" ", name or "")[:_MAX_NAME].strip() or "document"
        found, number = plain, 1
        while found in self._names:
            number += 1
            found = f"{plain} {number}"
        self._names.add(found)
        return found

    def _source(self, what: str, part: ImagePart | FilePart) -> Block:
        if part.data is not None:
            return {"bytes": part.data}
        if part.url is not None and part.url.startswith("s3://"):
            return {"s3Location": {"uri": part.url}}
        self._refuse(
            f"{what} at a URL" if part.url is not None else f"{what} that is kept elsewhere"
        )
        return {}

    def _use(self, part: CallPart) -> Block:
        if part.custom:
            self._refuse(f"the free text of the call of `{part.name}`")
        arguments = part.arguments or "{}"
        try:
            _object(arguments)
        except (msgspec.MsgspecError, RecursionError):
            self._refuse(f"the arguments of the call `{part.id}` of `{part.name}`, no JSON object,")
        return {"toolUseId": _id(part.id), "name": part.name, "input": Raw(arguments.encode())}

    def _result(self, part: ResultPart) -> Block:
        content = [self._block(each) for each in part.content if says(each)]
        result: Block = {"toolUseId": _id(part.id), "content": content}
        if part.error:
            result["status"] = "error"
        return result


_IMAGE_SUFFIXES = frozenset(IMAGE_FORMATS.values())


def _by_suffix(name: str | None, known: frozenset[str]) -> str | None:
    """The format that a name's ending tells, if it is one of them."""
    suffix = (name or "").rpartition(".")[2].lower()
    suffix = {"jpg": "jpeg", "htm": "html"}.get(suffix, suffix)
    return suffix if suffix in known else None


def _id(id: str) -> str:
    """An id of the characters, and of the length, that are allowed; the same one each time."""
    allowed = _not_an_id("_", id)
    if len(allowed) <= _MAX_ID:
        return allowed
    return allowed[:47] + "_" + hashlib.blake2b(id.encode(), digest_size=8).hexdigest()
