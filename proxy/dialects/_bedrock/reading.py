"""A request to Converse read as a chat: what the mock provider understands of one.

Only we speak Converse, and only to providers, so this reads what :mod:`request` writes.
"""

from typing import Any

import msgspec

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    ImagePart,
    Message,
    NativePart,
    Part,
    ResultPart,
    Role,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
)
from proxy.dialects._bedrock.wire import ORIGIN, Raw
from proxy.dialects._reading import wrong
from proxy.exchange import ParsedRequest

Fields = dict[str, Any]


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: list[dict[str, Raw]]


class _Inference(msgspec.Struct, rename="camel", frozen=True):
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] = []


class _Spec(msgspec.Struct, rename="camel", frozen=True):
    name: str
    description: str | None = None
    input_schema: dict[str, Raw] = {}


class _Tool(msgspec.Struct, rename="camel", frozen=True):
    tool_spec: _Spec | None = None


class _ToolConfig(msgspec.Struct, rename="camel", frozen=True):
    tools: list[_Tool] = []
    tool_choice: dict[str, dict[str, str]] = {}


class _Schema(msgspec.Struct, frozen=True):
    schema: str = "{}"


class _Structure(msgspec.Struct, rename="camel", frozen=True):
    json_schema: _Schema = _Schema()


class _TextFormat(msgspec.Struct, frozen=True):
    structure: _Structure = _Structure()


class _OutputConfig(msgspec.Struct, rename="camel", frozen=True):
    text_format: _TextFormat | None = None


class _Request(msgspec.Struct, rename="camel", frozen=True):
    messages: list[_Message]
    system: list[dict[str, Raw]] = []
    inference_config: _Inference = _Inference()
    tool_config: _ToolConfig = _ToolConfig()
    output_config: _OutputConfig = _OutputConfig()


class _Use(msgspec.Struct, rename="camel", frozen=True):
    tool_use_id: str
    name: str
    input: Raw = Raw(b"{}")


class _Result(msgspec.Struct, rename="camel", frozen=True):
    tool_use_id: str
    content: list[dict[str, Raw]] = []
    status: str = "success"


class _Bytes(msgspec.Struct, frozen=True):
    bytes: str = ""


class _Image(msgspec.Struct, frozen=True):
    format: str
    source: _Bytes


class _ReasoningText(msgspec.Struct, frozen=True):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct, rename="camel", frozen=True):
    reasoning_text: _ReasoningText = _ReasoningText()


class _Input(msgspec.Struct, frozen=True):
    converse: _Request


class _Question(msgspec.Struct, frozen=True):
    input: _Input


_request = msgspec.json.Decoder(_Request).decode
_question = msgspec.json.Decoder(_Question).decode


def read_chat(request: ParsedRequest) -> Chat:
    """The request in the neutral form; raises BadRequest."""
    try:
        return _read(_request(request.raw), request)
    except msgspec.ValidationError as error:
        raise wrong(error) from error


def read_question(request: ParsedRequest) -> Chat:
    """A question how many tokens a request has, in the neutral form; raises BadRequest."""
    try:
        return _read(_question(request.raw).input.converse, request)
    except msgspec.ValidationError as error:
        raise wrong(error) from error


def _read(wire: _Request, request: ParsedRequest) -> Chat:
    messages = []
    if wire.system:
        messages.append(Message("system", _parts(wire.system)))
    for message in wire.messages:
        parts = _parts(message.content)
        results: list[Part] = [part for part in parts if isinstance(part, ResultPart)]
        others = [part for part in parts if not isinstance(part, ResultPart)]
        if results:
            messages.append(Message("tool", results))
        if others:
            role: Role = "assistant" if message.role == "assistant" else "user"
            messages.append(Message(role, others))
    inference, wanted = wire.inference_config, wire.output_config.text_format
    schema = None
    if wanted is not None:
        schema = Raw(wanted.structure.json_schema.schema.encode())
    return Chat(
        model=request.model or "",
        messages=messages,
        stream=request.stream,
        tools=[
            Tool(name=spec.name, description=spec.description, schema=spec.input_schema.get("json"))
            for tool in wire.tool_config.tools
            if (spec := tool.tool_spec) is not None
        ],
        tool_choice=_choice(wire.tool_config.tool_choice),
        format=Format(schema=schema) if schema is not None else None,
        max_tokens=inference.max_tokens,
        temperature=inference.temperature,
        top_p=inference.top_p,
        stop=inference.stop_sequences,
        origin=ORIGIN,
    )


def _choice(wire: dict[str, dict[str, str]]) -> ToolChoice | None:
    if "tool" in wire:
        return ToolChoice("named", [wire["tool"].get("name", "")])
    if "any" in wire:
        return ToolChoice("required")
    return ToolChoice("auto") if "auto" in wire else None


def _parts(blocks: list[dict[str, Raw]]) -> list[Part]:
    parts: list[Part] = []
    for block in blocks:
        for kind, raw in block.items():
            part = _part(kind, raw)
            if part is not None:
                parts.append(part)
            elif parts:
                parts[-1].cache = ""
    return parts


def _part(kind: str, raw: Raw) -> Part | None:
    """A content block; None is a cache mark on the one before it."""
    match kind:
        case "cachePoint":
            return None
        case "text":
            return TextPart(text=msgspec.json.decode(raw, type=str))
        case "image":
            image = msgspec.json.decode(raw, type=_Image)
            return ImagePart(data=image.source.bytes, media_type=f"image/{image.format}")
        case "toolUse":
            use = msgspec.json.decode(raw, type=_Use)
            arguments = bytes(use.input).decode()
            return CallPart(id=use.tool_use_id, name=use.name, arguments=arguments)
        case "toolResult":
            result = msgspec.json.decode(raw, type=_Result)
            failed = result.status == "error"
            return ResultPart(id=result.tool_use_id, content=_parts(result.content), error=failed)
        case "reasoningContent":
            text = msgspec.json.decode(raw, type=_Reasoning).reasoning_text
            return ThinkingPart(text=text.text, signature=text.signature, origin=ORIGIN)
        case _:
            whole = Raw(msgspec.json.encode({kind: raw}))
            return NativePart(raw=whole, origin=ORIGIN, kind=kind)
