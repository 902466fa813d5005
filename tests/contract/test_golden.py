"""The same requests and answers, written by hand in each API's own words, after its documentation.

What one API's client asks has to become what the other API's documentation would have one write.
Where the proxy says it otherwise, `canonical` says so, and why.
"""

import json
from typing import Any

import pytest

from proxy.chat import Omissions, Rendering
from proxy.dialect import Dialect
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.dialects.gemini import GeminiGenerate
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses

Body = dict[str, Any]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        *(OpenAIChat(), OpenAIResponses(), AnthropicMessages()),
        *(GeminiGenerate(), BedrockConverse()),
    )
}
CHAT, RESPONSES, ANTHROPIC, GEMINI, CONVERSE = DIALECTS
PATHS = {GEMINI: "/v1beta/models/m:generateContent", CONVERSE: "/model/m/converse"}

SCHEMA: Body = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "City and state, e.g. San Francisco, CA"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["location"],
}
CITY = {"location": "Boston, MA"}
TOOL = {"name": "get_weather", "description": "Get the current weather in a given location."}
CALL = "call_1"
_RESULT = '{"temperature": 22}'

TOOLS: dict[str, Body] = {
    CHAT: {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the weather like in Boston?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": CALL,
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": json.dumps(CITY)},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": CALL, "content": _RESULT},
        ],
        "tools": [{"type": "function", "function": TOOL | {"parameters": SCHEMA}}],
        "tool_choice": "required",
        "max_tokens": 300,
    },
    RESPONSES: {
        "instructions": "You are a helpful assistant.",
        "input": [
            {"role": "user", "content": "What is the weather like in Boston?"},
            {"role": "assistant", "content": "Let me look."},
            {
                "type": "function_call",
                "call_id": CALL,
                "name": "get_weather",
                "arguments": json.dumps(CITY),
            },
            {"type": "function_call_output", "call_id": CALL, "output": _RESULT},
        ],
        "tools": [{"type": "function", **TOOL, "parameters": SCHEMA, "strict": False}],
        "tool_choice": "required",
        "max_output_tokens": 300,
    },
    ANTHROPIC: {
        "system": "You are a helpful assistant.",
        "messages": [
            {"role": "user", "content": "What is the weather like in Boston?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": CALL, "name": "get_weather", "input": CITY},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": CALL, "content": _RESULT}],
            },
        ],
        "tools": [TOOL | {"input_schema": SCHEMA}],
        "tool_choice": {"type": "any"},
        "max_tokens": 300,
    },
    GEMINI: {
        "systemInstruction": {"parts": [{"text": "You are a helpful assistant."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "What is the weather like in Boston?"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Let me look."},
                    {"functionCall": {"id": CALL, "name": "get_weather", "args": CITY}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": CALL,
                            "name": "get_weather",
                            "response": {"temperature": 22},
                        }
                    }
                ],
            },
        ],
        "tools": [{"functionDeclarations": [TOOL | {"parameters": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 300},
    },
    CONVERSE: {
        "system": [{"text": "You are a helpful assistant."}],
        "messages": [
            {"role": "user", "content": [{"text": "What is the weather like in Boston?"}]},
            {
                "role": "assistant",
                "content": [
                    {"text": "Let me look."},
                    {"toolUse": {"toolUseId": CALL, "name": "get_weather", "input": CITY}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": CALL, "content": [{"text": _RESULT}]}}],
            },
        ],
        "toolConfig": {
            "tools": [{"toolSpec": TOOL | {"inputSchema": {"json": SCHEMA}}}],
            "toolChoice": {"any": {}},
        },
        "inferenceConfig": {"maxTokens": 300},
    },
}

IMAGE = "/9j/4AAQSkZJRg=="
_URL = f"data:image/jpeg;base64,{IMAGE}"
SIGHT: dict[str, Body] = {
    CHAT: {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this image?"},
                    {"type": "image_url", "image_url": {"url": _URL}},
                ],
            }
        ],
        "max_tokens": 300,
        "temperature": 0.5,
    },
    RESPONSES: {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is in this image?"},
                    {"type": "input_image", "image_url": _URL, "detail": "auto"},
                ],
            }
        ],
        "max_output_tokens": 300,
        "temperature": 0.5,
    },
    ANTHROPIC: {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this image?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/jpeg", "data": IMAGE},
                    },
                ],
            }
        ],
        "max_tokens": 300,
        "temperature": 0.5,
    },
    GEMINI: {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is in this image?"},
                    {"inlineData": {"mimeType": "image/jpeg", "data": IMAGE}},
                ],
            }
        ],
        "generationConfig": {"maxOutputTokens": 300, "temperature": 0.5},
    },
    CONVERSE: {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "What is in this image?"},
                    {"image": {"format": "jpeg", "source": {"bytes": IMAGE}}},
                ],
            }
        ],
        "inferenceConfig": {"maxTokens": 300, "temperature": 0.5},
    },
}

ANSWER: Body = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
_NAMED = {"name": "answer", "schema": ANSWER, "strict": True}
SHAPE: dict[str, Body] = {
    CHAT: {
        "messages": [{"role": "user", "content": "Who?"}],
        "response_format": {"type": "json_schema", "json_schema": _NAMED},
        "max_tokens": 300,
    },
    RESPONSES: {
        "input": [{"role": "user", "content": "Who?"}],
        "text": {"format": {"type": "json_schema", **_NAMED}},
        "max_output_tokens": 300,
    },
    ANTHROPIC: {
        "messages": [{"role": "user", "content": "Who?"}],
        "output_config": {"format": {"type": "json_schema", "schema": ANSWER}},
        "max_tokens": 300,
    },
    GEMINI: {
        "contents": [{"role": "user", "parts": [{"text": "Who?"}]}],
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": ANSWER,
            "maxOutputTokens": 300,
        },
    },
    CONVERSE: {
        "messages": [{"role": "user", "content": [{"text": "Who?"}]}],
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "answer", "schema": json.dumps(ANSWER)}},
            }
        },
        "inferenceConfig": {"maxTokens": 300},
    },
}

SCENES = {"tools": TOOLS, "an image": SIGHT, "structured output": SHAPE}


def canonical(body: Body) -> Any:
    """A request with one of each two spellings that mean the same.

    - JSON in a string is that JSON: its white space is whoever's it was.
    - Gemini's `parametersJsonSchema` is its `parameters`, of any JSON Schema.
    - Responses keep what they are asked unless told otherwise, and are strict with tools unless
      told otherwise; nobody else is, so the proxy tells them both (`store`, `strict`).
    - `strict` of a format, and its name, are no matter of the APIs without them: OpenAI's are
      told "answer", and strict where that was said.
    - `"detail": "auto"` is what an image without it has.
    """
    body = {name: value for name, value in body.items() if name not in ("model", "store", "stream")}
    return _plain(body)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        return _plain(inner) if isinstance(inner, dict) else value
    if not isinstance(value, dict):
        return value
    names = {"parametersJsonSchema": "parameters"}
    return {
        names.get(name, name): _plain(each)
        for name, each in value.items()
        if name != "strict" and (name, each) != ("detail", "auto")
    }


pairs = pytest.mark.parametrize(
    ("origin", "target"),
    [(origin, target) for origin in DIALECTS for target in DIALECTS if origin != target],
)


@pairs
@pytest.mark.parametrize("scene", SCENES)
def test_a_request_becomes_what_the_other_api_would_have_one_write(
    scene: str, origin: str, target: str
) -> None:
    source, written = DIALECTS[origin], SCENES[scene]
    body = written[origin] if origin in PATHS else {"model": "m", **written[origin]}
    asked = source.read(source.parse(json.dumps(body).encode(), PATHS.get(origin, "")))
    omissions = Omissions(target, reject=True)
    rendered = DIALECTS[target].render(asked, Rendering(model="m", omissions=omissions))

    assert canonical(json.loads(rendered)) == canonical(written[target])


USED = {"input_tokens": 11, "output_tokens": 7}
ANSWERS: dict[str, Body] = {
    CHAT: {
        "id": "r1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "tool_calls": TOOLS[CHAT]["messages"][2]["tool_calls"],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    },
    RESPONSES: {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
            },
            TOOLS[RESPONSES]["input"][2] | {"id": "fc_1", "status": "completed"},
        ],
        "usage": USED | {"total_tokens": 18},
    },
    ANTHROPIC: {
        "id": "r1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": TOOLS[ANTHROPIC]["messages"][1]["content"],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": USED,
    },
    GEMINI: {
        "candidates": [
            {"index": 0, "content": TOOLS[GEMINI]["contents"][1], "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
        "modelVersion": "m",
        "responseId": "r1",
    },
    CONVERSE: {
        "output": {"message": TOOLS[CONVERSE]["messages"][1]},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
        "metrics": {"latencyMs": 1},
    },
}
_OWN = {"id", "responseId", "created", "created_at", "createTime", "model", "modelVersion"}
"""Names and times that an API makes up, and that not all of them have."""


def holds(found: Any, expected: Any) -> None:
    """All that is expected is found; an API may say more, such as what it knows nothing of."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            if name not in _OWN and name != "metrics":
                holds(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            holds(one, other)
    else:
        assert _plain(found) == _plain(expected)


@pairs
def test_an_answer_becomes_what_the_other_api_would_answer(origin: str, target: str) -> None:
    source, asker = DIALECTS[origin], DIALECTS[target]
    body = TOOLS[target] if target in PATHS else {"model": "m", **TOOLS[target]}
    asked = asker.read(asker.parse(json.dumps(body).encode(), PATHS.get(target, "")))
    events = source.decode(json.dumps(ANSWERS[origin]).encode())
    holds(json.loads(asker.encode(asked, events)), ANSWERS[target])
