"""A chat rendered as a request to Anthropic's."""

from typing import Any

import msgspec

from proxy.chat import Chat, Raw, Rendering, Tool, omit_foreign
from proxy.dialects._anthropic.conversation import Conversation, mark_cache, plainest
from proxy.dialects._anthropic.wire import ASKED_TIER_WORDS, ORIGIN, fields
from proxy.dialects._claude import Thought, sampling, think, whole

Body = dict[str, Any]


def render_chat(chat: Chat, rendering: Rendering) -> Body:
    """The fields of a request that asks for an answer, other than `model` and `stream`.

    What is refused, left out or changed, where the chat came in another dialect:

    - what :mod:`proxy.dialects._claude` says of sampling and of thinking;
    - `stop` sequences of nothing but white space are left out;
    - "any JSON" is refused: there is only JSON of a schema.
    """
    omissions = rendering.omissions
    body = render_question(chat, rendering)
    for name in ("seed", "logit_bias", "metadata", "cache_key"):
        omissions.hint(name, getattr(chat, name))
    # Values that change nothing need no carrying.
    for name in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        omissions.hint(name, getattr(chat, name) or None)
    omissions.hint("n", chat.n if chat.n != 1 else None)
    thinking = body.get("thinking")
    thought = Thought(thinking if isinstance(thinking, dict) else None)
    most = chat.max_tokens
    body["max_tokens"] = (
        rendering.quirks.default_max_tokens + thought.budget if most is None else most
    )
    _sampling(chat, rendering, body, thinks=thought.thinks)
    _stops(chat, rendering, body)
    if chat.user is not None:
        _hint(rendering, body, "user", "metadata", {"user_id": chat.user})
    if chat.service_tier is not None:
        tier = ASKED_TIER_WORDS.get(chat.service_tier, chat.service_tier)
        if chat.origin != ORIGIN and chat.service_tier not in ASKED_TIER_WORDS:
            omissions.hint("service_tier")
        else:
            _hint(rendering, body, "service_tier", "service_tier", tier)
    return body


def render_question(chat: Chat, rendering: Rendering) -> Body:
    """What of a request tells the model something, and so is counted."""
    omit_foreign(chat, ORIGIN, rendering.omissions)
    own = chat.origin == ORIGIN
    conversation = Conversation(chat, rendering)
    body: Body = {}
    if conversation.system:
        body["system"] = plainest(conversation.system)
    tools = chat.tools
    choice = chat.tool_choice
    if choice is not None and choice.mode == "named" and len(choice.names) > 1:
        # One of several must be called: any tool, where there are no others.
        tools = [tool for tool in tools if tool.name in choice.names]
    if tools:
        body["tools"] = [_tool(tool, rendering, own=own) for tool in tools]
    if tools or own:
        _choice(chat, body)
    body["messages"] = conversation.messages
    if chat.format is not None:
        if chat.format.schema is None:
            rendering.omissions.refuse(
                "a response format without a schema", param="response_format"
            )
        rendering.omissions.hint("response_format.description", chat.format.description)
        schema = {"type": "json_schema", "schema": chat.format.schema}
        body["output_config"] = {"format": schema}
    if own:
        _own_reasoning(chat, body)
        _own_extra(chat, body)
    else:
        thought = think(chat, rendering, resumes=not conversation.thinks)
        if thought.effort is not None:
            body.setdefault("output_config", {})["effort"] = thought.effort
        if thought.thinking is not None:
            body["thinking"] = thought.thinking
    return body


def _hint(rendering: Rendering, body: Body, name: str, field: str, value: object) -> None:
    if name in rendering.quirks.refuses:
        rendering.omissions.hint(name, value)
    elif value is not None:
        body[field] = value


def _sampling(chat: Chat, rendering: Rendering, body: Body, *, thinks: bool) -> None:
    values = chat.temperature, chat.top_p, chat.top_k
    if chat.origin != ORIGIN:
        values = sampling(chat, rendering, thinks=thinks)
    for name, value in zip(("temperature", "top_p", "top_k"), values, strict=True):
        _hint(rendering, body, name, name, whole(value) if name == "top_k" else value)


def _stops(chat: Chat, rendering: Rendering, body: Body) -> None:
    stops = chat.stop
    if chat.origin != ORIGIN and not all(map(str.strip, stops)):
        rendering.omissions.hint("stop")
        stops = [stop for stop in stops if stop.strip()]
    _hint(rendering, body, "stop", "stop_sequences", stops or None)


def _tool(tool: Tool, rendering: Rendering, *, own: bool) -> Any:
    if tool.native is not None:
        return tool.native
    if tool.custom:
        rendering.omissions.refuse(f"the tool `{tool.name}`, which takes free text,", param="tools")
    spelled: Body = {"name": tool.name}
    if tool.description:
        spelled["description"] = tool.description
    spelled["input_schema"] = tool.schema if own else _schema(tool.schema)
    if tool.strict is not None and (tool.strict or own):
        spelled["strict"] = tool.strict
    mark_cache(spelled, tool.cache, rendering)
    if own:
        spelled.update(tool.extra)
    return spelled


def _schema(schema: Raw | None) -> Any:
    """A schema of arguments must say that they are an object, which others take for granted."""
    try:
        members = fields(schema) if schema is not None else {}
    except msgspec.ValidationError:
        return schema
    return schema if "type" in members else {"type": "object", **members}


def _choice(chat: Chat, body: Body) -> None:
    choice, parallel = chat.tool_choice, chat.parallel_tools
    spelled: Body = {"type": "auto"}
    if choice is not None:
        match choice.mode:
            case "none":
                spelled = {"type": "none"}
            case "required":
                spelled = {"type": "any"}
            case "named":
                one = len(choice.names) == 1
                spelled = {"type": "tool", "name": choice.names[0]} if one else {"type": "any"}
    elif parallel is not False:
        return
    if parallel is not None and spelled["type"] != "none" and (not parallel or choice is not None):
        spelled["disable_parallel_tool_use"] = not parallel
    body["tool_choice"] = spelled


def _own_reasoning(chat: Chat, body: Body) -> None:
    reasoning = chat.reasoning
    if reasoning is None:
        return
    if reasoning.effort is not None:
        body.setdefault("output_config", {})["effort"] = reasoning.effort
    if reasoning.budget == 0:
        body["thinking"] = {"type": "disabled"}
    elif reasoning.budget is not None:
        body["thinking"] = {"type": "adaptive"}
        if reasoning.budget > 0:
            body["thinking"] = {"type": "enabled", "budget_tokens": reasoning.budget}
        if reasoning.show is not None:
            body["thinking"]["display"] = "summarized" if reasoning.show else "omitted"


def _own_extra(chat: Chat, body: Body) -> None:
    for name, raw in chat.extra.items():
        if name == "output_config":
            body[name] = fields(raw) | body.get(name, {})
        else:
            body[name] = raw
