"""The messages of a chat as Anthropic spells them."""

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
from proxy.dialects._turns import arrange, check_results, says
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
        self._own = chat.origin == ORIGIN
        self._rendering = rendering
        self._omissions: Omissions = rendering.omissions
        for message in chat.messages:
            self._omissions.hint("name", message.name)
        system, self._turns = arrange(
            chat, self._keeps, system_turns=self._own or rendering.quirks.system_messages
        )
        if not self._own:
            # Between one's own, the provider says best what it does not take.
            check_results(self._turns)
        self.system = [self._block(part) for part in system]
        """The blocks of `system`."""
        self.messages = [
            {"role": turn.role, "content": plainest([self._block(part) for part in turn.parts])}
            for turn in self._turns
        ]

    @property
    def thinks(self) -> bool:
        """Whether the turn that goes on, if one does, kept the thinking that it began with."""
        said = [turn.parts for turn in self._turns if turn.role == "assistant"]
        if not said or not any(isinstance(part, CallPart) for part in said[-1]):
            return True
        return isinstance(said[-1][0], ThinkingPart)

    def _keeps(self, part: Part) -> bool:
        if not isinstance(part, ThinkingPart) or part.origin == ORIGIN:
            return True
        # It would be refused for its signature, and only its own provider misses it.
        self._omissions.hint("reasoning", part.text or None)
        return False

    def _block(self, part: Part) -> Any:
        match part:
            case TextPart() | RefusalPart():
                block: Block = {"type": "text", "text": part.text}
            case ImagePart():
                block = {"type": "image", "source": self._image(part)}
            case FilePart():
                block = {"type": "document", "source": self._document(part)}
                if part.name is not None:
                    block["title"] = part.name
            case ThinkingPart(redacted=True):
                return {"type": "redacted_thinking", "data": part.signature}
            case ThinkingPart():
                return {"type": "thinking", "thinking": part.text, "signature": part.signature}
            case CallPart():
                block = self._use(part)
            case ResultPart():
                block = self._result(part)
            case NativePart():
                return part.raw
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
        content = [self._block(each) for each in part.content if says(each)]
        if content:
            block["content"] = plainest(content)
        if part.error:
            block["is_error"] = True
        return block

    def _id(self, id: str) -> str:
        """Other providers' ids may have characters that are refused here."""
        return id if self._own else _not_an_id("_", id)


def plainest(blocks: list[Any]) -> Any:
    """Content of one plain text as the text."""
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks
