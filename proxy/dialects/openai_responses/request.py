"""A request of OpenAI's Responses, in the neutral form."""

from proxy.chat import Chat, Format, Message, Reasoning, TextPart, Tool
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.settings import (
    read_custom,
    read_function,
    read_labels,
    read_tool_choice,
)
from proxy.dialects.openai_responses.items import Conversation
from proxy.dialects.openai_responses.wire import NAME, nested_format
from proxy.exchange import Raw

_NATIVE = (
    *("background", "context_management", "conversation", "moderation"),
    *("previous_response_id", "prompt"),
)
"""Fields that change what is asked or answered, and that no other dialect knows."""
_LOGPROBS = "message.output_text.logprobs"
_ENCRYPTED = "reasoning.encrypted_content"
_CHOICES = ("function", "custom", "allowed_tools")


def read(fields: dict[str, Raw], *, stream: bool) -> Chat:
    """The chat that a request's top-level fields ask for. Raises BadRequest."""
    taken = Fields(dict(fields))
    taken.raw("stream")
    model = taken.take("model", f.TEXT) or ""
    chat = Chat(model=model, messages=_messages(taken), stream=stream, origin=NAME)
    _read_tools(taken, chat)
    _read_answer(taken, chat)
    chat.max_tokens = taken.take("max_output_tokens", f.WHOLE)
    chat.temperature = taken.take("temperature", f.NUMBER)
    chat.top_p = taken.take("top_p", f.NUMBER)
    chat.top_k = taken.take("top_k", f.NUMBER)
    read_labels(taken, fields, chat)
    if taken.take("background", f.FLAG):
        chat.extra["background"] = f.spelled(True)
    chat.extra |= taken.rest()
    chat.native += [name for name in _NATIVE if name in chat.extra]
    if not chat.messages and not chat.native:
        raise taken.wrong("input", "a text, or an array of at least one item")
    return chat


def _messages(taken: Fields) -> list[Message]:
    conversation = Conversation()
    instructions = taken.take("instructions", f.TEXT)
    if instructions:
        conversation.messages.append(Message("system", [TextPart(text=instructions)]))
    found = taken.take("input", f.TEXT_OR_LIST)
    if isinstance(found, str):
        conversation.messages.append(Message("user", [TextPart(text=found)]))
    elif found is not None:
        for fields in taken.each("input", found):
            conversation.add(fields)
    return conversation.messages


def _read_tools(taken: Fields, chat: Chat) -> None:
    chat.tools = [_tool(tool) for tool in taken.objects("tools")]
    chat.parallel_tools = taken.take("parallel_tool_calls", f.FLAG)
    choice = taken.peek("tool_choice", f.TEXT_OR_OBJECT)
    if (
        isinstance(choice, dict)
        and Fields(choice, "tool_choice").need("type", f.TEXT) not in _CHOICES
    ):
        chat.native.append("tool_choice")  # of a tool that the provider runs
        return
    chat.tool_choice = read_tool_choice(taken)


def _tool(fields: Fields) -> Tool:
    whole = fields.whole()
    kind = fields.need("type", f.TEXT)
    if kind == "function":
        return read_function(fields)
    if kind == "custom":
        tool = read_custom(fields)
        if tool.schema is not None:
            tool.schema = nested_format(tool.schema)
        return tool
    return Tool(name=kind, native=whole, origin=NAME)


def _read_answer(taken: Fields, chat: Chat) -> None:
    text = taken.object("text")
    if text is not None:
        chat.format = _format(text)
        verbosity = text.raw("verbosity")
        if verbosity is not None:
            chat.extra["verbosity"] = verbosity
    reasoning = taken.object("reasoning")
    if reasoning is not None:
        chat.reasoning = _reasoning(reasoning)
        more = reasoning.rest()
        if more:
            chat.extra["reasoning"] = f.spelled(more)
    include = taken.take("include", f.TEXTS) or []
    chat.logprobs = _LOGPROBS in include or None
    top_logprobs = taken.take("top_logprobs", f.WHOLE)
    chat.top_logprobs = top_logprobs if chat.logprobs else None
    include = [name for name in include if name not in (_LOGPROBS, _ENCRYPTED)]
    if include:
        chat.extra["include"] = f.spelled(include)


def _format(text: Fields) -> Format | None:
    fields = text.object("format")
    kind = fields.need("type", f.TEXT) if fields is not None else "text"
    if fields is None or kind == "text":
        return None
    if kind == "json_object":
        return Format()
    if kind == "json_schema":
        return Format(
            schema=fields.raw("schema") or Raw(b"{}"),
            name=fields.take("name", f.TEXT),
            description=fields.take("description", f.TEXT),
            strict=fields.take("strict", f.FLAG),
        )
    raise fields.wrong("type", "text, json_object or json_schema")


def _reasoning(fields: Fields) -> Reasoning:
    """How a summary is to be is more than others know; that there is to be one is not."""
    summary = fields.peek("summary", f.TEXT)
    older = fields.peek("generate_summary", f.TEXT)
    if summary == "auto":
        fields.raw("summary")
    shown = summary if summary is not None else older
    return Reasoning(effort=fields.take("effort", f.TEXT), show=None if shown is None else True)
