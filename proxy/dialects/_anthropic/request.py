"""A request to Anthropic's, read into the neutral form."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Struct

from proxy.chat import (
    Chat,
    Format,
    Message,
    Part,
    Raw,
    Reasoning,
    ResultPart,
    Role,
    Tool,
    ToolChoice,
)
from proxy.dialects._anthropic.blocks import CacheControl, mark, read_content
from proxy.dialects._anthropic.wire import ASKED_TIERS, ORIGIN, fields
from proxy.dialects._reading import wrong
from proxy.errors import BadRequest
from proxy.exchange import ParsedRequest

_NATIVE = frozenset({"container", "inference_geo", "mcp_servers"})
"""Fields without which a request means something else: what it may use, and where it may run."""


class _Message(Struct):
    role: str
    content: str | list[Raw]


class _Thinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(Struct):
    type: str
    schema: Raw


class _Output(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Choice(Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _User(Struct):
    user_id: str | None = None


class _Body(Struct):
    model: str
    messages: list[_Message]
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    system: str | list[Raw] | None = None
    tools: list[Raw] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    metadata: _User | None = None
    service_tier: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None


class _Tool(Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw(b"null")
    strict: bool | None = None
    cache_control: CacheControl | None = None


_read = msgspec.json.Decoder(_Body).decode
_read_tool = msgspec.json.Decoder(_Tool).decode


def read_chat(request: ParsedRequest, *, answers: bool) -> Chat:
    """The whole request; `answers`: it asks for an answer, and not just what it would count.

    Raises BadRequest.
    """
    try:
        body = _read(request.body())
    except msgspec.ValidationError as error:
        raise wrong(error) from error
    if answers and body.max_tokens is None:
        raise BadRequest("`max_tokens` is required", param="max_tokens")
    chat = Chat(
        model=body.model,
        messages=_messages(body),
        stream=body.stream or False,
        tools=[_tool(raw, f"tools.{number}") for number, raw in enumerate(body.tools or [])],
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=body.stop_sequences or [],
        user=None if body.metadata is None else body.metadata.user_id,
        origin=ORIGIN,
    )
    if body.max_tokens == 0:
        # Asks to fill the cache, and for no answer at all.
        chat.native.append("max_tokens: 0")
    for name, raw in request.fields.items():
        if name not in _Body.__struct_fields__ and bytes(raw) != b"null":
            if name in _NATIVE:
                chat.native.append(name)
            chat.extra[name] = raw
    if body.service_tier is not None:
        chat.service_tier = ASKED_TIERS.get(body.service_tier, body.service_tier)
    chat.betas = _betas(request.headers)
    _read_choice(chat, body.tool_choice)
    _read_output(chat, body, request.fields)
    return chat


def _betas(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """What all the fields name together, each once: https://docs.claude.com/en/api/beta-headers."""
    named: dict[str, None] = {}
    for name, value in headers:
        if name.lower() == b"anthropic-beta":
            named.update((beta.strip(), None) for beta in value.decode("latin-1").split(","))
    named.pop("", None)
    return list(named)


def _messages(body: _Body) -> list[Message]:
    messages: list[Message] = []
    if body.system:
        messages.append(Message("system", read_content(body.system, "system")))
    for number, message in enumerate(body.messages):
        where = f"messages.{number}"
        parts = read_content(message.content, f"{where}.content")
        match message.role:
            case "user":
                results: list[Part] = [part for part in parts if isinstance(part, ResultPart)]
                if results:
                    messages.append(Message("tool", results))
                    parts = [part for part in parts if not isinstance(part, ResultPart)]
                    if not parts:
                        continue
                messages.append(Message("user", parts))
            case "assistant" | "system":
                role: Role = "assistant" if message.role == "assistant" else "system"
                messages.append(Message(role, parts))
            case _:
                raise BadRequest(
                    f"`{where}.role` must be user, assistant or system, not {message.role!r}",
                    param=f"{where}.role",
                )
    return messages


def _tool(raw: Raw, where: str) -> Tool:
    try:
        tool = _read_tool(raw)
    except msgspec.ValidationError as error:
        raise wrong(error, where) from error
    if tool.type not in (None, "custom"):
        return Tool(name=tool.name or str(tool.type), native=raw, origin=ORIGIN)
    if not tool.name:
        raise BadRequest(f"`{where}.name` is required", param=f"{where}.name")
    if not bytes(tool.input_schema).startswith(b"{"):
        place = f"{where}.input_schema"
        raise BadRequest(f"`{place}` is required, an object", param=place)
    known = _Tool.__struct_fields__
    return Tool(
        name=tool.name,
        description=tool.description,
        schema=tool.input_schema,
        strict=tool.strict,
        cache=mark(tool.cache_control),
        extra={name: value for name, value in fields(raw).items() if name not in known},
    )


def _read_choice(chat: Chat, choice: _Choice | None) -> None:
    if choice is None:
        return
    if choice.disable_parallel_tool_use is not None:
        chat.parallel_tools = not choice.disable_parallel_tool_use
    match choice.type:
        case "auto" | "none":
            chat.tool_choice = ToolChoice("auto" if choice.type == "auto" else "none")
        case "any":
            chat.tool_choice = ToolChoice("required")
        case "tool" if choice.name:
            chat.tool_choice = ToolChoice("named", [choice.name])
        case "tool":
            raise BadRequest("`tool_choice.name` is required", param="tool_choice.name")
        case _:
            raise BadRequest(
                f"`tool_choice.type` must be auto, any, tool or none, not {choice.type!r}",
                param="tool_choice.type",
            )


def _read_output(chat: Chat, body: _Body, raws: dict[str, Raw]) -> None:
    output, thinking = body.output_config or _Output(), body.thinking
    asked = output.format or body.output_format
    if asked is not None:
        if asked.type != "json_schema":
            raise BadRequest(
                f"`output_config.format.type` must be json_schema, not {asked.type!r}",
                param="output_config.format.type",
            )
        chat.format = Format(schema=asked.schema)
    if body.output_config is not None and _says_more(raws["output_config"]):
        chat.extra["output_config"] = raws["output_config"]
    budget = None
    if thinking is not None:
        match thinking.type:
            case "enabled":
                budget = -1 if thinking.budget_tokens is None else thinking.budget_tokens
            case "disabled":
                budget = 0
            case "adaptive":
                budget = -1
            case _:
                chat.extra["thinking"] = raws["thinking"]
    effort = output.effort
    if budget == 0 and effort is not None:
        # Not to think, yet to take pains: who has one word for both is told the first.
        chat.extra["output_config"] = raws["output_config"]
        effort = None
    if budget is not None or effort is not None:
        display = None if thinking is None else thinking.display
        show = {"summarized": True, "omitted": False}.get(display or "")
        chat.reasoning = Reasoning(effort=effort, budget=budget, show=show)


def _says_more(raw: Raw) -> bool:
    return any(name not in _Output.__struct_fields__ for name in fields(raw))
