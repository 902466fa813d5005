"""The OpenAI Responses API, as the mock speaks it.

The order of a stream's events: platform.openai.com/docs/api-reference/responses-streaming.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.mock import openai
from proxy.mock.answer import Answer, Function, ToolChoice, choose, compose, schema_for
from proxy.mock.errors import MockError
from proxy.mock.reply import Event, Reply, Streamed, Whole, decode
from proxy.mock.schema import Schema
from proxy.mock.settings import MockSettings
from proxy.mock.text import created, estimate_tokens, fingerprint, identifier


class Item(msgspec.Struct):
    """An item of the input; what it says only matters as a seed."""

    type: str | None = None


class Tool(msgspec.Struct):
    """A tool; those that are no function are never called."""

    type: str
    name: str | None = None
    parameters: Schema | None = None


class Format(msgspec.Struct):
    """What the text has to be."""

    type: str
    schema: Schema | None = None


class Text(msgspec.Struct):
    """Settings of the text."""

    format: Format | None = None


class ResponsesRequest(msgspec.Struct):
    """What is read of a request; everything else is ignored."""

    model: openai.Model
    input: str | list[Item]
    max_output_tokens: openai.Limit | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    text: Text | None = None


class Echo(msgspec.Struct):
    """The same request, for the bytes of its input and of what a response repeats."""

    input: msgspec.Raw
    instructions: msgspec.Raw = msgspec.Raw(b"null")
    tools: msgspec.Raw = msgspec.Raw(b"[]")
    tool_choice: msgspec.Raw = msgspec.Raw(b'"auto"')
    text: msgspec.Raw = msgspec.Raw(b'{"format":{"type":"text"}}')


def reply(body: bytes, settings: MockSettings) -> Reply:
    """Answer ``POST /v1/responses``; raises MockError."""
    request = decode(body, ResponsesRequest)
    if not request.input:
        raise MockError(400, "input: expected a text or at least one item", param="input")

    echo = decode(body, Echo)
    prompt = bytes(echo.input)
    key = fingerprint(settings.seed, prompt)
    function = None
    if isinstance(request.input, str) or request.input[-1].type != "function_call_output":
        offered = [
            Function(tool.name, tool.parameters)
            for tool in request.tools or ()
            if tool.type == "function" and tool.name
        ]
        function = choose(offered, request.tool_choice)
    wanted = request.text.format if request.text else None
    [answer] = compose(
        settings,
        [(key, 0)],
        limit=request.max_output_tokens,
        ignore_eos=bool(request.ignore_eos),
        function=function,
        schema=schema_for(wanted.type, wanted.schema) if wanted else None,
    )

    head = _head(request, echo, key, settings)
    tokens = len(answer.pieces)
    prompt_tokens = estimate_tokens(prompt)
    usage = {
        "input_tokens": prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt_tokens + tokens,
    }
    if request.stream:
        return Streamed(request.model, events(head, answer, key, usage), failure)
    whole = _ended(head, answer, item(answer, key), usage)
    return Whole(request.model, tokens, msgspec.json.encode(whole))


def _head(
    request: ResponsesRequest, echo: Echo, key: bytes, settings: MockSettings
) -> dict[str, Any]:
    """The response object as it begins; the settings it echoes keep their bytes."""
    return {
        "id": identifier("resp_", key),
        "object": "response",
        "created_at": created(settings.seed),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": echo.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": echo.text,
        "tool_choice": echo.tool_choice,
        "tools": echo.tools,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def item(answer: Answer, key: bytes) -> dict[str, Any]:
    """The output item that an answer is: a message, or a function call."""
    status = "incomplete" if answer.finish == "length" else "completed"
    if answer.function is None:
        return {
            "id": identifier("msg_", key),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(answer.text)],
        }
    return {
        "id": identifier("fc_", key),
        "type": "function_call",
        "status": status,
        "call_id": answer.call_id,
        "name": answer.function,
        "arguments": answer.text,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _ended(
    head: dict[str, Any], answer: Answer, output: dict[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    ended = {**head, "status": "completed", "output": [output], "usage": usage}
    if answer.finish == "length":
        ended["status"] = "incomplete"
        ended["incomplete_details"] = {"reason": "max_output_tokens"}
    return ended


def failure(sent: int) -> bytes:
    """The error event of a stream that sent so many events."""
    error = openai.broken(sent)
    payload = {"code": "server_error", "message": str(error), "param": None}
    return _frame("error", payload, sent)


def events(
    head: dict[str, Any], answer: Answer, key: bytes, usage: dict[str, Any]
) -> Iterator[Event]:
    """The response as a stream, numbered from 0, without ``[DONE]``."""
    for number, (name, payload, paced) in enumerate(_payloads(head, answer, key, usage)):
        yield Event(_frame(name, payload, number), paced)


def _payloads(
    head: dict[str, Any], answer: Answer, key: bytes, usage: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    output = item(answer, key)
    nothing_yet: dict[str, Any] = {"content": []} if answer.function is None else {"arguments": ""}
    started = {**output, "status": "in_progress", **nothing_yet}
    where = {"item_id": output["id"], "output_index": 0}

    yield "response.created", {"response": head}, False
    yield "response.in_progress", {"response": head}, False
    yield "response.output_item.added", {"output_index": 0, "item": started}, False
    if answer.function is None:
        part = {**where, "content_index": 0}
        logprobs: dict[str, Any] = {"logprobs": []}
        yield "response.content_part.added", {**part, "part": _part("")}, False
        for step, piece in enumerate(answer.pieces):
            yield "response.output_text.delta", {**part, "delta": piece, **logprobs}, step > 0
        yield "response.output_text.done", {**part, "text": answer.text, **logprobs}, False
        yield "response.content_part.done", {**part, "part": _part(answer.text)}, False
    else:
        for step, piece in enumerate(answer.pieces):
            yield "response.function_call_arguments.delta", {**where, "delta": piece}, step > 0
        done = {**where, "name": answer.function, "arguments": answer.text}
        yield "response.function_call_arguments.done", done, False
    yield "response.output_item.done", {"output_index": 0, "item": output}, False
    ended = _ended(head, answer, output, usage)
    yield f"response.{ended['status']}", {"response": ended}, False


def _frame(name: str, payload: dict[str, Any], number: int) -> bytes:
    data = msgspec.json.encode({"type": name, "sequence_number": number, **payload})
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
