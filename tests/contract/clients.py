"""The official SDKs as clients: each asks a feature in its own way and says what it understood."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai
from google import genai
from google.genai import errors as google_errors
from google.genai import types

from tests.contract.features import MORE_THAN_ONE_TEXT, SCHEMA, WEATHER, Feature, Said

Ask = Callable[[Any, Feature, bool], Awaitable[Said]]


class Unfinished(Exception):
    """A stream ended that had not come to its end."""


@dataclass(frozen=True)
class Client:
    """One SDK, speaking one dialect."""

    dialect: str
    name: str
    open: Callable[[str], Any]
    """An async context manager of the SDK's client, given the proxy's URL."""
    ask: Ask
    limited: type[Exception]
    """What it raises for a rate limit."""
    refused: type[Exception]
    """What it raises for a request that cannot be asked."""
    failed: tuple[type[Exception], ...]
    """What it raises, or may, for a stream that breaks."""
    lacks: frozenset[str] = frozenset()
    """Features that its API does not have."""


@asynccontextmanager
async def _openai(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def _anthropic(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def _google(url: str) -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=url)
    client = genai.Client(api_key="k", vertexai=False, http_options=options)
    async with client.aio as session:
        yield session


# OpenAI Chat Completions

_FUNCTION = {"name": "weather", "description": "The weather.", "parameters": WEATHER}


def _chat_messages(feature: Feature) -> list[Any]:
    messages: list[Any] = []
    if feature.system:
        messages.append({"role": "system", "content": feature.system})
    for turn in feature.turns:
        if turn.answers:
            messages.append({"role": "tool", "tool_call_id": turn.answers, "content": turn.text})
        elif turn.image:
            url = {"url": f"data:image/png;base64,{turn.image}"}
            image = {"type": "image_url", "image_url": url}
            parts = [{"type": "text", "text": turn.text}, image]
            messages.append({"role": turn.role, "content": parts})
        elif turn.calls:
            calls = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": "weather", "arguments": json.dumps({"city": call.city})},
                }
                for call in turn.calls
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        else:
            messages.append({"role": turn.role, "content": turn.text})
    return messages


_CHAT_STOPS = {"stop": "stop", "length": "length", "tool_calls": "tools"}


def chat_asked(feature: Feature) -> dict[str, Any]:
    """What an SDK is called with, in any language."""
    more: dict[str, Any] = {"model": "m", "messages": _chat_messages(feature)}
    if feature.tools:
        more["tools"] = [{"type": "function", "function": _FUNCTION}]
    if feature.must_call:
        more["tool_choice"] = "required"
    if feature.schema:
        named = {"name": "city", "schema": SCHEMA, "strict": True}
        more["response_format"] = {"type": "json_schema", "json_schema": named}
    if feature.effort:
        more["reasoning_effort"] = feature.effort
    if feature.max_tokens is not None:
        more["max_completion_tokens"] = feature.max_tokens
    if feature.stop:
        more["stop"] = list(feature.stop)
    if feature.temperature is not None:
        more["temperature"] = feature.temperature
    return more


async def _ask_chat(client: openai.AsyncOpenAI, feature: Feature, stream: bool) -> Said:
    more = chat_asked(feature)
    if not stream:
        return chat_said(await client.chat.completions.create(**more))
    more["stream_options"] = {"include_usage": True}
    if feature.said.stop == "length":
        # The helper refuses to parse what was cut short; its user would read chunks.
        return await _read_chunks(await client.chat.completions.create(stream=True, **more))
    async with client.chat.completions.stream(**more) as events:
        thinking = ""
        async for event in events:
            if event.type == "chunk":
                for choice in event.chunk.choices:
                    thinking += getattr(choice.delta, "reasoning_content", None) or ""
        return chat_said(await events.get_final_completion(), thinking)


async def _read_chunks(chunks: Any) -> Said:
    text, stop, usage = "", "", None
    async for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
        usage = chunk.usage or usage
    assert usage is not None
    return Said(
        text=text,
        stop=_CHAT_STOPS[stop],
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def chat_said(whole: Any, thinking: str | None = None) -> Said:
    """What an SDK understood."""
    [choice] = whole.choices
    message, usage = choice.message, whole.usage
    if thinking is None:
        thinking = getattr(message, "reasoning_content", None) or ""
    return Said(
        text=message.content or "",
        thinking=thinking,
        calls=tuple(
            json.loads(call.function.arguments)["city"] for call in message.tool_calls or ()
        ),
        stop=_CHAT_STOPS[choice.finish_reason],
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens or 0,
        reasoning_tokens=usage.completion_tokens_details.reasoning_tokens or 0,
    )


# OpenAI Completions


async def _ask_completions(client: openai.AsyncOpenAI, feature: Feature, stream: bool) -> Said:
    [turn] = feature.turns
    more: dict[str, Any] = {"model": "m", "prompt": turn.text}
    if feature.max_tokens is not None:
        more["max_tokens"] = feature.max_tokens
    if feature.stop:
        more["stop"] = list(feature.stop)
    if feature.temperature is not None:
        more["temperature"] = feature.temperature
    if not stream:
        whole = await client.completions.create(**more)
        [choice] = whole.choices
        assert whole.object == "text_completion"
        return _completion_said(choice.text, choice.finish_reason, whole.usage)
    text, stop, usage = "", "", None
    more["stream_options"] = {"include_usage": True}
    async for chunk in await client.completions.create(stream=True, **more):
        for choice in chunk.choices:
            text += choice.text
            stop = choice.finish_reason or stop
        usage = chunk.usage or usage
    return _completion_said(text, stop, usage)


def _completion_said(text: str, stop: str, usage: Any) -> Said:
    return Said(
        text=text,
        stop=_CHAT_STOPS[stop],
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens or 0,
    )


# OpenAI Responses


def _response_items(feature: Feature) -> list[Any]:
    items: list[Any] = []
    for turn in feature.turns:
        if turn.answers:
            result = {"type": "function_call_output", "call_id": turn.answers}
            items.append(result | {"output": turn.text})
        elif turn.image:
            url = f"data:image/png;base64,{turn.image}"
            image = {"type": "input_image", "image_url": url, "detail": "auto"}
            parts = [{"type": "input_text", "text": turn.text}, image]
            items.append({"role": turn.role, "content": parts})
        elif turn.calls:
            for call in turn.calls:
                item = {"type": "function_call", "call_id": call.id, "name": "weather"}
                items.append(item | {"arguments": json.dumps({"city": call.city})})
        else:
            items.append({"role": turn.role, "content": turn.text})
    return items


def responses_asked(feature: Feature) -> dict[str, Any]:
    """What an SDK is called with, in any language."""
    more: dict[str, Any] = {"input": _response_items(feature), "model": "m"}
    if feature.system:
        more["instructions"] = feature.system
    if feature.tools:
        more["tools"] = [{"type": "function", "strict": False, **_FUNCTION}]
    if feature.must_call:
        more["tool_choice"] = "required"
    if feature.schema:
        named = {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}
        more["text"] = {"format": named}
    if feature.effort:
        more["reasoning"] = {"effort": feature.effort, "summary": "auto"}
    if feature.max_tokens is not None:
        more["max_output_tokens"] = feature.max_tokens
    if feature.temperature is not None:
        more["temperature"] = feature.temperature
    return more


async def _ask_responses(client: openai.AsyncOpenAI, feature: Feature, stream: bool) -> Said:
    more = responses_asked(feature)
    if not stream:
        return responses_said(await client.responses.create(**more))
    text = thinking = ""
    async with client.responses.stream(**more) as events:
        final = None
        async for event in events:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.reasoning_summary_text.delta":
                thinking += event.delta
            elif event.type in ("response.completed", "response.incomplete"):
                final = event.response
        if final is None:
            # Their SDK hands an `error` event on, and leaves it at that.
            raise Unfinished("no terminal event")
        said = responses_said(final)
        assert (said.text, said.thinking) == (text, thinking), "deltas and the whole differ"
        return said


def responses_said(whole: Any) -> Said:
    """What an SDK understood."""
    thinking = "".join(
        part.text for item in whole.output if item.type == "reasoning" for part in item.summary
    )
    calls = tuple(
        json.loads(item.arguments)["city"] for item in whole.output if item.type == "function_call"
    )
    stop = "tools" if calls else "stop"
    if whole.status == "incomplete":
        assert whole.incomplete_details.reason == "max_output_tokens"
        stop = "length"
    return Said(
        text="".join(
            part.text for item in whole.output if item.type == "message" for part in item.content
        ),
        thinking=thinking,
        calls=calls,
        stop=stop,
        input_tokens=whole.usage.input_tokens,
        output_tokens=whole.usage.output_tokens,
        cached_tokens=whole.usage.input_tokens_details.cached_tokens,
        reasoning_tokens=whole.usage.output_tokens_details.reasoning_tokens,
    )


# Anthropic Messages


def _anthropic_messages(feature: Feature) -> list[Any]:
    messages: list[Any] = []
    for turn in feature.turns:
        if turn.answers:
            result = {"type": "tool_result", "tool_use_id": turn.answers, "content": turn.text}
            if messages and messages[-1]["role"] == "user":
                messages[-1]["content"].append(result)
            else:
                messages.append({"role": "user", "content": [result]})
        elif turn.image:
            source = {"type": "base64", "media_type": "image/png", "data": turn.image}
            parts = [{"type": "text", "text": turn.text}, {"type": "image", "source": source}]
            messages.append({"role": turn.role, "content": parts})
        elif turn.calls:
            uses = [
                {"type": "tool_use", "id": call.id, "name": "weather", "input": {"city": call.city}}
                for call in turn.calls
            ]
            messages.append({"role": "assistant", "content": uses})
        else:
            messages.append({"role": turn.role, "content": turn.text})
    return messages


_ANTHROPIC_STOPS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tools"}


def anthropic_asked(feature: Feature) -> dict[str, Any]:
    """What an SDK is called with, in any language."""
    more: dict[str, Any] = {"max_tokens": feature.max_tokens or 500, "model": "m"}
    more["messages"] = _anthropic_messages(feature)
    if feature.system:
        more["system"] = feature.system
    if feature.tools:
        tool = {"name": "weather", "description": "The weather.", "input_schema": WEATHER}
        more["tools"] = [tool]
    if feature.must_call:
        more["tool_choice"] = {"type": "any"}
    output: dict[str, Any] = {}
    if feature.schema:
        output["format"] = {"type": "json_schema", "schema": SCHEMA}
    if feature.effort:
        more["thinking"] = {"type": "enabled", "budget_tokens": 4096}
        output["effort"] = feature.effort
    if output:
        more["output_config"] = output
    if feature.stop:
        more["stop_sequences"] = list(feature.stop)
    if feature.temperature is not None:
        more["temperature"] = feature.temperature
    return more


async def _ask_anthropic(client: anthropic.AsyncAnthropic, feature: Feature, stream: bool) -> Said:
    more = anthropic_asked(feature)
    if "temperature" in more:
        # The SDK's types have it no more, and the API's version that most use still does.
        more["extra_body"] = {"temperature": more.pop("temperature")}
    if not stream:
        return anthropic_said(await client.messages.create(**more))
    async with client.messages.stream(**more) as events:
        text = ""
        async for piece in events.text_stream:
            text += piece
        said = anthropic_said(await events.get_final_message())
        assert said.text == text, "deltas and the whole differ"
        return said


def anthropic_said(whole: Any) -> Said:
    """What an SDK understood."""
    usage = whole.usage
    cached = usage.cache_read_input_tokens or 0
    details = getattr(usage, "output_tokens_details", None)
    return Said(
        text="".join(block.text for block in whole.content if block.type == "text"),
        thinking="".join(block.thinking for block in whole.content if block.type == "thinking"),
        calls=tuple(block.input["city"] for block in whole.content if block.type == "tool_use"),
        stop=_ANTHROPIC_STOPS[whole.stop_reason],
        input_tokens=usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
        output_tokens=usage.output_tokens,
        cached_tokens=cached,
        reasoning_tokens=getattr(details, "thinking_tokens", None) or 0,
    )


# Gemini


def _gemini_contents(feature: Feature) -> list[Any]:
    contents: list[Any] = []
    for turn in feature.turns:
        parts: list[Any] = []
        role = "model" if turn.role == "assistant" else "user"
        if turn.answers:
            answer = {"name": "weather", "response": {"output": turn.text}}
            parts.append({"function_response": answer})
        elif turn.calls:
            called = [{"name": "weather", "args": {"city": call.city}} for call in turn.calls]
            parts += [{"function_call": call} for call in called]
        else:
            parts.append({"text": turn.text})
            if turn.image:
                data = {"mime_type": "image/png", "data": turn.image}
                parts.append({"inline_data": data})
        if turn.answers and contents[-1]["role"] == "user":
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


async def _ask_gemini(client: Any, feature: Feature, stream: bool) -> Said:
    config: dict[str, Any] = {}
    if feature.system:
        config["system_instruction"] = feature.system
    if feature.tools:
        declared = {"name": "weather", "description": "d", "parameters_json_schema": WEATHER}
        config["tools"] = [{"function_declarations": [declared]}]
        config["automatic_function_calling"] = {"disable": True}
    if feature.must_call:
        config["tool_config"] = {"function_calling_config": {"mode": "ANY"}}
    if feature.schema:
        config |= {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
    if feature.effort:
        config["thinking_config"] = {"include_thoughts": True, "thinking_level": "HIGH"}
    if feature.max_tokens is not None:
        config["max_output_tokens"] = feature.max_tokens
    if feature.stop:
        config["stop_sequences"] = list(feature.stop)
    if feature.temperature is not None:
        config["temperature"] = feature.temperature
    asked = {"model": "m", "contents": _gemini_contents(feature), "config": config}
    if not stream:
        return _gemini_said([await client.models.generate_content(**asked)])
    chunks = await client.models.generate_content_stream(**asked)
    return _gemini_said([chunk async for chunk in chunks])


def _gemini_said(chunks: list[Any]) -> Said:
    text = thinking = ""
    calls: list[str] = []
    finish, usage = None, None
    for chunk in chunks:
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or ():
            finish = candidate.finish_reason or finish
            for part in (candidate.content and candidate.content.parts) or ():
                if part.function_call:
                    calls.append(part.function_call.args["city"])
                elif part.thought:
                    thinking += part.text or ""
                else:
                    text += part.text or ""
    assert usage is not None
    assert finish is not None
    stop = (
        "tools" if calls and finish == "STOP" else {"STOP": "stop", "MAX_TOKENS": "length"}[finish]
    )
    thoughts = usage.thoughts_token_count or 0
    return Said(
        text=text,
        thinking=thinking,
        calls=tuple(calls),
        stop=stop,
        input_tokens=usage.prompt_token_count,
        output_tokens=(usage.candidates_token_count or 0) + thoughts,
        cached_tokens=usage.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )


CLIENTS = (
    Client(
        "openai_chat",
        "OpenAI Chat (`openai`)",
        _openai,
        _ask_chat,
        openai.RateLimitError,
        openai.BadRequestError,
        (openai.APIError,),
    ),
    Client(
        "openai_responses",
        "OpenAI Responses (`openai`)",
        _openai,
        _ask_responses,
        openai.RateLimitError,
        openai.BadRequestError,
        (openai.APIError, httpx2.HTTPError, Unfinished),
    ),
    Client(
        "openai_completions",
        "OpenAI Completions (`openai`)",
        _openai,
        _ask_completions,
        openai.RateLimitError,
        openai.BadRequestError,
        (openai.APIError,),
        lacks=MORE_THAN_ONE_TEXT | {"reasoning"},
    ),
    Client(
        "anthropic_messages",
        "Anthropic Messages (`anthropic`)",
        _anthropic,
        _ask_anthropic,
        anthropic.RateLimitError,
        anthropic.BadRequestError,
        (anthropic.APIError,),
    ),
    Client(
        "gemini",
        "Gemini (`google-genai`)",
        _google,
        _ask_gemini,
        google_errors.ClientError,
        google_errors.ClientError,
        (google_errors.APIError, httpx2.HTTPError, aiohttp.ClientError),
    ),
)
