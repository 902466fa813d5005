"""What a request's top-level fields ask for."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import Chat, Format, Reasoning, Tool, ToolChoice
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import BadRequest
from proxy.exchange import Raw

CHAT = OpenAIChat()
MESSAGES = [{"role": "user", "content": "hi"}]


def read(**fields: Any) -> Chat:
    body = {"model": "m", "messages": MESSAGES} | fields
    chat = CHAT.read(CHAT.parse(json.dumps(body).encode()))
    assert isinstance(chat, Chat)
    return chat


def test_what_is_not_said_is_none() -> None:
    chat = read()

    assert (chat.model, chat.stream, chat.include_usage, chat.n) == ("m", False, False, 1)
    unsaid = (chat.temperature, chat.max_tokens, chat.format, chat.reasoning, chat.tool_choice)
    assert unsaid == (None,) * 5
    assert (chat.extra, chat.native, chat.origin) == ({}, [], NAME)


def test_null_is_as_good_as_absent() -> None:
    names = ("temperature", "tools", "stop", "response_format", "stream_options", "n", "x", "user")

    assert read(**dict.fromkeys(names)) == read()


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, "max_tokens", 7),
        ({"temperature": 1}, "temperature", 1.0),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"top_k": 5}, "top_k", 5.0),
        ({"seed": 2**62}, "seed", 2**62),
        ({"presence_penalty": -1}, "presence_penalty", -1.0),
        ({"frequency_penalty": 2}, "frequency_penalty", 2.0),
        ({"logit_bias": {"50256": -100}}, "logit_bias", Raw(b'{"50256":-100}')),
        ({"stop": "\n"}, "stop", ["\n"]),
        ({"stop": ["a", "b"]}, "stop", ["a", "b"]),
        ({"n": 3}, "n", 3),
        ({"logprobs": True}, "logprobs", True),
        ({"top_logprobs": 5}, "top_logprobs", 5),
        ({"user": "u"}, "user", "u"),
        ({"safety_identifier": "s"}, "user", "s"),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"metadata": {"a": "b"}}, "metadata", {"a": "b"}),
        ({"prompt_cache_key": "k"}, "cache_key", "k"),
        ({"parallel_tool_calls": False}, "parallel_tools", False),
        ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage", True),
        ({"reasoning_effort": "low"}, "reasoning", Reasoning(effort="low")),
        # OpenRouter's
        (
            {"reasoning": {"max_tokens": 9, "exclude": True}},
            "reasoning",
            Reasoning(budget=9, show=False),
        ),
        ({"reasoning": {"enabled": True}}, "reasoning", Reasoning(budget=-1)),
        ({"reasoning": {"enabled": False}}, "reasoning", Reasoning(budget=0)),
        ({"response_format": {"type": "text"}}, "format", None),
        ({"response_format": {"type": "json_object"}}, "format", Format()),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": {"maximum": 1}},
                }
            },
            "format",
            Format(schema=Raw(b'{"maximum":1}'), name="n", strict=True),
        ),
    ],
)
def test_what_fields_mean(fields: dict[str, Any], name: str, value: object) -> None:
    found = getattr(read(**fields), name)

    assert type(found) is type(value)
    # Raw values are equal if what they spell is.
    assert json.loads(msgspec.json.encode(found)) == json.loads(msgspec.json.encode(value))


def test_a_schema_keeps_its_spelling() -> None:
    schema = b'{"maximum": 1.50, "multipleOf": 12345678901234567890123}'
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"function":'
    chat = CHAT.read(CHAT.parse(body + b'{"name":"f","parameters":%b}}]}' % schema))

    assert isinstance(chat, Chat)
    assert chat.tools[0].schema is not None
    assert bytes(chat.tools[0].schema) == schema


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"type": "function", "function": {"name": "f"}}, Tool(name="f")),
        (
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "strict": True},
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            },
            Tool(name="f", description="d", strict=True, cache="1h"),
        ),
        (
            {"type": "custom", "custom": {"name": "f", "description": "d"}},
            Tool(name="f", description="d", custom=True),
        ),
    ],
)
def test_tools(tool: dict[str, Any], expected: Tool) -> None:
    assert read(tools=[tool]).tools == [expected]


def test_a_tool_that_the_provider_runs_is_kept_whole() -> None:
    tool = {"type": "browser_search", "x": [1]}
    [found] = read(tools=[tool]).tools

    assert (found.name, found.origin) == ("browser_search", NAME)
    assert json.loads(bytes(found.native or b"")) == tool


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ["f"])),
        ({"type": "function", "name": "f"}, ToolChoice("named", ["f"])),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("named", ["f"])),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice("named", ["f"]),
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "name": "g"}]},
            },
            ToolChoice("auto", ["g"]),
        ),
    ],
)
def test_tool_choices(choice: object, expected: ToolChoice) -> None:
    assert read(tool_choice=choice).tool_choice == expected


def test_functions_of_old_are_tools_called_one_at_a_time() -> None:
    functions = [{"name": "f", "parameters": {}}, {"name": "g"}]
    chat = read(functions=functions, function_call={"name": "g"})

    assert [tool.name for tool in chat.tools] == ["f", "g"]
    assert (chat.legacy_functions, chat.parallel_tools) == (True, False)
    assert chat.tool_choice == ToolChoice("named", ["g"])
    assert read(functions=functions, function_call="none").tool_choice == ToolChoice("none")


def test_what_is_not_known_is_a_hint() -> None:
    chat = read(verbosity="low", store=True, min_p=0.1, prediction={"type": "content"})

    assert set(chat.extra) == {"verbosity", "store", "min_p", "prediction"}
    assert chat.native == []
    assert bytes(read(user="u", safety_identifier="s").extra["user"]) == b'"u"'
    options = read(stream_options={"include_usage": True, "x": 1})
    assert bytes(options.extra["stream_options"]) == b'{"x":1}'
    assert bytes(read(metadata={"a": 1}).extra["metadata"]) == b'{"a": 1}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio", {"voice": "x"}),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("moderation", {"model": "m"}),
        ("response_format", {"type": "grammar"}),
    ],
)
def test_what_changes_the_meaning_is_native(name: str, value: object) -> None:
    chat = read(**{name: value})

    assert chat.native == [name]
    assert json.loads(bytes(chat.extra[name])) == value


def test_text_is_the_modality_of_everybody() -> None:
    assert read(modalities=["text"]) == read()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"temperature": "1"}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
        ({"tool_choice": {"function": {}}}, "tool_choice"),
        ({"function_call": {}}, "function_call.name"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_what_no_provider_would_take_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert raised.value.param == param
    assert f"`{param}`" in str(raised.value)
