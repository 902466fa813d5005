"""A chat as a request of OpenAI's Responses."""

from typing import Any

import msgspec

from proxy.chat import Chat, Format, Rendering, ThinkingPart, Tool, ToolChoice, omit_foreign
from proxy.dialects._openai.family import family_extra
from proxy.dialects._openai.settings import add_extra, effort, hints, labels
from proxy.dialects.openai_responses.inputs import InputWriter
from proxy.dialects.openai_responses.wire import NAME, flat_format
from proxy.exchange import Raw

Body = dict[str, Any]

_PLACED = ("verbosity", "include", "store")
"""Hints that have a place of their own."""
_NOTHING = {"type": "object", "properties": {}}
"""The schema of a function that takes no arguments."""
_names = msgspec.json.Decoder(list[str])


def render(chat: Chat, rendering: Rendering) -> bytes:
    """A request's body. Raises Unsupported for what it cannot say."""
    omissions, quirks = rendering.omissions, rendering.quirks
    extra, others = family_extra(chat, NAME)
    omit_foreign(others, NAME, omissions)
    writer = InputWriter(chat, omissions, quirks)
    body: Body = {"model": rendering.model} if rendering.model else {}
    instructions = writer.instructions()
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = writer.write()
    if chat.stream:
        body["stream"] = True
    if chat.tools:
        body["tools"] = [tool_spelled(tool, own=chat.origin == NAME) for tool in chat.tools]
    if chat.tool_choice is not None and chat.tools:
        body["tool_choice"] = choice_spelled(chat.tool_choice, chat.tools)
    text: Body = {}
    if chat.format is not None:
        text["format"] = format_spelled(chat.format)
    if "verbosity" in extra:
        text["verbosity"] = extra["verbosity"]
    if text:
        body["text"] = text
    body |= hints(_hints(chat) | labels(chat, omissions), omissions, quirks)
    reasoning = _reasoning(chat)
    if "reasoning" in quirks.refuses:
        omissions.hint("reasoning", reasoning)
    elif reasoning:
        body["reasoning"] = reasoning
    include = _include(chat) + _names.decode(extra.get("include", b"[]"))
    if include:
        body["include"] = include
    # The conversation is the client's to keep, unless it said otherwise.
    body["store"] = "store" in extra
    add_extra(body, {name: value for name, value in extra.items() if name not in _PLACED})
    return msgspec.json.encode(body)


def tool_spelled(tool: Tool, *, own: bool) -> Raw | Body:
    """A tool; `own`: it came in this dialect, where functions are strict if nothing is said."""
    if tool.native is not None:
        return tool.native
    said: Body = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description is not None:
        said["description"] = tool.description
    if tool.custom:
        if tool.schema is not None:
            said["format"] = flat_format(tool.schema)
        return said | tool.extra
    said["parameters"] = tool.schema if tool.schema is not None else _NOTHING
    if tool.strict is not None or not own:
        said["strict"] = bool(tool.strict)
    return said | tool.extra


def choice_spelled(choice: ToolChoice, tools: list[Tool]) -> str | Body:
    """A tool choice."""
    custom = {tool.name for tool in tools if tool.custom}
    named = [
        {"type": "custom" if name in custom else "function", "name": name} for name in choice.names
    ]
    if choice.mode == "named" and len(named) == 1:
        return named[0]
    if named:
        mode = "required" if choice.mode == "named" else choice.mode
        return {"type": "allowed_tools", "mode": mode, "tools": named}
    return choice.mode


def format_spelled(wanted: Format | None) -> Body:
    """What the text must be."""
    if wanted is None:
        return {"type": "text"}
    if wanted.schema is None:
        return {"type": "json_object"}
    said: Body = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        said["description"] = wanted.description
    if wanted.strict is not None:
        said["strict"] = wanted.strict
    return said


def _hints(chat: Chat) -> dict[str, tuple[str, Any]]:
    """By a chat's name for each, the field, or "" if there is none here, and the value."""
    wanted: dict[str, tuple[str, Any]] = {
        "max_tokens": ("max_output_tokens", chat.max_tokens),
        "temperature": ("temperature", chat.temperature),
        "top_p": ("top_p", chat.top_p),
        "top_k": ("top_k", chat.top_k),
        "top_logprobs": ("top_logprobs", chat.top_logprobs),
        "stop": ("", chat.stop or None),
        "n": ("", chat.n if chat.n > 1 else None),
    }
    for name in ("seed", "presence_penalty", "frequency_penalty", "logit_bias"):
        wanted[name] = ("", getattr(chat, name))
    if chat.tools:
        wanted["parallel_tools"] = ("parallel_tool_calls", chat.parallel_tools)
    return wanted


def _reasoning(chat: Chat) -> Body:
    said: Body = {}
    word = effort(chat)
    if word is not None:
        said["effort"] = word
    if chat.reasoning is not None and chat.reasoning.show:
        said["summary"] = "auto"
    return said


def _include(chat: Chat) -> list[str]:
    """What is to come with the answer. Models that do not reason refuse to be asked for it."""
    include = ["message.output_text.logprobs"] if chat.logprobs else []
    signed = any(
        isinstance(part, ThinkingPart) and part.origin == NAME
        for message in chat.messages
        for part in message.parts
    )
    if signed or (chat.reasoning is not None and effort(chat) != "none"):
        include.append("reasoning.encrypted_content")
    return include
