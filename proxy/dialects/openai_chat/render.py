"""A chat as a request of OpenAI's Chat."""

from typing import Any

import msgspec

from proxy.chat import Chat, Format, Omissions, Quirks, Rendering, Tool, ToolChoice, omit_foreign
from proxy.dialects._openai.family import family_extra
from proxy.dialects._openai.sampling import sampling, streaming
from proxy.dialects._openai.settings import add_extra, effort, hints, labels
from proxy.dialects.openai_chat.turns import MessageWriter
from proxy.dialects.openai_chat.wire import NAME
from proxy.exchange import Raw


def render(chat: Chat, rendering: Rendering) -> bytes:
    """A request's body. Raises Unsupported for what it cannot say."""
    omissions, quirks = rendering.omissions, rendering.quirks
    extra, others = family_extra(chat, NAME)
    omit_foreign(others, NAME, omissions)
    messages = MessageWriter(chat, omissions, quirks)
    body: dict[str, Any] = {"model": rendering.model, "messages": messages.write()}
    body |= streaming(chat, usage=rendering.usage)
    if chat.tools:
        body["tools"] = [_tool(tool, messages.mark(tool.cache)) for tool in chat.tools]
        if chat.tool_choice is not None:
            body["tool_choice"] = _tool_choice(chat.tool_choice, chat.tools)
    if chat.format is not None:
        body["response_format"] = _format(chat.format)
    body |= _hints(chat, omissions, quirks)
    add_extra(body, extra)
    return msgspec.json.encode(body)


def _hints(chat: Chat, omissions: Omissions, quirks: Quirks) -> dict[str, Any]:
    wanted = sampling(chat, quirks.max_tokens_field)
    wanted["logprobs"] = ("logprobs", chat.logprobs)
    wanted["top_logprobs"] = ("top_logprobs", chat.top_logprobs)
    if chat.tools:
        wanted["parallel_tools"] = ("parallel_tool_calls", chat.parallel_tools)
    wanted["reasoning"] = ("reasoning_effort", effort(chat))
    return hints(wanted | labels(chat, omissions), omissions, quirks)


def _tool(tool: Tool, mark: dict[str, Any]) -> Raw | dict[str, Any]:
    if tool.native is not None:
        return tool.native
    inner: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    if tool.schema is not None:
        inner["format" if tool.custom else "parameters"] = tool.schema
    if tool.strict is not None:
        inner["strict"] = tool.strict
    kind = "custom" if tool.custom else "function"
    return {"type": kind, kind: inner | tool.extra, **mark}


def _tool_choice(choice: ToolChoice, tools: list[Tool]) -> str | dict[str, Any]:
    custom = {tool.name for tool in tools if tool.custom}
    named = []
    for name in choice.names:
        kind = "custom" if name in custom else "function"
        named.append({"type": kind, kind: {"name": name}})
    if choice.mode == "named" and len(named) == 1:
        return named[0]
    if named:
        mode = "required" if choice.mode == "named" else choice.mode
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}
    return choice.mode


def _format(wanted: Format) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
