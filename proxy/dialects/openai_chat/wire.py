"""How those who speak OpenAI's Chat spell reasoning that is to be given back (OpenRouter's way).

https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

import msgspec
from msgspec import UNSET, UnsetType

from proxy.chat import ThinkingPart, seal, unseal

NAME = "openai_chat"
PREFIX = "chatcmpl-"
"""What the ids of answers begin with."""

TEXT = "reasoning.text"
SUMMARY = "reasoning.summary"
ENCRYPTED = "reasoning.encrypted"

Word = str | UnsetType | None


class Detail(msgspec.Struct):
    """One of an assistant message's `reasoning_details`."""

    type: str = TEXT
    text: Word = UNSET
    summary: Word = UNSET
    data: Word = UNSET
    signature: Word = UNSET
    id: Word = UNSET
    format: Word = UNSET
    index: int | UnsetType | None = UNSET

    @property
    def words(self) -> str:
        """What it says."""
        return self.text or self.summary or ""

    def opaque(self) -> str:
        """What its provider wants back with the words, as a signature's value; "" is nothing.

        That is the detail without its words and its place: it is wanted as it was given.
        """
        if not (self.signature or self.data):
            return ""
        bare = msgspec.structs.replace(self, text=UNSET, summary=UNSET, index=UNSET)
        return msgspec.json.encode(bare).decode()


_detail = msgspec.json.Decoder(Detail)


def detail_of(text: str, value: str, origin: str, *, redacted: bool, index: int) -> Detail:
    """The detail that keeps a signature, and what it signs, for the way back."""
    if origin == NAME:
        try:
            detail = _detail.decode(value)
        except msgspec.MsgspecError:
            detail = Detail(signature=value)
    elif redacted:
        detail = Detail(ENCRYPTED, data=seal(value, origin, NAME))
    else:
        detail = Detail(TEXT, signature=seal(value, origin, NAME))
    if text and detail.type == SUMMARY:
        detail.summary = text
    elif text:
        detail.text = text
    detail.index = index
    return detail


def thinking_of(detail: Detail) -> ThinkingPart:
    """The reasoning that a client brings back in a detail."""
    value, origin = unseal(detail.data or detail.signature or "", NAME)
    if origin == NAME:
        value = detail.opaque()
    return ThinkingPart(
        text=detail.words,
        signature=value,
        origin=origin if value else "",
        redacted=detail.type == ENCRYPTED,
    )
