"""The messages of a chat as Anthropic spells them: turns that alternate, results first.

What no provider's conversation may be is refused here, in words: a call without its result, and
a result without its call.
"""

import base64
import binascii
import re
from typing import Any

import msgspec

from proxy.chat import (
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Part,
    Raw,
    RefusalPart,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.errors import BadRequest

Block = dict[str, Any]

_object = msgspec.json.Decoder(dict[str, Raw]).decode
_not_an_id = re.compile(r"[^a-zA-Z0-9_-]").sub


def mark_cache(block: Block, cache: str | None, rendering: Rendering) -> None:
    """Put a cache mark on a block or a tool, if it has one."""
    if cache is None:
        return
    if "cache" in rendering.quirks.refuses:
        rendering.omissions.hint("cache")
        return
    block["cache_control"] = {"type": "ephemeral", **({"ttl": cache} if cache else {})}


class Conversation:
    """`system` and `messages` of a chat's messages."""

    def __init__(self, chat: Chat, rendering: Rendering) -> None:
        """Raises BadRequest, or Unsupported for what cannot be carried."""
        self.system: list[Block] = []
        self._own = chat.origin == ORIGIN
        self._rendering = rendering
        self._omissions: Omissions = rendering.omissions
        self._turns: list[tuple[str, list[Block]]] = []
        for message in chat.messages:
            self._add(message, in_place=self._own or rendering.quirks.system_messages)
        if not self._own:
            # Between one's own, the provider says best what it does not take.
            self._check()

    @property
    def messages(self) -> list[Block]:
        """The turns, those of one plain text as the text."""
        return [{"role": role, "content": _plainest(blocks)} for role, blocks in self._turns]

    @property
    def thinks(self) -> bool:
        """Whether the turn that goes on, if one does, kept the thinking that it began with."""
        turn: list[Block] = []
        for role, blocks in reversed(self._turns):
            if role == "assistant":
                turn = blocks
                break
        goes_on = any(block["type"] == "tool_use" for block in turn)
        return not goes_on or turn[0]["type"] in ("thinking", "redacted_thinking")

    def _add(self, message: Message, *, in_place: bool) -> None:
        self._omissions.hint("name", message.name)
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [block for part in message.parts if (block := self._block(part)) is not None]
        if message.role == "system":
            if not self._turns:
                self.system.extend(blocks)
                return
            role = "system" if in_place else "user"
        if not blocks:
            return
        if not self._turns or self._turns[-1][0] != role:
            self._turns.append((role, []))
        turn = self._turns[-1][1]
        if message.role == "tool":
            # However late a result comes, it stands before what the user says in the turn.
            at = sum(block["type"] == "tool_result" for block in turn)
            turn[at:at] = blocks
        else:
            turn.extend(blocks)

    def _check(self) -> None:
        asked: list[str] = []
        for role, blocks in self._turns:
            answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            for id in answered:
                if id not in asked:
                    raise BadRequest(
                        f"the tool result for `{id}` follows no tool call of that id",
                        param="messages",
                    )
            self._refuse_open(asked, answered)
            asked = []
            if role == "assistant":
                asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        self._refuse_open(asked, [])

    def _refuse_open(self, asked: list[str], answered: list[str]) -> None:
        for id in asked:
            if id not in answered:
                raise BadRequest(
                    f"the tool call `{id}` has no result in the turn that follows it",
                    param="messages",
                )

    def _block(self, part: Part) -> Block | None:
        match part:
            case TextPart() | RefusalPart():
                block: Block = {"type": "text", "text": part.text}
                if not part.text:
                    return None
            case ImagePart():
                block = {"type": "image", "source": self._image(part)}
            case FilePart():
                block = {"type": "document", "source": self._document(part)}
                if part.name is not None:
                    block["title"] = part.name
            case ThinkingPart():
                return self._thinking(part)
            case CallPart():
                block = self._use(part)
            case ResultPart():
                block = self._result(part)
            case NativePart():
                return {"type": part.kind, _VERBATIM: part.raw}
            case _:
                self._omissions.refuse("audio", param="messages")
        mark_cache(block, part.cache, self._rendering)
        if self._own:
            block.update(part.extra)
        return block

    def _image(self, part: ImagePart) -> Block:
        if part.detail != "auto":
            self._omissions.hint("detail", part.detail)
        if part.data is not None:
            return {"type": "base64", "media_type": part.media_type, "data": part.data}
        if part.url is not None:
            return {"type": "url", "url": part.url}
        return self._file("image", part)

    def _file(self, what: str, part: ImagePart | FilePart) -> Block:
        if part.origin != ORIGIN:
            self._omissions.refuse(f"an {what} that another provider keeps", param="messages")
        return {"type": "file", "file_id": part.file_id}

    def _document(self, part: FilePart) -> Block:
        if part.text is not None:
            return {"type": "text", "media_type": "text/plain", "data": part.text}
        if part.url is not None:
            return {"type": "url", "url": part.url}
        if part.data is None:
            return self._file("attachment", part)
        if part.media_type == "application/pdf":
            return {"type": "base64", "media_type": part.media_type, "data": part.data}
        if self._own or not (part.media_type or "").startswith("text/"):
            self._omissions.refuse(
                f"a file of the type {part.media_type or '(none given)'}", param="messages"
            )
        try:
            text = base64.b64decode(part.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BadRequest("a text file is not UTF-8 in base64", param="messages") from error
        return {"type": "text", "media_type": "text/plain", "data": text}

    def _thinking(self, part: ThinkingPart) -> Block | None:
        if part.origin != ORIGIN:
            # It would be refused for its signature, and only its own provider misses it.
            self._omissions.hint("reasoning", part.text or None)
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}

    def _use(self, part: CallPart) -> Block:
        if part.custom:
            self._omissions.refuse(f"the free text of the call of `{part.name}`", param="messages")
        arguments = part.arguments or "{}"
        try:
            _object(arguments)
        except (msgspec.MsgspecError, RecursionError):
            self._omissions.refuse(
                f"the arguments of the call `{part.id}` of `{part.name}`, no JSON object,",
                param="messages",
            )
        input = Raw(arguments.encode())
        return {"type": "tool_use", "id": self._id(part.id), "name": part.name, "input": input}

    def _result(self, part: ResultPart) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": self._id(part.id)}
        content = [inner for each in part.content if (inner := self._block(each)) is not None]
        if content:
            block["content"] = _plainest(content)
        if part.error:
            block["is_error"] = True
        return block

    def _id(self, id: str) -> str:
        """Other providers' ids may have characters that are refused here."""
        return id if self._own else _not_an_id("_", id)


_VERBATIM = ""
"""The key under which a block keeps the bytes that say all of it."""


def _plainest(blocks: list[Block]) -> object:
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return [block.get(_VERBATIM, block) for block in blocks]
