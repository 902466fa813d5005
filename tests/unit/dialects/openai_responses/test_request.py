"""What a request's top-level fields ask for."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import Chat, Format, Message, Reasoning, TextPart, Tool, ToolChoice
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.wire import NAME
from proxy.errors import BadRequest
from proxy.exchange import Raw

RESPONSES = OpenAIResponses()


def read(**fields: Any) -> Chat:
    body = {"model": "m", "input": "hi"} | fields
    chat = RESPONSES.read(RESPONSES.parse(json.dumps(body).encode()))
    assert isinstance(chat, Chat)
    return chat


def test_what_is_not_said_is_none() -> None:
    chat = read()

    assert chat == Chat(model="m", messages=[Message("user", [TextPart(text="hi")])], origin=NAME)


def test_null_is_as_good_as_absent() -> None:
    names = (
        *("temperature", "tools", "tool_choice", "text", "reasoning", "include", "x", "background"),
        *("previous_response_id", "conversation", "instructions"),
    )

    assert read(**dict.fromkeys(names)) == read()


def test_instructions_come_first() -> None:
    [first, second] = read(instructions="be", input=[{"role": "user", "content": "hi"}]).messages

    assert first == Message("system", [TextPart(text="be")])
    assert second == Message("user", [TextPart(text="hi")])
    assert len(read(instructions="").messages) == 1


SCHEMA = {"type": "json_schema", "name": "n", "schema": {"maximum": 1}, "strict": True}


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_output_tokens": 5}, "max_tokens", 5),
        ({"temperature": 1}, "temperature", 1.0),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"parallel_tool_calls": False}, "parallel_tools", False),
        ({"safety_identifier": "s"}, "user", "s"),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"metadata": {"a": "b"}}, "metadata", {"a": "b"}),
        ({"prompt_cache_key": "k"}, "cache_key", "k"),
        ({"stream": True}, "stream", True),
        ({"reasoning": {"effort": "low"}}, "reasoning", Reasoning(effort="low")),
        ({"reasoning": {"summary": "auto"}}, "reasoning", Reasoning(show=True)),
        ({"text": {"format": {"type": "text"}}}, "format", None),
        ({"text": {"format": {"type": "json_object"}}}, "format", Format()),
        (
            {"text": {"format": SCHEMA}},
            "format",
            Format(name="n", schema=Raw(b'{"maximum":1}'), strict=True),
        ),
        ({"include": ["message.output_text.logprobs"]}, "logprobs", True),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            "top_logprobs",
            2,
        ),
        ({"top_logprobs": 2}, "top_logprobs", None),
    ],
)
def test_what_fields_mean(fields: dict[str, Any], name: str, value: object) -> None:
    chat = read(**fields)
    found = getattr(chat, name)

    assert type(found) is type(value)
    assert json.loads(msgspec.json.encode(found)) == json.loads(msgspec.json.encode(value))
    assert (chat.extra, chat.native) == ({}, [])


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            {"type": "function", "name": "f", "description": "d", "strict": False},
            Tool(name="f", description="d", strict=False),
        ),
        ({"type": "custom", "name": "f"}, Tool(name="f", custom=True)),
    ],
)
def test_tools(tool: dict[str, Any], expected: Tool) -> None:
    assert read(tools=[tool]).tools == [expected]


def test_schemas_and_formats_of_tools() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "x"}
    function, custom = read(
        tools=[
            {"type": "function", "name": "f", "parameters": {"maximum": 1}},
            {"type": "custom", "name": "g", "format": grammar},
        ]
    ).tools

    assert json.loads(bytes(function.schema or b"")) == {"maximum": 1}
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    assert json.loads(bytes(custom.schema or b"")) == nested


def test_a_tool_that_the_provider_runs_is_kept_whole() -> None:
    tool = {"type": "mcp", "server_label": "x"}
    [found] = read(tools=[tool]).tools

    assert (found.name, found.origin) == ("mcp", NAME)
    assert json.loads(bytes(found.native or b"")) == tool


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", ["f"])),
        ({"type": "custom", "name": "f"}, ToolChoice("named", ["f"])),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("auto", ["f"]),
        ),
    ],
)
def test_tool_choices(choice: object, expected: ToolChoice) -> None:
    assert read(tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "r"),
        ("conversation", "c"),
        ("prompt", {"id": "p"}),
        ("background", True),
        ("context_management", [{"type": "x"}]),
        ("moderation", {"model": "m"}),
        ("tool_choice", {"type": "web_search"}),
    ],
)
def test_what_changes_the_meaning_is_native(name: str, value: object) -> None:
    chat = read(**{name: value})

    assert chat.native == [name]
    assert json.loads(bytes(chat.extra[name])) == value


def test_what_is_not_known_is_a_hint() -> None:
    chat = read(
        truncation="auto",
        store=True,
        include=["reasoning.encrypted_content", "x"],
        text={"verbosity": "low"},
        reasoning={"effort": "low", "summary": "detailed"},
    )

    assert {name: json.loads(bytes(raw)) for name, raw in chat.extra.items()} == {
        "truncation": "auto",
        "store": True,
        "include": ["x"],
        "verbosity": "low",
        "reasoning": {"summary": "detailed"},
    }
    assert chat.reasoning == Reasoning(effort="low", show=True)
    assert read(store=False, background=False, include=["reasoning.encrypted_content"]) == read()


def test_a_stored_prompt_needs_neither_model_nor_input() -> None:
    chat = RESPONSES.read(RESPONSES.parse(b'{"prompt":{"id":"p"}}'))

    assert isinstance(chat, Chat)
    assert (chat.model, chat.messages, chat.native) == ("", [], ["prompt"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"temperature": "1"}, "temperature"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": "x"}, "tool_choice"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"text": {"format": {"type": "x"}}}, "text.format.type"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort"),
        ({"instructions": 1}, "instructions"),
    ],
)
def test_what_no_provider_would_take_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert raised.value.param == param
    assert f"`{param}`" in str(raised.value)
