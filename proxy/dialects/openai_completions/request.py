"""A request of Completions, in the neutral form."""

import msgspec

from proxy.chat import Chat, Message, TextPart
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.sampling import read_sampling, read_stream_options
from proxy.dialects._openai.settings import read_labels
from proxy.dialects.openai_completions.wire import NAME
from proxy.exchange import Raw

_NATIVE = ("suffix", "echo", "response_format", "prompt_embeds")
"""Fields that change what is asked or answered, and that no other dialect knows."""
_EMPTY = (b'""', b"false", b"[]", b"{}")
"""Values of such a field with which it changes nothing."""

_prompt = msgspec.json.Decoder(str | list[str | int | list[int]])
_logprobs = msgspec.json.Decoder(bool | int)


def read(fields: dict[str, Raw], *, stream: bool) -> Chat:
    """The chat that a request's top-level fields ask for. Raises BadRequest."""
    taken = Fields(dict(fields))
    taken.raw("stream")
    chat = Chat(model=taken.need("model", f.TEXT), messages=[], stream=stream, origin=NAME)
    _read_prompt(taken, fields, chat)
    chat.max_tokens = taken.take("max_tokens", f.WHOLE)
    read_sampling(taken, chat)
    logprobs = taken.take("logprobs", _logprobs)
    if logprobs is not None:
        chat.logprobs = logprobs is not False
        chat.top_logprobs = None if isinstance(logprobs, bool) else logprobs
    read_stream_options(taken, chat)
    read_labels(taken, fields, chat)
    best_of = taken.take("best_of", f.WHOLE)
    if best_of is not None and best_of > chat.n:
        chat.native.append("best_of")
        chat.extra["best_of"] = f.spelled(best_of)
    rest = taken.rest()
    for name in _NATIVE:
        if name in rest and bytes(rest[name]) in _EMPTY:
            del rest[name]
    chat.extra |= rest
    chat.native += [name for name in _NATIVE if name in rest]
    return chat


def _read_prompt(taken: Fields, fields: dict[str, Raw], chat: Chat) -> None:
    """One text is what a user says; several, or tokens, stay as they are."""
    prompt = taken.peek("prompt", _prompt) if "prompt_embeds" in taken else None
    if prompt is None and "prompt_embeds" not in taken:
        prompt = taken.need("prompt", _prompt)
    taken.raw("prompt")
    if prompt == []:
        raise taken.wrong("prompt", "a text, or a list of at least one text or token")
    if isinstance(prompt, list):
        if len(prompt) == 1 and isinstance(prompt[0], str):
            prompt = prompt[0]
        else:
            texts = isinstance(prompt[0], str)
            chat.native.append("prompt: several texts" if texts else "prompt: tokens")
            chat.extra["prompt"] = fields["prompt"]
            prompt = None
    chat.messages.append(Message("user", [TextPart(text=prompt)] if prompt else []))
