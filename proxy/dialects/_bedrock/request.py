"""A chat rendered as a request to Converse."""

import re

import msgspec

from proxy.chat import Chat, Rendering, Tool, omit_foreign
from proxy.dialects._bedrock.conversation import Conversation, cache_point
from proxy.dialects._bedrock.wire import ORIGIN, Block, Raw
from proxy.dialects._claude import Thought, sampling, think, whole
from proxy.effort import effort_of

_object = msgspec.json.Decoder(dict[str, Raw]).decode
_TIERS = ("priority", "default", "flex", "reserved")
_is_metadata = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}").fullmatch
_MAX_METADATA = 16


def render_chat(chat: Chat, rendering: Rendering) -> Block:
    """A request's body. Raises BadRequest, or Unsupported for what Converse cannot say.

    What only some models are told in Converse's own words goes into
    `additionalModelRequestFields`, for Claude; of sampling and thinking
    :mod:`proxy.dialects._claude` says what is left out for it.
    """
    omissions, refuses = rendering.omissions, rendering.quirks.refuses
    claude = _is_claude(rendering)
    body, thought = _question(chat, rendering)
    for name in ("seed", "logit_bias", "user", "cache_key"):
        omissions.hint(name, getattr(chat, name))
    # Values that change nothing need no carrying.
    for name in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        omissions.hint(name, getattr(chat, name) or None)
    omissions.hint("n", chat.n if chat.n != 1 else None)
    temperature, top_p, top_k = chat.temperature, chat.top_p, chat.top_k
    if claude:
        temperature, top_p, top_k = sampling(chat, rendering, thinks=thought.thinks)
    elif temperature is not None and temperature > 1:
        omissions.hint("temperature")
        temperature = None
    inference: Block = {}
    for name, field, value in (
        ("max_tokens", "maxTokens", chat.max_tokens),
        ("temperature", "temperature", temperature),
        ("top_p", "topP", top_p),
        ("stop", "stopSequences", [stop for stop in chat.stop if stop] or None),
    ):
        if name in refuses:
            omissions.hint(name, value)
        elif value is not None:
            inference[field] = value
    if chat.max_tokens is None and thought.budget:
        inference["maxTokens"] = rendering.quirks.default_max_tokens + thought.budget
    if inference:
        body["inferenceConfig"] = inference
    if claude and "top_k" not in refuses:
        if top_k is not None:
            body.setdefault("additionalModelRequestFields", {})["top_k"] = whole(top_k)
    else:
        omissions.hint("top_k", top_k)
    if claude and chat.stop:
        # It says otherwise that it met one, and not which.
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    _format(chat, rendering, body)
    if chat.service_tier in _TIERS and "service_tier" not in refuses:
        body["serviceTier"] = {"type": chat.service_tier}
    elif chat.service_tier != "auto":
        omissions.hint("service_tier", chat.service_tier)
    if chat.metadata:
        words = [*chat.metadata, *chat.metadata.values()]
        if len(chat.metadata) <= _MAX_METADATA and all(map(_is_metadata, words)):
            body["requestMetadata"] = chat.metadata
        else:
            omissions.hint("metadata")
    return body


def render_question(chat: Chat, rendering: Rendering) -> Block:
    """What of a request tells the model something, and so is counted."""
    body, _ = _question(chat, rendering)
    body.pop("outputConfig", None)
    return body


def _question(chat: Chat, rendering: Rendering) -> tuple[Block, Thought]:
    omit_foreign(chat, ORIGIN, rendering.omissions)
    conversation = Conversation(chat, rendering)
    body: Block = {"messages": conversation.messages}
    if conversation.system:
        body["system"] = conversation.system
    _tools(chat, rendering, body, called=conversation.calls)
    if _is_claude(rendering):
        thought = think(chat, rendering, resumes=conversation.resumes)
    else:
        thought = _effort(chat, rendering)
    if thought.thinking is not None:
        body["additionalModelRequestFields"] = {"thinking": thought.thinking}
    if thought.effort is not None:
        body["outputConfig"] = {"effort": thought.effort}
    return body, thought


def _is_claude(rendering: Rendering) -> bool:
    return "claude" in rendering.model


def _effort(chat: Chat, rendering: Rendering) -> Thought:
    """How hard a model is to think that is not Claude: in a word, or not at all."""
    reasoning = chat.reasoning
    if reasoning is None:
        return Thought()
    effort = reasoning.effort
    if effort is None and reasoning.budget is not None:
        effort = effort_of(reasoning.budget)
    if effort in (None, "none") or "reasoning" in rendering.quirks.refuses:
        rendering.omissions.hint("reasoning")
        return Thought()
    return Thought(None, "low" if effort == "minimal" else effort)


def _format(chat: Chat, rendering: Rendering, body: Block) -> None:
    wanted = chat.format
    if wanted is None:
        return
    if wanted.schema is None:
        rendering.omissions.refuse("a response format without a schema", param="response_format")
        return
    schema = {"schema": bytes(wanted.schema).decode(), "name": wanted.name or "answer"}
    if wanted.description:
        schema["description"] = wanted.description
    structure = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    body.setdefault("outputConfig", {})["textFormat"] = structure


def _tools(chat: Chat, rendering: Rendering, body: Block, *, called: bool) -> None:
    choice, tools = chat.tool_choice, chat.tools
    if choice is not None and choice.mode == "none":
        # There is no word for it: a model without tools calls none. Where the conversation has
        # calls already, it would be refused without them.
        if called:
            rendering.omissions.refuse("`tool_choice` none after calls", param="tool_choice")
        return
    if choice is not None and choice.mode == "named" and len(choice.names) > 1:
        # One of several must be called: any tool, where there are no others.
        tools = [tool for tool in tools if tool.name in choice.names]
    if not tools:
        return
    rendering.omissions.hint("parallel_tools", False if chat.parallel_tools is False else None)
    listed: list[Block] = []
    for tool in tools:
        listed.append({"toolSpec": _tool(tool, rendering)})
        listed += cache_point(tool.cache, rendering)
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
    spec: Block = {"name": tool.name, "inputSchema": {"json": _schema(tool.schema)}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    return spec


def _schema(schema: Raw | None) -> object:
    """A schema of arguments must say that they are an object, which others take for granted."""
    if schema is None:
        return {"type": "object", "properties": {}}
    try:
        members = _object(schema)
    except msgspec.ValidationError:
        return schema
    return schema if "type" in members else {"type": "object", **members}
