"""How an answer is sampled and streamed, as Chat and Completions ask it alike."""

from typing import Any

from proxy.chat import Chat
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields

_ALIKE = (
    *("temperature", "top_p", "top_k", "seed"),
    *("presence_penalty", "frequency_penalty", "logit_bias"),
)
"""Hints of a chat that are called the same here."""


def read_sampling(taken: Fields, chat: Chat) -> None:
    """What chooses the tokens of how many answers, and what ends one. Raises BadRequest."""
    chat.temperature = taken.take("temperature", f.NUMBER)
    chat.top_p = taken.take("top_p", f.NUMBER)
    chat.top_k = taken.take("top_k", f.NUMBER)
    chat.seed = taken.take("seed", f.WHOLE)
    chat.presence_penalty = taken.take("presence_penalty", f.NUMBER)
    chat.frequency_penalty = taken.take("frequency_penalty", f.NUMBER)
    chat.logit_bias = taken.raw("logit_bias")
    stop = taken.take("stop", f.TEXT_OR_TEXTS) or []
    chat.stop = [stop] if isinstance(stop, str) else stop
    n = taken.take("n", f.WHOLE)
    chat.n = 1 if n is None else n
    if chat.n < 1:
        raise taken.wrong("n", "1 or more")


def read_stream_options(taken: Fields, chat: Chat) -> None:
    """What a stream is to say besides the answer. Raises BadRequest."""
    options = taken.object("stream_options")
    chat.include_usage = False
    if options is not None:
        chat.include_usage = options.take("include_usage", f.FLAG) or False
        more = options.rest()
        if more:
            chat.extra["stream_options"] = f.spelled(more)


def streaming(chat: Chat, *, usage: bool) -> dict[str, Any]:
    """The fields that ask for a stream, and (`usage`) have it report its usage."""
    if not chat.stream:
        return {}
    return {"stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})


def sampling(chat: Chat, max_tokens_field: str) -> dict[str, tuple[str, Any]]:
    """The hints that :func:`read_sampling` read, and `max_tokens`, for `settings.hints`."""
    wanted: dict[str, tuple[str, Any]] = {name: (name, getattr(chat, name)) for name in _ALIKE}
    wanted["max_tokens"] = (max_tokens_field, chat.max_tokens)
    wanted["stop"] = ("stop", chat.stop or None)
    wanted["n"] = ("n", chat.n if chat.n > 1 else None)
    return wanted
