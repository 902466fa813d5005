"""Hints that OpenAI's endpoints spell alike, so that one's may be repeated to another."""

import msgspec

from proxy.chat import Chat
from proxy.exchange import Raw

MEMBERS = frozenset({"openai_chat", "openai_completions", "openai_responses"})
"""They share their stored files, too."""
_SHARED = frozenset(
    {
        *("prompt_cache_options", "prompt_cache_retention", "store", "verbosity", "user"),
        # What vLLM, SGLang and llama.cpp take besides.
        *("ignore_eos", "min_p", "min_tokens", "repetition_penalty", "stop_token_ids"),
        *("include_stop_str_in_output", "skip_special_tokens", "chat_template_kwargs"),
    }
)


def family_extra(chat: Chat, dialect: str) -> tuple[dict[str, Raw], Chat]:
    """The hints that can be repeated in `dialect`, and the chat without them."""
    if chat.origin == dialect:
        return chat.extra, chat
    if chat.origin not in MEMBERS:
        return {}, chat
    shared = {name: value for name, value in chat.extra.items() if name in _SHARED}
    rest = {name: value for name, value in chat.extra.items() if name not in _SHARED}
    return shared, msgspec.structs.replace(chat, extra=rest)
