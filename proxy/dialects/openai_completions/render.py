"""A chat as a request of Completions: one that is no more than one text of the user's.

How a model wants its turns, tools and images spelled in one text, only its own server knows.
"""

from typing import Any

import msgspec

from proxy.chat import Chat, Omissions, Quirks, Rendering, TextPart, omit_foreign
from proxy.dialects._openai.family import family_extra
from proxy.dialects._openai.sampling import sampling, streaming
from proxy.dialects._openai.settings import add_extra, effort, hints, labels
from proxy.dialects.openai_completions.wire import NAME


def render(chat: Chat, rendering: Rendering) -> bytes:
    """A request's body. Raises Unsupported for what it cannot say."""
    omissions = rendering.omissions
    extra, others = family_extra(chat, NAME)
    omit_foreign(others, NAME, omissions)
    if chat.tools:
        omissions.refuse("tools", param="tools")
    if chat.format is not None:
        omissions.refuse("a response format", param="response_format")
    body: dict[str, Any] = {"model": rendering.model, "prompt": _prompt(chat, omissions)}
    body |= streaming(chat, usage=rendering.usage)
    body |= _hints(chat, omissions, rendering.quirks)
    add_extra(body, extra)
    return msgspec.json.encode(body)


def _prompt(chat: Chat, omissions: Omissions) -> str:
    if any(message.role == "system" for message in chat.messages):
        omissions.refuse("a system prompt", param="messages")
    if len(chat.messages) != 1 or chat.messages[0].role != "user":
        omissions.refuse("a conversation of several turns", param="messages")
    [message] = chat.messages
    omissions.hint("name", message.name)
    texts = []
    for part in message.parts:
        if not isinstance(part, TextPart):
            kind = type(part).__name__.removesuffix("Part").lower()
            omissions.refuse(f"content that is no text ({kind})", param="messages")
        omissions.hint("cache_control", part.cache)
        texts.append(part.text)
    return "".join(texts)


def _hints(chat: Chat, omissions: Omissions, quirks: Quirks) -> dict[str, Any]:
    wanted = sampling(chat, "max_tokens")
    wanted["logprobs"] = ("logprobs", (chat.top_logprobs or 0) if chat.logprobs else None)
    wanted["reasoning"] = ("", effort(chat))
    own = chat.origin == NAME
    for name, (field, value) in labels(chat, omissions).items():
        # What says who asks; the rest of them only who asks in this dialect expects to be taken.
        wanted[name] = (field if own or name == "user" else "", value)
    return hints(wanted, omissions, quirks)
