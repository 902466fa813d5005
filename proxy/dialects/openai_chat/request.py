"""A request of OpenAI's Chat, in the neutral form."""

from proxy.chat import Chat, Format, Message, Reasoning, Tool
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.parts import cache_mark
from proxy.dialects._openai.sampling import read_sampling, read_stream_options
from proxy.dialects._openai.settings import (
    read_custom,
    read_function,
    read_labels,
    read_tool_choice,
)
from proxy.dialects.openai_chat.message import Turns
from proxy.dialects.openai_chat.wire import NAME
from proxy.exchange import Raw

_NATIVE = ("audio", "moderation", "web_search_options")
"""Fields that change what is answered, and that no other dialect knows."""


def read(fields: dict[str, Raw], *, stream: bool) -> Chat:
    """The chat that a request's top-level fields ask for. Raises BadRequest."""
    taken = Fields(dict(fields))
    taken.raw("stream")
    model = taken.need("model", f.TEXT)
    chat = Chat(model=model, messages=_messages(taken), stream=stream, origin=NAME)
    _read_tools(taken, chat)
    _read_sampling(taken, chat)
    _read_answer(taken, chat)
    _read_rest(taken, fields, chat)
    return chat


def _messages(taken: Fields) -> list[Message]:
    turns = Turns()
    for fields in taken.objects("messages"):
        turns.add(fields)
    if not turns.messages:
        raise taken.wrong("messages", "an array of at least one message")
    return turns.messages


def _read_tools(taken: Fields, chat: Chat) -> None:
    chat.tools = [_tool(tool) for tool in taken.objects("tools")]
    chat.parallel_tools = taken.take("parallel_tool_calls", f.FLAG)
    chat.tool_choice = read_tool_choice(taken)
    functions = taken.objects("functions")
    if functions:
        chat.legacy_functions = True
        chat.parallel_tools = False
        chat.tools += [read_function(function) for function in functions]
    chat.tool_choice = read_tool_choice(taken, "function_call") or chat.tool_choice


def _tool(fields: Fields) -> Tool:
    whole = fields.whole()
    kind = fields.take("type", f.TEXT) or "function"
    if kind not in ("function", "custom"):
        return Tool(name=kind, native=whole, origin=NAME)
    inner = fields.object(kind)
    if inner is None:
        raise fields.wrong(kind, "an object")
    tool = read_function(inner) if kind == "function" else read_custom(inner)
    tool.cache = cache_mark(fields)
    tool.extra |= fields.rest()
    return tool


def _read_sampling(taken: Fields, chat: Chat) -> None:
    newer, older = (taken.take(f"max_{name}tokens", f.WHOLE) for name in ("completion_", ""))
    chat.max_tokens = older if newer is None else newer
    read_sampling(taken, chat)


def _read_answer(taken: Fields, chat: Chat) -> None:
    chat.format = _format(taken, chat)
    chat.reasoning = _reasoning(taken)
    chat.logprobs = taken.take("logprobs", f.FLAG)
    chat.top_logprobs = taken.take("top_logprobs", f.WHOLE)
    read_stream_options(taken, chat)
    modalities = taken.take("modalities", f.TEXTS) or []
    if any(modality != "text" for modality in modalities):
        chat.native.append("modalities")
        chat.extra["modalities"] = f.spelled(modalities)


def _format(taken: Fields, chat: Chat) -> Format | None:
    fields = taken.object("response_format")
    if fields is None:
        return None
    whole = fields.whole()
    kind = fields.need("type", f.TEXT)
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(schema=fields.raw("schema"))  # as Together and llama.cpp put it
    if kind == "json_schema":
        inner = fields.object("json_schema")
        if inner is None:
            raise fields.wrong("json_schema", "an object")
        return Format(
            schema=inner.raw("schema") or Raw(b"{}"),
            name=inner.take("name", f.TEXT),
            description=inner.take("description", f.TEXT),
            strict=inner.take("strict", f.FLAG),
        )
    chat.native.append("response_format")
    chat.extra["response_format"] = whole
    return None


def _reasoning(taken: Fields) -> Reasoning | None:
    effort = taken.take("reasoning_effort", f.TEXT)
    fields = taken.object("reasoning")  # OpenRouter's
    if fields is None:
        return None if effort is None else Reasoning(effort=effort)
    enabled = fields.take("enabled", f.FLAG)
    excluded = fields.take("exclude", f.FLAG)
    budget = fields.take("max_tokens", f.WHOLE)
    effort = fields.take("effort", f.TEXT) or effort
    if effort is None and budget is None and enabled is not None:
        budget = -1 if enabled else 0
    return Reasoning(effort=effort, budget=budget, show=None if excluded is None else not excluded)


def _read_rest(taken: Fields, fields: dict[str, Raw], chat: Chat) -> None:
    read_labels(taken, fields, chat)
    chat.extra |= taken.rest()
    chat.native += [name for name in _NATIVE if name in chat.extra]
