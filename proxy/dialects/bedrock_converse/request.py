"""A chat rendered as a request to Converse."""

import re
from typing import Any

import msgspec

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Part,
    RefusalPart,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
    Tool,
    omit_foreign,
)
from proxy.dialects.bedrock_converse.wire import (
    AUDIO_FORMATS,
    FILE_FORMATS,
    IMAGE_FORMATS,
    ORIGIN,
    Block,
    Raw,
)
from proxy.effort import budget_of, effort_of
from proxy.errors import BadRequest

_HINTS = ("seed", "logit_bias", "user", "cache_key", "metadata")
_counts_thinking = re.compile(
    # Claude up to 4.5 is told how many tokens to think; whoever else thinks, how hard.
    r"claude-(?:3-7|(?:opus|sonnet|haiku)-4(?:-[015])?-\d{8})"
).search
_LEAST_BUDGET = 1024
_not_a_name = re.compile(r"[^A-Za-z0-9 ()\[\]-]+").sub
_not_an_id = re.compile(r"[^A-Za-z0-9_.:-]").sub

_object = msgspec.json.Decoder(dict[str, Raw]).decode


def render_chat(chat: Chat, rendering: Rendering) -> Block:
    """A request's body. Raises BadRequest, or Unsupported for what Converse cannot say."""
    omit_foreign(chat, ORIGIN, rendering.omissions)
    omissions, refuses = rendering.omissions, rendering.quirks.refuses
    for name in _HINTS:
        omissions.hint(name, getattr(chat, name))
    for name in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        omissions.hint(name, getattr(chat, name) or None)
    omissions.hint("n", chat.n if chat.n != 1 else None)
    omissions.hint("parallel_tool_calls", None if chat.parallel_tools in (None, True) else False)
    conversation = _Conversation(rendering)
    for message in chat.messages:
        conversation.add(message)
    body: Block = {"messages": conversation.messages}
    if conversation.system:
        body["system"] = conversation.system
    inference: Block = {}
    for name, field, value in (
        ("max_tokens", "maxTokens", chat.max_tokens),
        ("temperature", "temperature", chat.temperature),
        ("top_p", "topP", chat.top_p),
        ("stop", "stopSequences", chat.stop or None),
    ):
        if name in refuses:
            omissions.hint(name, value)
        elif value is not None:
            inference[field] = value
    if inference:
        body["inferenceConfig"] = inference
    _tools(chat, rendering, body)
    if chat.format is not None:
        if chat.format.schema is None:
            omissions.refuse("a response format without a schema", param="response_format")
        named = {"name": chat.format.name or "answer"}
        if chat.format.description:
            named["description"] = chat.format.description
        structure = {"jsonSchema": {"schema": bytes(chat.format.schema).decode(), **named}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    more: Block = {}
    _reasoning(chat, rendering, body, more)
    if chat.top_k is not None:
        if "claude" in rendering.model and "top_k" not in refuses:
            more["top_k"] = int(chat.top_k)
        else:
            omissions.hint("top_k")
    if more:
        body["additionalModelRequestFields"] = more
    if chat.service_tier in ("priority", "default", "flex", "reserved"):
        body["serviceTier"] = {"type": chat.service_tier}
    elif chat.service_tier != "auto":
        omissions.hint("service_tier", chat.service_tier)
    return body


def _reasoning(chat: Chat, rendering: Rendering, body: Block, more: Block) -> None:
    reasoning = chat.reasoning
    if reasoning is None:
        return
    effort, budget = reasoning.effort, reasoning.budget
    if effort == "none" or budget == 0:
        return
    if "reasoning" in rendering.quirks.refuses:
        rendering.omissions.hint("reasoning")
        return
    forced = chat.tool_choice is not None and chat.tool_choice.mode in ("required", "named")
    if not _counts_thinking(rendering.model):
        effort = effort or (effort_of(budget) if budget is not None else None)
        if effort is not None:
            body.setdefault("outputConfig", {})["effort"] = "low" if effort == "minimal" else effort
        else:
            rendering.omissions.hint("reasoning")
        return
    if budget is None or budget < 0:
        budget = max(budget_of(effort or "medium"), _LEAST_BUDGET)
    if chat.max_tokens is not None:
        # Thinking is part of `maxTokens`, and the answer needs some of them too.
        budget = min(budget, chat.max_tokens // 2)
    if forced or budget < _LEAST_BUDGET:
        rendering.omissions.hint("reasoning")
        return
    more["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _tools(chat: Chat, rendering: Rendering, body: Block) -> None:
    choice = chat.tool_choice
    if choice is not None and choice.mode == "none":
        # There is no word for it: a model without tools calls none. Where the conversation has
        # calls already, it would be refused without them.
        if any(isinstance(part, CallPart) for m in chat.messages for part in m.parts):
            rendering.omissions.refuse("`tool_choice` none after calls", param="tool_choice")
        return
    tools = chat.tools
    if choice is not None and choice.mode == "named" and len(choice.names) > 1:
        tools = [tool for tool in tools if tool.name in choice.names]
    if not tools:
        return
    listed: list[Block] = []
    for tool in tools:
        listed.append({"toolSpec": _tool(tool, rendering)})
        if tool.cache is not None:
            listed.append(_cache_point(tool.cache))
    config: Block = {"tools": listed}
    if choice is not None:
        match choice.mode:
            case "required":
                config["toolChoice"] = {"any": {}}
            case "named":
                one = len(choice.names) == 1
                config["toolChoice"] = {"tool": {"name": choice.names[0]}} if one else {"any": {}}
            case _:
                config["toolChoice"] = {"auto": {}}
    body["toolConfig"] = config


def _tool(tool: Tool, rendering: Rendering) -> Block:
    if tool.custom:
        rendering.omissions.refuse(f"the tool `{tool.name}`, which takes free text,", param="tools")
    schema: object = {"type": "object", "properties": {}}
    if tool.schema is not None:
        members = _object(bytes(tool.schema))
        schema = tool.schema if "type" in members else {"type": "object", **members}
    spec: Block = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    return spec


def _cache_point(cache: str) -> Block:
    return {"cachePoint": {"type": "default"} | ({"ttl": cache} if cache else {})}


class _Conversation:
    """`system` and `messages`: turns alternate, and results come first in theirs."""

    def __init__(self, rendering: Rendering) -> None:
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self._omissions = rendering.omissions
        self._asked: list[str] = []
        """Ids of the last turn's calls that have no result yet."""

    def add(self, message: Message) -> None:
        self._omissions.hint("name", message.name)
        role = "assistant" if message.role == "assistant" else "user"
        blocks: list[Block] = []
        for part in message.parts:
            block = self._block(part)
            if block is not None:
                blocks.append(block)
                if part.cache is not None:
                    blocks.append(_cache_point(part.cache))
        if message.role == "system" and not self.messages:
            self.system.extend(blocks)
            return
        if not blocks:
            return
        if not self.messages or self.messages[-1]["role"] != role:
            self.messages.append({"role": role, "content": []})
        content = self.messages[-1]["content"]
        if message.role == "tool":
            at = sum("toolResult" in block for block in content)
            content[at:at] = blocks
        else:
            content.extend(blocks)

    def _block(self, part: Part) -> Block | None:
        match part:
            case TextPart() | RefusalPart():
                return {"text": part.text} if part.text else None
            case ImagePart():
                return self._image(part)
            case FilePart():
                return self._document(part)
            case AudioPart():
                audio = AUDIO_FORMATS.get(part.media_type)
                if audio is None:
                    self._omissions.refuse(f"audio of the type {part.media_type}", param="messages")
                return {"audio": {"format": audio, "source": {"bytes": part.data}}}
            case ThinkingPart():
                return self._thinking(part)
            case CallPart():
                return {"toolUse": self._use(part)}
            case ResultPart():
                return {"toolResult": self._result(part)}
            case NativePart():
                return dict(_object(bytes(part.raw)))
            case _:
                self._omissions.refuse(f"content of the type {type(part).__name__}")

    def _image(self, part: ImagePart) -> Block:
        if part.detail != "auto":
            self._omissions.hint("detail", part.detail)
        kind = IMAGE_FORMATS.get(part.media_type or "")
        if part.data is None:
            self._omissions.refuse("an image that is not sent along", param="messages")
        if kind is None:
            self._omissions.refuse(f"an image of the type {part.media_type}", param="messages")
        return {"image": {"format": kind, "source": {"bytes": part.data}}}

    def _document(self, part: FilePart) -> Block:
        name = _not_a_name(" ", part.name or "document").strip() or "document"
        if part.text is not None:
            return {"document": {"format": "txt", "name": name, "source": {"text": part.text}}}
        kind = FILE_FORMATS.get(part.media_type or "")
        if part.data is None:
            self._omissions.refuse("a file that is not sent along", param="messages")
        if kind is None:
            self._omissions.refuse(f"a file of the type {part.media_type}", param="messages")
        return {"document": {"format": kind, "name": name, "source": {"bytes": part.data}}}

    def _thinking(self, part: ThinkingPart) -> Block | None:
        if part.origin != ORIGIN:
            self._omissions.hint("reasoning", part.text or None)
            return None
        if part.redacted:
            return {"reasoningContent": {"redactedContent": part.signature}}
        text: Block = {"text": part.text}
        if part.signature:
            text["signature"] = part.signature
        return {"reasoningContent": {"reasoningText": text}}

    def _use(self, part: CallPart) -> Block:
        if part.custom:
            self._omissions.refuse(f"the free text of the call of `{part.name}`", param="messages")
        arguments = part.arguments or "{}"
        try:
            _object(arguments)
        except (msgspec.MsgspecError, RecursionError):
            self._omissions.refuse(
                f"the arguments of the call `{part.id}` of `{part.name}`, no JSON object,",
                param="messages",
            )
        id = _not_an_id("_", part.id)
        self._asked.append(id)
        return {"toolUseId": id, "name": part.name, "input": Raw(arguments.encode())}

    def _result(self, part: ResultPart) -> Block:
        id = _not_an_id("_", part.id)
        if id not in self._asked:
            raise BadRequest(
                f"the tool result for `{part.id}` follows no tool call of that id",
                param="messages",
            )
        self._asked.remove(id)
        content: list[Any] = []
        for each in part.content:
            inner = self._block(each)
            if inner is not None:
                content.append(inner)
        result: Block = {"toolUseId": id, "content": content or [{"text": ""}]}
        if part.error:
            result["status"] = "error"
        return result
