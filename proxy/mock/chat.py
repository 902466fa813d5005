"""OpenAI Chat Completions, as the mock speaks them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec

from proxy.mock import openai
from proxy.mock.answer import (
    Answer,
    Function,
    ToolChoice,
    choose,
    compose,
    interleave,
    schema_for,
    steps,
)
from proxy.mock.reply import Event, Reply, Streamed, Whole, decode
from proxy.mock.schema import Schema
from proxy.mock.settings import MockSettings
from proxy.mock.text import created, estimate_tokens, fingerprint, identifier


class Tool(msgspec.Struct):
    """A tool; those that are no function are never called."""

    function: Function | None = None


class JsonSchema(msgspec.Struct):
    """The part of a response format that has the schema."""

    schema: Schema | None = None


class ResponseFormat(msgspec.Struct):
    """What the content has to be."""

    type: str
    json_schema: JsonSchema | None = None


class Message(msgspec.Struct):
    """A message; what it says only matters as a seed."""

    role: str


class ChatRequest(msgspec.Struct):
    """What is read of a request; everything else is ignored."""

    model: openai.Model
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    n: openai.Choices | None = None
    max_tokens: openai.Limit | None = None
    max_completion_tokens: openai.Limit | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: openai.StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    response_format: ResponseFormat | None = None


class Prompt(msgspec.Struct):
    """The same request, for the bytes of its messages."""

    messages: msgspec.Raw


def reply(body: bytes, settings: MockSettings) -> Reply:
    """Answer ``POST /v1/chat/completions``; raises MockError."""
    request = decode(body, ChatRequest)
    prompt = bytes(decode(body, Prompt).messages)
    key = fingerprint(settings.seed, prompt)
    function, schema = None, None
    if request.messages[-1].role != "tool":
        offered = [tool.function for tool in request.tools or () if tool.function]
        function = choose(offered, request.tool_choice)
    if (wanted := request.response_format) is not None:
        schema = schema_for(wanted.type, wanted.json_schema.schema if wanted.json_schema else None)
    answers = compose(
        settings,
        [(key, index) for index in range(request.n or 1)],
        limit=request.max_completion_tokens or request.max_tokens,
        ignore_eos=bool(request.ignore_eos),
        function=function,
        schema=schema,
    )

    head = {
        "id": identifier("chatcmpl-", key),
        "object": "chat.completion.chunk" if request.stream else "chat.completion",
        "created": created(settings.seed),
        "model": request.model,
        "system_fingerprint": "fp_mock",
    }
    prompt_tokens = estimate_tokens(prompt)
    if request.stream:
        options = request.stream_options or openai.StreamOptions()
        stream = events(head, answers, prompt_tokens, options)
        return Streamed(request.model, stream, openai.failure)
    return Whole(request.model, steps(answers), whole(head, answers, prompt_tokens))


def whole(head: dict[str, Any], answers: Sequence[Answer], prompt_tokens: int) -> bytes:
    """The response that is not streamed."""
    choices = [
        {
            "index": index,
            "message": _message(answer),
            "logprobs": None,
            "finish_reason": answer.finish,
        }
        for index, answer in enumerate(answers)
    ]
    usage = openai.usage(prompt_tokens, sum(len(answer.pieces) for answer in answers))
    return msgspec.json.encode({**head, "choices": choices, "usage": usage})


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.function is not None:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": answer.call_id,
                "type": "function",
                "function": {"name": answer.function, "arguments": answer.text},
            }
        ]
    return message


def events(
    head: dict[str, Any],
    answers: Sequence[Answer],
    prompt_tokens: int,
    options: openai.StreamOptions,
) -> Iterator[Event]:
    """The response as a stream.

    Roles, then the pieces of all choices in turn, then the finish reasons, then the usage if it
    is wished, then ``[DONE]``. With usage wished the chunks before it carry a null, or with
    vLLM's `continuous_usage_stats` the usage so far.
    """
    sent = 0

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        payload = {**head, "choices": [choice]}
        if options.include_usage:
            continuous = options.continuous_usage_stats
            payload["usage"] = openai.usage(prompt_tokens, sent) if continuous else None
        return openai.frame(payload)

    for index, answer in enumerate(answers):
        if answer.function is None:
            yield Event(chunk(index, {"role": "assistant", "content": ""}))
            continue
        yield Event(chunk(index, {"role": "assistant", "content": None}))
        call = {
            "index": 0,
            "id": answer.call_id,
            "type": "function",
            "function": {"name": answer.function, "arguments": ""},
        }
        yield Event(chunk(index, {"tool_calls": [call]}))
    for index, piece, paced in interleave(answers):
        sent += 1
        if answers[index].function is None:
            delta: dict[str, Any] = {"content": piece}
        else:
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        yield Event(chunk(index, delta), paced)
    for index, answer in enumerate(answers):
        yield Event(chunk(index, {}, answer.finish))
    if options.include_usage:
        usage = openai.usage(prompt_tokens, sent)
        yield Event(openai.frame({**head, "choices": [], "usage": usage}))
    yield Event(openai.DONE)
