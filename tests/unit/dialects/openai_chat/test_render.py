"""A chat of any dialect as a request of OpenAI's Chat."""

import json
from typing import Any

import pytest

from proxy.chat import (
    Chat,
    Format,
    Message,
    NativePart,
    Omissions,
    Quirks,
    Reasoning,
    Rendering,
    TextPart,
    Tool,
    ToolChoice,
)
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.wire import NAME
from proxy.errors import Unsupported
from proxy.exchange import Raw

HI = Message("user", [TextPart(text="hi")])


def render(
    chat: Chat | None = None, *, usage: bool = True, quirks: Quirks | None = None, **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    """The body, and the names of what was left out."""
    asked = chat or Chat(model="theirs", messages=[HI], **fields)
    omissions = Omissions(NAME, reject=False)
    rendering = Rendering(model="ours", omissions=omissions, quirks=quirks or Quirks(), usage=usage)
    return json.loads(OpenAIChat().render(asked, rendering)), omissions.names


def field(name: str, **fields: Any) -> Any:
    body, omitted = render(**fields)
    assert omitted == []
    return body[name]


def test_the_least_of_all_requests() -> None:
    assert render() == (
        {"model": "ours", "messages": [{"role": "user", "content": "hi"}]},
        [],
    )


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"temperature": 0.0}, "temperature", 0),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"top_k": 5.0}, "top_k", 5),
        ({"seed": 7}, "seed", 7),
        ({"presence_penalty": 0.5}, "presence_penalty", 0.5),
        ({"frequency_penalty": 0.5}, "frequency_penalty", 0.5),
        ({"logit_bias": Raw(b'{"1":2}')}, "logit_bias", {"1": 2}),
        ({"stop": ["a"]}, "stop", ["a"]),
        ({"n": 2}, "n", 2),
        ({"logprobs": True}, "logprobs", True),
        ({"top_logprobs": 3}, "top_logprobs", 3),
        ({"user": "u"}, "user", "u"),
        ({"metadata": {"a": "b"}}, "metadata", {"a": "b"}),
        ({"cache_key": "k"}, "prompt_cache_key", "k"),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"service_tier": "standard_only"}, "service_tier", "default"),
        ({"reasoning": Reasoning(effort="max")}, "reasoning_effort", "max"),
        ({"reasoning": Reasoning(budget=5000)}, "reasoning_effort", "medium"),
        ({"reasoning": Reasoning(effort="low", budget=90000)}, "reasoning_effort", "low"),
        ({"format": Format()}, "response_format", {"type": "json_object"}),
        (
            {"format": Format(schema=Raw(b"{}"), description="d", strict=True)},
            "response_format",
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {},
                    "description": "d",
                    "strict": True,
                },
            },
        ),
        ({"stream": True}, "stream", True),
        ({"stream": True}, "stream_options", {"include_usage": True}),
    ],
)
def test_what_fields_are_called(fields: dict[str, Any], name: str, value: object) -> None:
    assert field(name, **fields) == value


def test_what_was_not_said_is_not_said() -> None:
    body, _ = render(reasoning=Reasoning(budget=-1), parallel_tools=False, n=1, stop=[])

    assert body.keys() == {"model", "messages"}


def test_a_provider_that_is_not_to_be_asked_for_usage_is_not() -> None:
    body, _ = render(stream=True, usage=False)

    assert "stream_options" not in body


def test_a_providers_own_names() -> None:
    quirks = Quirks(max_tokens_field="max_completion_tokens", system_role="developer")
    system = Message("system", [TextPart(text="x")])
    body, _ = render(Chat(model="m", messages=[system], max_tokens=3), quirks=quirks)

    assert body["max_completion_tokens"] == 3
    assert body["messages"][0]["role"] == "developer"


def test_hints_that_a_provider_refuses_are_left_out() -> None:
    names = ("seed", "reasoning", "max_tokens", "parallel_tools")
    body, omitted = render(
        quirks=Quirks(refuses=names),
        seed=1,
        max_tokens=2,
        reasoning=Reasoning(effort="low"),
        tools=[Tool(name="f")],
        parallel_tools=False,
    )

    assert body.keys() == {"model", "messages", "tools"}
    assert sorted(omitted) == sorted(names)


def test_a_service_tier_that_is_not_known_here_is_left_out() -> None:
    assert render(service_tier="batch")[1] == ["service_tier"]


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (Tool(name="f"), {"type": "function", "function": {"name": "f"}}),
        (
            Tool(name="f", description="d", schema=Raw(b'{"a":1.50}'), strict=False),
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"a": 1.5},
                    "strict": False,
                },
            },
        ),
        (
            Tool(name="f", custom=True, schema=Raw(b'{"type":"text"}')),
            {"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}},
        ),
    ],
)
def test_tools(tool: Tool, expected: dict[str, Any]) -> None:
    assert field("tools", tools=[tool], parallel_tools=False) == [expected]
    assert field("parallel_tool_calls", tools=[tool], parallel_tools=False) is False


FUNCTIONS = [{"type": "function", "function": {"name": name}} for name in "fg"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", ["f"]), FUNCTIONS[0]),
        (ToolChoice("named", ["h"]), {"type": "custom", "custom": {"name": "h"}}),
        (
            ToolChoice("named", ["f", "g"]),
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": FUNCTIONS}},
        ),
        (
            ToolChoice("auto", ["f"]),
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": FUNCTIONS[:1]}},
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, expected: object) -> None:
    tools = [Tool(name="f"), Tool(name="g"), Tool(name="h", custom=True)]

    assert field("tool_choice", tools=tools, tool_choice=choice) == expected


def test_a_choice_among_no_tools_is_none() -> None:
    assert "tool_choice" not in render(tool_choice=ToolChoice("auto"))[0]


def test_what_only_the_clients_dialect_can_say() -> None:
    hint = {"verbosity": Raw(b'"low"'), "min_p": Raw(b"0.1"), "include": Raw(b"[]")}

    assert render(extra=hint, origin="anthropic_messages")[1] == list(hint)
    body, omitted = render(extra=hint, origin="openai_responses")
    assert (body["verbosity"], body["min_p"], omitted) == ("low", 0.1, ["include"])
    body, omitted = render(extra=hint, origin=NAME)
    assert (body["include"], omitted) == ([], [])


def test_a_hint_joins_the_object_that_is_there() -> None:
    extra = {"stream_options": Raw(b'{"x":1}')}

    assert render(stream=True, extra=extra, origin=NAME)[0]["stream_options"] == {
        "include_usage": True,
        "x": 1,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"native": ["previous_response_id"]},
        {"tools": [Tool(name="web_search", native=Raw(b"{}"), origin="openai_responses")]},
        {
            "messages": [
                Message("user", [NativePart(raw=Raw(b"{}"), origin="gemini", kind="fileData")])
            ]
        },
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any]) -> None:
    chat = Chat(**{"model": "m", "messages": [HI], "origin": "openai_responses"} | fields)

    with pytest.raises(Unsupported):
        render(chat)


def test_a_native_tool_goes_back_to_its_own_dialect() -> None:
    tool = Tool(name="x", native=Raw(b'{"type":"x"}'), origin=NAME)

    assert field("tools", tools=[tool], origin=NAME) == [{"type": "x"}]
