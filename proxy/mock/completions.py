"""OpenAI's legacy Completions, as the mock speaks them."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proxy.mock import openai
from proxy.mock.answer import Answer, compose, interleave, steps
from proxy.mock.inputs import Inputs, read_inputs
from proxy.mock.reply import Event, Reply, Streamed, Whole, decode
from proxy.mock.settings import MockSettings
from proxy.mock.text import created, fingerprint, identifier


class CompletionRequest(msgspec.Struct):
    """What is read of a request; everything else is ignored."""

    model: openai.Model
    prompt: Inputs
    n: openai.Choices | None = None
    max_tokens: openai.Limit | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: openai.StreamOptions | None = None


def reply(body: bytes, settings: MockSettings) -> Reply:
    """Answer ``POST /v1/completions``; raises MockError."""
    request = decode(body, CompletionRequest)
    prompts = read_inputs(request.prompt, "prompt")
    keys = [fingerprint(settings.seed, prompt.data) for prompt in prompts]
    answers = compose(
        settings,
        [(key, index) for key in keys for index in range(request.n or 1)],
        limit=request.max_tokens,
        ignore_eos=bool(request.ignore_eos),
    )

    head = {
        "id": identifier("cmpl-", fingerprint(settings.seed, *keys)),
        "object": "text_completion",
        "created": created(settings.seed),
        "model": request.model,
        "system_fingerprint": "fp_mock",
    }
    prompt_tokens = sum(prompt.tokens for prompt in prompts)
    if request.stream:
        options = request.stream_options or openai.StreamOptions()
        stream = events(head, answers, prompt_tokens, options)
        return Streamed(request.model, stream, openai.failure)
    return Whole(request.model, steps(answers), whole(head, answers, prompt_tokens))


def whole(head: dict[str, Any], answers: Sequence[Answer], prompt_tokens: int) -> bytes:
    """The response that is not streamed."""
    choices = [_choice(index, answer.text, answer.finish) for index, answer in enumerate(answers)]
    usage = openai.usage(prompt_tokens, sum(len(answer.pieces) for answer in answers))
    return msgspec.json.encode({**head, "choices": choices, "usage": usage})


def events(
    head: dict[str, Any],
    answers: Sequence[Answer],
    prompt_tokens: int,
    options: openai.StreamOptions,
) -> Iterator[Event]:
    """The response as a stream: pieces, finish reasons, the usage if wished, ``[DONE]``."""
    sent = 0

    def chunk(index: int, text: str, finish: str | None) -> bytes:
        payload = {**head, "choices": [_choice(index, text, finish)]}
        if options.include_usage:
            continuous = options.continuous_usage_stats
            payload["usage"] = openai.usage(prompt_tokens, sent) if continuous else None
        return openai.frame(payload)

    for index, piece, paced in interleave(answers):
        sent += 1
        yield Event(chunk(index, piece, None), paced)
    for index, answer in enumerate(answers):
        yield Event(chunk(index, "", answer.finish))
    if options.include_usage:
        usage = openai.usage(prompt_tokens, sent)
        yield Event(openai.frame({**head, "choices": [], "usage": usage}))
    yield Event(openai.DONE)


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
