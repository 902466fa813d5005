"""A request, read into a chat."""

from typing import Any

import msgspec

from proxy.chat import Chat, Format, Message, Part, Reasoning, TextPart, Tool, ToolChoice
from proxy.dialects._gemini.content import Contents
from proxy.dialects._gemini.fields import Fields, first
from proxy.dialects._gemini.schema import json_schema
from proxy.dialects._gemini.wire import ORIGIN, TIERS, encode
from proxy.errors import BadRequest

Raw = msgspec.Raw

_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")
_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "LOW", "HIGH", "MEDIUM", "MINIMAL")

_CONFIG = "generationConfig"
_SPEECH = ("speechConfig", "imageConfig", "translationConfig")
"""Of `generationConfig`: what says how an answer is made that is no text."""


def read_chat(raw: bytes, model: str, *, stream: bool = False, array: bool = False) -> Chat:
    """The whole request. Raises BadRequest for what no provider would take."""
    return read_fields(Fields(raw), model, stream=stream, array=array)


def read_fields(fields: Fields, model: str, *, stream: bool = False, array: bool = False) -> Chat:
    """A request's fields; see :func:`read_chat`."""
    chat = Chat(model=model, messages=[], stream=stream, array=array, origin=ORIGIN)
    fields.raw("model")
    _read_contents(chat, fields)
    chat.tools = _tools(fields)
    _read_tool_config(chat, fields)
    _read_config(chat, fields)
    tier = fields.text("serviceTier")
    if tier is not None and tier.lower() != "unspecified":
        chat.service_tier = TIERS.get(tier.lower(), tier.lower())
    chat.extra |= fields.members
    if "cachedContent" in chat.extra:
        chat.native = [*chat.native, "cachedContent"]
    return chat


def _read_contents(chat: Chat, fields: Fields) -> None:
    system: list[Part] = []
    instruction = fields.raw("systemInstruction")
    if instruction is not None:
        system = _system(instruction)
    contents = Contents()
    found = fields.objects("contents")
    if not found:
        raise BadRequest("`contents` must hold at least one content", param="contents")
    for content in found:
        contents.read(content)
    chat.messages = [Message("system", system)] if system else []
    chat.messages += contents.messages
    if not contents.messages:
        raise BadRequest("`contents` says nothing", param="contents")


def _system(instruction: Raw) -> list[Part]:
    if first(instruction) == b'"':
        text = msgspec.json.decode(instruction, type=str)
        return [TextPart(text=text)] if text else []
    contents = Contents()
    content = Fields(instruction, "systemInstruction")
    content.raw("role")
    contents.read(content)
    return [part for message in contents.messages for part in message.parts]


def _tools(fields: Fields) -> list[Tool]:
    tools = []
    for tool in fields.objects("tools"):
        for function in tool.objects("functionDeclarations"):
            tools.append(_function(function))
        for name, raw in tool.members.items():
            tools.append(Tool(name=name, native=Raw(encode({name: raw})), origin=ORIGIN))
    return tools


def _function(function: Fields) -> Tool:
    name = function.text("name")
    if not name:
        raise function.wrong("name", "must name the function")
    schema = function.raw("parametersJsonSchema")
    parameters = function.raw("parameters")
    if schema is None and parameters is not None:
        schema = json_schema(parameters, function.at("parameters"))
    tool = Tool(name=name, description=function.text("description"), schema=schema)
    tool.extra = function.members
    return tool


def _read_tool_config(chat: Chat, fields: Fields) -> None:
    config = fields.object("toolConfig")
    if config is None:
        return
    calling = config.object("functionCallingConfig")
    if calling is not None:
        mode = (calling.word("mode", _MODES) or "AUTO").upper()
        names = calling.texts("allowedFunctionNames")
        if mode in ("AUTO", "MODE_UNSPECIFIED", "VALIDATED"):
            chat.tool_choice = ToolChoice("auto", names)
        elif mode == "NONE":
            chat.tool_choice = ToolChoice("none")
        elif mode == "ANY":
            chat.tool_choice = ToolChoice("named", names) if names else ToolChoice("required")
        else:
            raise calling.wrong("mode", "must be AUTO, ANY, NONE or VALIDATED")
        if mode == "VALIDATED":
            for tool in chat.tools:
                tool.strict = tool.native is None or None
        _keep(chat, "toolConfig.functionCallingConfig", calling)
    _keep(chat, "toolConfig", config)


def _read_config(chat: Chat, fields: Fields) -> None:
    config = fields.object(_CONFIG)
    if config is None:
        return
    chat.temperature = config.number("temperature")
    chat.top_p = config.number("topP")
    chat.top_k = config.number("topK")
    chat.n = config.integer("candidateCount") or 1
    chat.max_tokens = config.integer("maxOutputTokens")
    chat.stop = config.texts("stopSequences")
    chat.seed = config.integer("seed")
    chat.presence_penalty = config.number("presencePenalty")
    chat.frequency_penalty = config.number("frequencyPenalty")
    chat.logprobs = config.flag("responseLogprobs")
    chat.top_logprobs = config.integer("logprobs")
    native = _read_format(chat, config)
    thinking = config.object("thinkingConfig")
    if thinking is not None:
        level = thinking.word("thinkingLevel", _LEVELS)
        unsaid = level is None or level.upper() == _LEVELS[0]
        chat.reasoning = Reasoning(
            effort=None if unsaid or level is None else level.lower(),
            budget=thinking.integer("thinkingBudget"),
            show=thinking.flag("includeThoughts"),
        )
        _keep(chat, f"{_CONFIG}.thinkingConfig", thinking)
    modalities = _modalities(config)
    if modalities is not None and modalities != ["TEXT"]:
        native += ["responseModalities", *(name for name in _SPEECH if name in config.members)]
        config.members["responseModalities"] = Raw(encode(modalities))
    chat.native = [f"{_CONFIG}.{name}" for name in native]
    _keep(chat, _CONFIG, config)


def _read_format(chat: Chat, config: Fields) -> list[str]:
    """Read what an answer is to look like; returns the names of what only Gemini can."""
    mime = config.text("responseMimeType")
    schema = config.raw("responseJsonSchema") or config.raw("ResponseJsonSchema")
    own = config.raw("responseSchema")
    if mime == "application/json" or (not mime and (schema is not None or own is not None)):
        if schema is None and own is not None:
            schema = json_schema(own, config.at("responseSchema"))
        chat.format = Format(schema=schema)
        return []
    native = []
    if mime not in (None, "", "text/plain"):
        config.members["responseMimeType"] = Raw(encode(mime))
        native.append("responseMimeType")
    for name, value in (("responseSchema", own), ("responseJsonSchema", schema)):
        if value is not None:
            config.members[name] = value
            native.append(name)
    return native


def _modalities(config: Fields) -> list[str] | None:
    raw = config.raw("responseModalities")
    if raw is None:
        return None
    found: Any = msgspec.json.decode(raw)
    if not isinstance(found, list):
        raise config.wrong("responseModalities", "must be a list")
    words = [
        _MODALITIES[item] if type(item) is int and 0 <= item < len(_MODALITIES) else item
        for item in found
    ]
    if not all(isinstance(word, str) for word in words):
        raise config.wrong("responseModalities", "must be a list of names")
    return [word.upper() for word in words] or None


def _keep(chat: Chat, where: str, fields: Fields) -> None:
    """Keep what nobody read, under its place in the request."""
    for name, raw in fields.members.items():
        chat.extra[f"{where}.{name}"] = raw
