"""A request of OpenAI's Chat, in the neutral form."""

from typing import Literal

from proxy.chat import Chat, Format, Message, Reasoning, Tool, ToolChoice
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects.openai_chat.message import Turns, cache_mark
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import BadRequest
from proxy.exchange import Raw

_NATIVE = ("audio", "moderation", "web_search_options")
"""Fields that change what is answered, and that no other dialect knows."""
_Mode = Literal["auto", "none", "required", "named"]
_MODES: dict[str, _Mode] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}
"""What the words for a tool choice mean: OpenAI's, and Mistral's."""
_CHOICE = "auto, none, required, or an object that names a tool"


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
    choice = taken.take("tool_choice", f.TEXT_OR_OBJECT)
    if choice is not None:
        chat.tool_choice = _tool_choice(choice, taken, "tool_choice")
    functions = taken.objects("functions")
    if functions:
        chat.legacy_functions = True
        chat.parallel_tools = False
        chat.tools += [_function(function) for function in functions]
    choice = taken.take("function_call", f.TEXT_OR_OBJECT)
    if isinstance(choice, dict):
        chat.tool_choice = ToolChoice(
            "named", [Fields(choice, "function_call").need("name", f.TEXT)]
        )
    elif choice is not None:
        chat.tool_choice = _tool_choice(choice, taken, "function_call")


def _tool(fields: Fields) -> Tool:
    whole = fields.whole()
    kind = fields.take("type", f.TEXT) or "function"
    if kind not in ("function", "custom"):
        return Tool(name=kind, native=whole, origin=NAME)
    inner = fields.object(kind)
    if inner is None:
        raise fields.wrong(kind, "an object")
    tool = _function(inner) if kind == "function" else _custom(inner)
    tool.cache = cache_mark(fields)
    tool.extra |= fields.rest()
    return tool


def _function(fields: Fields) -> Tool:
    return Tool(
        name=fields.need("name", f.TEXT),
        description=fields.take("description", f.TEXT),
        schema=fields.raw("parameters"),
        strict=fields.take("strict", f.FLAG),
        extra=fields.rest(),
    )


def _custom(fields: Fields) -> Tool:
    return Tool(
        name=fields.need("name", f.TEXT),
        description=fields.take("description", f.TEXT),
        schema=fields.raw("format"),
        custom=True,
        extra=fields.rest(),
    )


def _tool_choice(found: str | dict[str, Raw], taken: Fields, field: str) -> ToolChoice:
    if isinstance(found, str):
        return ToolChoice(_mode(found, taken, field))
    choice = Fields(found, field)
    kind = choice.need("type", f.TEXT)
    if kind == "allowed_tools":
        allowed = choice.object("allowed_tools") or choice
        names = [_name(tool) for tool in allowed.objects("tools")]
        mode = _mode(allowed.take("mode", f.TEXT) or "auto", allowed, "mode")
        return ToolChoice("named" if mode == "required" else mode, names)
    if kind in ("function", "custom"):
        choice_of_one = Fields(found | {"type": f.spelled(kind)}, field)
        return ToolChoice("named", [_name(choice_of_one)])
    raise taken.wrong(field, _CHOICE)


def _mode(word: str, fields: Fields, field: str) -> _Mode:
    mode = _MODES.get(word)
    if mode is None:
        raise fields.wrong(field, _CHOICE)
    return mode


def _name(fields: Fields) -> str:
    """Of ``{"type": "function", "function": {"name": …}}``; the inner object may be left out."""
    kind = fields.take("type", f.TEXT) or "function"
    return (fields.object(kind) or fields).need("name", f.TEXT)


def _read_sampling(taken: Fields, chat: Chat) -> None:
    newer, older = (taken.take(f"max_{name}tokens", f.WHOLE) for name in ("completion_", ""))
    chat.max_tokens = older if newer is None else newer
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


def _read_answer(taken: Fields, chat: Chat) -> None:
    chat.format = _format(taken, chat)
    chat.reasoning = _reasoning(taken)
    chat.logprobs = taken.take("logprobs", f.FLAG)
    chat.top_logprobs = taken.take("top_logprobs", f.WHOLE)
    options = taken.object("stream_options")
    chat.include_usage = False
    if options is not None:
        chat.include_usage = options.take("include_usage", f.FLAG) or False
        more = options.rest()
        if more:
            chat.extra["stream_options"] = f.spelled(more)
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
    user = taken.take("user", f.TEXT)
    chat.user = taken.take("safety_identifier", f.TEXT)
    if chat.user is None:
        chat.user = user
    elif user is not None:
        chat.extra["user"] = f.spelled(user)
    chat.service_tier = taken.take("service_tier", f.TEXT)
    try:
        chat.metadata = taken.take("metadata", f.LABELS)
    except BadRequest:  # labels that are no text: some servers take them
        chat.extra["metadata"] = fields["metadata"]
    chat.cache_key = taken.take("prompt_cache_key", f.TEXT)
    chat.extra |= taken.rest()
    chat.native += [name for name in _NATIVE if name in chat.extra]
