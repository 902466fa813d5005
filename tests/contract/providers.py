"""Providers of each API, written by hand from their documentation: no code of the proxy's.

`answer` spells an answer as such a provider would send it, whole or streamed; `read` says what it
was asked.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.contract.features import MORE_THAN_ONE_TEXT, Call, Said, Seen, Turn

Body = dict[str, Any]


@dataclass(frozen=True)
class Provider:
    """One API."""

    dialect: str
    answer: Callable[[Said, bool], tuple[str, bytes]]
    read: Callable[[str, Body], Seen]
    error: tuple[int, bytes]
    """How it says that a rate limit is reached."""
    broken: bytes
    """The event in a stream that says that it is overloaded."""
    lacks: frozenset[str] = frozenset()
    """Features that its API has no words for."""


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _sse(*events: Body, named: bool = False, end: bytes = b"", eol: bytes = b"\n") -> bytes:
    out = []
    for event in events:
        name = b"event: %b%b" % (event["type"].encode(), eol) if named else b""
        out.append(b"%bdata: %b%b%b" % (name, _json(event), eol, eol))
    return b"".join(out) + end


def _pieces(text: str) -> Iterable[str]:
    return (text[at : at + 5] for at in range(0, len(text), 5))


def _arguments(city: str) -> str:
    return json.dumps({"city": city})


_STREAM = "text/event-stream"
_JSON = "application/json"


# OpenAI Chat Completions

_CHAT_STOPS = {"stop": "stop", "length": "length", "tools": "tool_calls"}


def _chat_usage(said: Said) -> Body:
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
    }


def _chat_calls(said: Said) -> list[Body]:
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": "weather", "arguments": _arguments(city)},
        }
        for number, city in enumerate(said.calls)
    ]


def chat_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "up-model"}
    stop = _CHAT_STOPS[said.stop]
    if not stream:
        message: Body = {"role": "assistant", "content": said.text or None, "refusal": None}
        if said.thinking:
            message["reasoning_content"] = said.thinking
        if said.calls:
            message["tool_calls"] = _chat_calls(said)
        choice = {"index": 0, "message": message, "finish_reason": stop, "logprobs": None}
        body = head | {"object": "chat.completion", "choices": [choice], "usage": _chat_usage(said)}
        return _JSON, _json(body)

    def chunk(delta: Body, finish: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return head | {"object": "chat.completion.chunk", "choices": [choice], "usage": None}

    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": piece}) for piece in _pieces(said.thinking)]
    events += [chunk({"content": piece}) for piece in _pieces(said.text)]
    # Calls begin one after the other; their arguments interleave.
    for index, call in enumerate(_chat_calls(said)):
        begun = call | {"index": index, "function": {"name": "weather", "arguments": ""}}
        events.append(chunk({"tool_calls": [begun]}))
    halves = [
        (call["function"]["arguments"][:6], call["function"]["arguments"][6:])
        for call in _chat_calls(said)
    ]
    for half in (0, 1):
        for index, parts in enumerate(halves):
            delta = {"index": index, "function": {"arguments": parts[half]}}
            events.append(chunk({"tool_calls": [delta]}))
    events.append(chunk({}, stop))
    usage = head | {"object": "chat.completion.chunk", "choices": [], "usage": _chat_usage(said)}
    return _STREAM, _sse(*events, usage, end=b"data: [DONE]\n\n")


def _texts(content: Any, kinds: tuple[str, ...] = ("text",)) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if part.get("type", "text") in kinds)


def chat_read(path: str, body: Body) -> Seen:
    assert path == "/v1/chat/completions"
    seen = Seen(body["model"], stream=body.get("stream", False))
    asked: set[str] = set()
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            seen.system += _texts(content)
        elif role == "tool":
            assert message["tool_call_id"] in asked
            seen.turns.append(Turn("tool", _texts(content), answers=message["tool_call_id"]))
        else:
            images = [part for part in content or () if isinstance(part, dict)]
            urls = [part["image_url"]["url"] for part in images if part["type"] == "image_url"]
            calls = tuple(
                Call(call["id"], json.loads(call["function"]["arguments"])["city"])
                for call in message.get("tool_calls") or ()
            )
            asked |= {call.id for call in calls}
            image = urls[0].removeprefix("data:image/png;base64,") if urls else ""
            seen.turns.append(Turn(role, _texts(content), image, calls))
    seen.tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    seen.must_call = body.get("tool_choice") == "required"
    if (wanted := body.get("response_format")) is not None:
        seen.schema = wanted["json_schema"]["schema"]
    seen.thinks = body.get("reasoning_effort") == "high"
    seen.max_tokens = body.get("max_completion_tokens", body.get("max_tokens"))
    stop = body.get("stop") or ()
    seen.stop = (stop,) if isinstance(stop, str) else tuple(stop)
    seen.temperature = body.get("temperature")
    return seen


# OpenAI Completions


def completions_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000}
    head["model"] = "up-model"

    def choice(text: str, finish: str | None) -> Body:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}

    usage = {"usage": _chat_usage(said)}
    stop = _CHAT_STOPS[said.stop]
    if not stream:
        return _JSON, _json(head | {"choices": [choice(said.text, stop)]} | usage)
    *pieces, last = _pieces(said.text)
    choices = [*(choice(piece, None) for piece in pieces), choice(last, stop)]
    events = [head | {"choices": [each], "usage": None} for each in choices]
    return _STREAM, _sse(*events, head | {"choices": []} | usage, end=b"data: [DONE]\n\n")


def completions_read(path: str, body: Body) -> Seen:
    assert path == "/v1/completions"
    assert body.keys() <= {
        *("model", "prompt", "stream", "stream_options", "max_tokens", "stop", "temperature"),
    }
    return Seen(
        body["model"],
        turns=[Turn("user", body["prompt"])],
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop") or ()),
        temperature=body.get("temperature"),
        stream=body.get("stream", False),
    )


# OpenAI Responses


def responses_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    output: list[Body] = []
    if said.thinking:
        summary = [{"type": "summary_text", "text": said.thinking}]
        output.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
        output.append(message | {"content": [part]})
    for number, city in enumerate(said.calls):
        output.append(
            {
                "id": f"fc_{number}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{number}",
                "name": "weather",
                "arguments": _arguments(city),
            }
        )
    cut = said.stop == "length"
    response: Body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": "up-model",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": said.input_tokens,
            "input_tokens_details": {"cached_tokens": said.cached_tokens},
            "output_tokens": said.output_tokens,
            "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
            "total_tokens": said.input_tokens + said.output_tokens,
        },
    }
    if not stream:
        return _JSON, _json(response)
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    events: list[Body] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]

    def add(kind: str, *parts: Body, **more: Any) -> None:
        event: Body = {"type": f"response.{kind}", **more}
        for part in parts:
            event |= part
        events.append(event)

    for index, item in enumerate(output):
        at: Body = {"output_index": index}
        where: Body = at | {"item_id": item["id"]}
        if item["type"] == "reasoning":
            add("output_item.added", at, item=item | {"summary": []})
            where |= {"summary_index": 0}
            name = "reasoning_summary"
            add(f"{name}_part.added", where, part={"type": "summary_text", "text": ""})
            for piece in _pieces(said.thinking):
                add(f"{name}_text.delta", where, delta=piece)
            add(f"{name}_text.done", where, text=said.thinking)
            add(f"{name}_part.done", where, part=item["summary"][0])
        elif item["type"] == "message":
            add("output_item.added", at, item=item | {"content": [], "status": "in_progress"})
            where |= {"content_index": 0}
            part = item["content"][0]
            add("content_part.added", where, part=part | {"text": ""})
            for piece in _pieces(said.text):
                add("output_text.delta", where, delta=piece, logprobs=[])
            add("output_text.done", where, text=said.text, logprobs=[])
            add("content_part.done", where, part=part)
        else:
            add("output_item.added", at, item=item | {"arguments": "", "status": "in_progress"})
            name = "function_call_arguments"
            for piece in _pieces(item["arguments"]):
                add(f"{name}.delta", where, delta=piece)
            add(f"{name}.done", where, arguments=item["arguments"])
        add("output_item.done", at, item=item)
    events.append({"type": f"response.{response['status']}", "response": response})
    numbered = [event | {"sequence_number": n} for n, event in enumerate(events)]
    return _STREAM, _sse(*numbered, named=True)


def responses_read(path: str, body: Body) -> Seen:
    assert path == "/v1/responses"
    seen = Seen(body["model"], stream=body.get("stream", False))
    seen.system = body.get("instructions") or ""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    asked: set[str] = set()
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            asked.add(item["call_id"])
            call = Call(item["call_id"], json.loads(item["arguments"])["city"])
            if seen.turns and seen.turns[-1].calls:
                seen.turns[-1] = Turn("assistant", calls=(*seen.turns[-1].calls, call))
            else:
                seen.turns.append(Turn("assistant", calls=(call,)))
        elif kind == "function_call_output":
            assert item["call_id"] in asked
            text = _texts(item["output"], ("input_text", "output_text"))
            seen.turns.append(Turn("tool", text, answers=item["call_id"]))
        elif item["role"] in ("system", "developer"):
            seen.system += _texts(item["content"], ("input_text",))
        else:
            parts = item["content"] if isinstance(item["content"], list) else []
            urls = [part["image_url"] for part in parts if part["type"] == "input_image"]
            image = urls[0].removeprefix("data:image/png;base64,") if urls else ""
            text = _texts(item["content"], ("input_text", "output_text"))
            seen.turns.append(Turn(item["role"], text, image))
    seen.tools = [tool["name"] for tool in body.get("tools") or ()]
    seen.must_call = body.get("tool_choice") == "required"
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        seen.schema = wanted["schema"]
    seen.thinks = (body.get("reasoning") or {}).get("effort") == "high"
    seen.max_tokens = body.get("max_output_tokens")
    seen.temperature = body.get("temperature")
    return seen


# Anthropic Messages

_ANTHROPIC_STOPS = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use"}


def anthropic_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    blocks: list[Body] = []
    if said.thinking:
        blocks.append({"type": "thinking", "thinking": said.thinking, "signature": "c2ln"})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    for number, city in enumerate(said.calls):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "weather"}
        blocks.append(use | {"input": {"city": city}})
    usage = {
        "input_tokens": said.input_tokens - said.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": said.cached_tokens,
        "output_tokens": said.output_tokens,
    }
    if said.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": said.reasoning_tokens}  # type: ignore[assignment]
    message: Body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up-model",
        "content": blocks,
        "stop_reason": _ANTHROPIC_STOPS[said.stop],
        "stop_sequence": None,
        "usage": usage,
    }
    if not stream:
        return _JSON, _json(message)
    begun = message | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    events: list[Body] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(blocks):
        at = {"index": index}
        if block["type"] == "thinking":
            empty = block | {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": p} for p in _pieces(said.thinking)]
            deltas.append({"type": "signature_delta", "signature": "c2ln"})
        elif block["type"] == "text":
            empty = block | {"text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(said.text)]
        else:
            empty = block | {"input": {}}
            pieces = ["", *_pieces(json.dumps(block["input"]))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        events.append({"type": "content_block_start", "content_block": empty} | at)
        if index == 0:
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "delta": delta} | at for delta in deltas]
        events.append({"type": "content_block_stop"} | at)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": usage})
    events.append({"type": "message_stop"})
    return _STREAM, _sse(*events, named=True)


def anthropic_read(path: str, body: Body) -> Seen:
    assert path == "/v1/messages"
    assert body["max_tokens"] >= 1
    seen = Seen(body["model"], stream=body.get("stream", False))
    seen.system = _texts(body.get("system"))
    previous = ""
    asked: list[str] = []
    for message in body["messages"]:
        assert message["role"] != previous, "turns must alternate"
        previous = message["role"]
        content = message["content"]
        if isinstance(content, str):
            seen.turns.append(Turn(message["role"], content))
            continue
        results = [block for block in content if block["type"] == "tool_result"]
        assert content[: len(results)] == results, "results come first"
        if asked:
            assert sorted(result["tool_use_id"] for result in results) == sorted(asked)
        for result in results:
            text = _texts(result["content"])
            seen.turns.append(Turn("tool", text, answers=result["tool_use_id"]))
        images = [block["source"]["data"] for block in content if block["type"] == "image"]
        uses = [block for block in content if block["type"] == "tool_use"]
        calls = tuple(Call(use["id"], use["input"]["city"]) for use in uses)
        asked = [call.id for call in calls]
        texts = [block["text"] for block in content if block["type"] == "text"]
        assert all(texts)
        if texts or images or calls:
            image = images[0] if images else ""
            seen.turns.append(Turn(message["role"], "".join(texts), image, calls))
    seen.tools = [tool["name"] for tool in body.get("tools") or ()]
    seen.must_call = (body.get("tool_choice") or {}).get("type") == "any"
    output = body.get("output_config") or {}
    if (wanted := output.get("format")) is not None:
        seen.schema = wanted["schema"]
    thinking = body.get("thinking") or {}
    seen.thinks = thinking.get("type") in ("enabled", "adaptive") or output.get("effort") == "high"
    seen.max_tokens = body["max_tokens"]
    seen.stop = tuple(body.get("stop_sequences") or ())
    seen.temperature = body.get("temperature")
    return seen


# Gemini


def gemini_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    thoughts: list[Body] = [{"text": piece, "thought": True} for piece in _pieces(said.thinking)]
    texts: list[Body] = [{"text": piece} for piece in _pieces(said.text)]
    calls: list[Body] = [
        {"functionCall": {"name": "weather", "args": {"city": city}}} for city in said.calls
    ]
    stop = "MAX_TOKENS" if said.stop == "length" else "STOP"
    usage = {
        "promptTokenCount": said.input_tokens,
        "cachedContentTokenCount": said.cached_tokens,
        "candidatesTokenCount": said.output_tokens - said.reasoning_tokens,
        "thoughtsTokenCount": said.reasoning_tokens,
        "totalTokenCount": said.input_tokens + said.output_tokens,
    }
    head = {"modelVersion": "up-model", "responseId": "r1", "usageMetadata": usage}

    def response(parts: list[Body], finish: str | None) -> Body:
        candidate: Body = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        return {"candidates": [candidate]} | head

    if not stream:
        whole = [{"text": said.text}] if said.text else []
        thought = [{"text": said.thinking, "thought": True}] if said.thinking else []
        return _JSON, _json(response([*thought, *whole, *calls], stop))
    parts = [*thoughts, *texts, *calls]
    events = [response([part], None) for part in parts[:-1]] + [response(parts[-1:], stop)]
    return _STREAM, _sse(*events, eol=b"\r\n")


def gemini_read(path: str, body: Body) -> Seen:
    before, _, method = path.partition("?")[0].rpartition(":")
    assert before.startswith("/v1beta/models/")
    stream = method == "streamGenerateContent"
    assert path.endswith("?alt=sse") == stream
    seen = Seen(before.removeprefix("/v1beta/models/"), stream=stream)
    system = body.get("systemInstruction") or {"parts": []}
    seen.system = "".join(part["text"] for part in system["parts"])
    previous = ""
    pending: list[str] = []
    for content in body["contents"]:
        role = content.get("role", "user")
        assert role != previous, "turns must alternate"
        previous = role
        parts = content["parts"]
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        for result in results:
            assert result["name"] == "weather"
            answer = result["response"]
            text = answer.get("output") or answer.get("result") or ""
            seen.turns.append(Turn("tool", text, answers=pending.pop(0)))
        calls = []
        for number, part in enumerate(part for part in parts if "functionCall" in part):
            called = part["functionCall"]
            call = Call(called.get("id") or f"call_{'ab'[number]}", called["args"]["city"])
            calls.append(call)
        pending += [call.id for call in calls]
        # Their own SDK spells base64 as URLs have it.
        data = [part["inlineData"]["data"] for part in parts if "inlineData" in part]
        images = [each.replace("-", "+").replace("_", "/") for each in data]
        text = "".join(part["text"] for part in parts if "text" in part)
        if text or images or calls:
            name = "assistant" if role == "model" else role
            seen.turns.append(Turn(name, text, images[0] if images else "", tuple(calls)))
    declared = [d for tool in body.get("tools") or () for d in tool["functionDeclarations"]]
    seen.tools = [declaration["name"] for declaration in declared]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    seen.must_call = calling.get("mode") == "ANY"
    config = body.get("generationConfig") or {}
    seen.schema = config.get("responseJsonSchema", config.get("responseSchema"))
    if seen.schema is not None:
        assert config["responseMimeType"] == "application/json"
    thinking = config.get("thinkingConfig") or {}
    level = thinking.get("thinkingLevel") or thinking.get("thinking_level")
    seen.thinks = level == "HIGH" or thinking.get("thinkingBudget", 0) > 0
    seen.max_tokens = config.get("maxOutputTokens")
    seen.stop = tuple(config.get("stopSequences") or ())
    seen.temperature = config.get("temperature")
    return seen


# Bedrock Converse

_CONVERSE_STOPS = _ANTHROPIC_STOPS


def _frame(kind: str, payload: Body, message_type: str = "event") -> bytes:
    """AWS's event-stream framing: two lengths, their checksum, headers, payload, checksum."""
    headers = b""
    for name, value in (
        (":message-type", message_type),
        (":event-type" if message_type == "event" else ":exception-type", kind),
        (":content-type", "application/json"),
    ):
        word = value.encode()
        headers += struct.pack("!B", len(name)) + name.encode() + b"\x07"
        headers += struct.pack("!H", len(word)) + word
    data = _json(payload)
    prelude = struct.pack("!II", 16 + len(headers) + len(data), len(headers))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    message = prelude + headers + data
    return message + struct.pack("!I", zlib.crc32(message))


def converse_answer(said: Said, stream: bool) -> tuple[str, bytes]:
    usage = {
        "inputTokens": said.input_tokens - said.cached_tokens,
        "outputTokens": said.output_tokens,
        "totalTokens": said.input_tokens + said.output_tokens,
        "cacheReadInputTokens": said.cached_tokens,
        "cacheWriteInputTokens": 0,
    }
    blocks: list[Body] = []
    if said.thinking:
        reasoning = {"text": said.thinking, "signature": "c2ln"}
        blocks.append({"reasoningContent": {"reasoningText": reasoning}})
    if said.text:
        blocks.append({"text": said.text})
    for number, city in enumerate(said.calls):
        use = {"toolUseId": f"tooluse_{number}", "name": "weather", "input": {"city": city}}
        blocks.append({"toolUse": use})
    stop = _CONVERSE_STOPS[said.stop]
    if not stream:
        message = {"role": "assistant", "content": blocks}
        body = {"output": {"message": message}, "stopReason": stop, "usage": usage}
        return _JSON, _json(body | {"metrics": {"latencyMs": 10}})
    frames = [_frame("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        at = {"contentBlockIndex": index}
        if "text" in block:
            deltas: list[Body] = [{"text": piece} for piece in _pieces(said.text)]
        elif "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            frames.append(_frame("contentBlockStart", {"start": start} | at))
            deltas = [{"toolUse": {"input": p}} for p in _pieces(json.dumps(use["input"]))]
        else:
            deltas = [{"reasoningContent": {"text": piece}} for piece in _pieces(said.thinking)]
            deltas.append({"reasoningContent": {"signature": "c2ln"}})
        frames += [_frame("contentBlockDelta", {"delta": delta} | at) for delta in deltas]
        frames.append(_frame("contentBlockStop", at))
    frames.append(_frame("messageStop", {"stopReason": stop}))
    frames.append(_frame("metadata", {"usage": usage, "metrics": {"latencyMs": 10}}))
    return "application/vnd.amazon.eventstream", b"".join(frames)


def converse_read(path: str, body: Body) -> Seen:
    before, _, method = path.rpartition("/")
    assert before.startswith("/model/")
    seen = Seen(before.removeprefix("/model/"), stream=method == "converse-stream")
    seen.system = "".join(block["text"] for block in body.get("system") or ())
    previous = ""
    asked: set[str] = set()
    for message in body["messages"]:
        assert message["role"] != previous, "turns must alternate"
        previous = message["role"]
        content = message["content"]
        for result in (block["toolResult"] for block in content if "toolResult" in block):
            assert result["toolUseId"] in asked
            text = "".join(block["text"] for block in result["content"])
            seen.turns.append(Turn("tool", text, answers=result["toolUseId"]))
        calls = tuple(
            Call(block["toolUse"]["toolUseId"], block["toolUse"]["input"]["city"])
            for block in content
            if "toolUse" in block
        )
        asked |= {call.id for call in calls}
        images = [block["image"]["source"]["bytes"] for block in content if "image" in block]
        text = "".join(block["text"] for block in content if "text" in block)
        if text or images or calls:
            seen.turns.append(Turn(message["role"], text, images[0] if images else "", calls))
    config = body.get("toolConfig") or {}
    seen.tools = [tool["toolSpec"]["name"] for tool in config.get("tools") or ()]
    seen.must_call = "any" in (config.get("toolChoice") or {})
    wanted = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure")
    if wanted is not None:
        schema = wanted["jsonSchema"]["schema"]
        seen.schema = json.loads(schema) if isinstance(schema, str) else schema
    more = body.get("additionalModelRequestFields") or {}
    effort = (body.get("outputConfig") or {}).get("effort")
    seen.thinks = bool(more.get("thinking") or more.get("reasoning_config") or effort)
    inference = body.get("inferenceConfig") or {}
    seen.max_tokens = inference.get("maxTokens")
    seen.stop = tuple(inference.get("stopSequences") or ())
    seen.temperature = inference.get("temperature")
    return seen


PROVIDERS = (
    Provider(
        "openai_chat",
        chat_answer,
        chat_read,
        (429, b'{"error":{"message":"slow down","type":"rate_limit_error","code":"x"}}'),
        b'data: {"error":{"message":"too busy","type":"server_error","code":"overloaded"}}\n\n',
    ),
    Provider(
        "openai_responses",
        responses_answer,
        responses_read,
        (429, b'{"error":{"message":"slow down","type":"rate_limit_error","code":"x"}}'),
        b'event: error\ndata: {"type":"error","code":"server_error","message":"too busy",'
        b'"param":null,"sequence_number":2}\n\n',
    ),
    Provider(
        "openai_completions",
        completions_answer,
        completions_read,
        (429, b'{"error":{"message":"slow down","type":"rate_limit_error","code":"x"}}'),
        b'data: {"error":{"message":"too busy","type":"server_error","code":"overloaded"}}\n\n',
        lacks=MORE_THAN_ONE_TEXT,
    ),
    Provider(
        "anthropic_messages",
        anthropic_answer,
        anthropic_read,
        (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'),
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        b'"message":"too busy"}}\n\n',
    ),
    Provider(
        "gemini",
        gemini_answer,
        gemini_read,
        (429, b'{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}'),
        b'data: {"error":{"code":503,"message":"too busy","status":"UNAVAILABLE"}}\r\n\r\n',
    ),
    Provider(
        "bedrock_converse",
        converse_answer,
        converse_read,
        (429, b'{"message":"slow down"}'),
        _frame("serviceUnavailableException", {"message": "too busy"}, "exception"),
    ),
)
