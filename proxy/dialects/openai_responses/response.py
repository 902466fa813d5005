"""The response object of OpenAI's Responses, as a client that asked a chat is to see it."""

import time
import uuid
from hashlib import blake2b
from typing import Any

from proxy.chat import Chat
from proxy.dialects._openai.logprobs import spelled
from proxy.dialects._openai.settings import effort
from proxy.dialects._openai.usage import in_responses
from proxy.dialects.openai_responses.render import choice_spelled, format_spelled, tool_spelled
from proxy.dialects.openai_responses.wire import NAME
from proxy.event import Begin, Logprob, Stop, Usage
from proxy.exchange import Raw

Body = dict[str, Any]


def begun(begin: Begin, ask: Chat) -> Body:
    """The response as it begins; it repeats what was asked, as SDKs expect it to."""
    reasoning = ask.reasoning
    summary = "auto" if reasoning is not None and reasoning.show else None
    text: Body = {"format": format_spelled(ask.format)}
    if "verbosity" in ask.extra:
        text["verbosity"] = ask.extra["verbosity"]
    tools = [tool_spelled(tool, own=ask.origin == NAME) for tool in ask.tools]
    choice = "auto" if ask.tool_choice is None else choice_spelled(ask.tool_choice, ask.tools)
    return {
        "id": begin.id or f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": begin.created or time.time_ns() // 1_000_000_000,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": ask.max_tokens,
        "metadata": ask.metadata or {},
        "model": begin.model or ask.model,
        "output": [],
        "parallel_tool_calls": ask.parallel_tools is not False,
        "previous_response_id": None,
        "prompt_cache_key": ask.cache_key,
        "reasoning": {"effort": effort(ask), "summary": summary},
        "service_tier": begin.service_tier or None,
        "store": False,
        "temperature": 1.0 if ask.temperature is None else ask.temperature,
        "text": text,
        "tool_choice": choice,
        "tools": tools,
        "top_logprobs": ask.top_logprobs or 0,
        "top_p": 1.0 if ask.top_p is None else ask.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": ask.user,
    }


def ended(response: Body, output: list[Body | Raw], stop: Stop | None, usage: Usage | None) -> Body:
    """The response as it ended."""
    why = incomplete(stop)
    return response | {
        "status": "completed" if why is None else "incomplete",
        "incomplete_details": None if why is None else {"reason": why},
        "output": output,
        "usage": None if usage is None else in_responses(usage),
    }


def incomplete(stop: Stop | None) -> str | None:
    """Why the response is not complete; None if it is.

    A refusal in words is complete, and so is the turn of a model that pauses.
    """
    reason = stop.reason if stop is not None else "stop"
    if reason in ("length", "context"):
        return "max_output_tokens"
    return "content_filter" if reason == "filter" else None


def tokens(some: list[Logprob]) -> list[Body]:
    """Log-probabilities, whose bytes are never null here."""
    return [_token(spelled(token)) for token in some]


def item_id(prefix: str, response: str, place: int) -> str:
    """The id of an item: another for each, and the same whenever it is asked for."""
    digest = blake2b(f"{response}/{place}".encode(), digest_size=24).hexdigest()
    return f"{prefix}_{digest}"


def _token(said: Body) -> Body:
    if said["bytes"] is None:
        said["bytes"] = list(said["token"].encode())
    for top in said.get("top_logprobs", ()):
        _token(top)
    return said
