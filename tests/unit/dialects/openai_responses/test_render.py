"""A chat of any dialect as a request of OpenAI's Responses."""

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
    ThinkingPart,
    Tool,
    ToolChoice,
)
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.wire import NAME
from proxy.errors import Unsupported
from proxy.exchange import Raw

HI = Message("user", [TextPart(text="hi")])


def render(*, quirks: Quirks | None = None, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """The body, and the names of what was left out."""
    chat = Chat(**{"model": "theirs", "messages": [HI]} | fields)
    omissions = Omissions(NAME, reject=False)
    rendering = Rendering(model="ours", omissions=omissions, quirks=quirks or Quirks())
    return json.loads(OpenAIResponses().render(chat, rendering)), omissions.names


def field(name: str, **fields: Any) -> Any:
    body, omitted = render(**fields)
    assert omitted == []
    return body[name]


def test_the_least_of_all_requests() -> None:
    assert render(reasoning=Reasoning(effort="none"), n=1, stop=[], parallel_tools=True) == (
        {
            "model": "ours",
            "input": [{"role": "user", "content": "hi"}],
            "store": False,
            "reasoning": {"effort": "none"},
        },
        [],
    )


def test_instructions() -> None:
    system = Message("system", [TextPart(text="be")])
    body, _ = render(messages=[system, HI])

    assert (body["instructions"], body["input"]) == ("be", [{"role": "user", "content": "hi"}])


SCHEMA = Format(schema=Raw(b"{}"), name="n", description="d", strict=True)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"stream": True}, "stream", True),
        ({"max_tokens": 5}, "max_output_tokens", 5),
        ({"temperature": 0.5}, "temperature", 0.5),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"user": "u"}, "user", "u"),
        ({"metadata": {"a": "b"}}, "metadata", {"a": "b"}),
        ({"cache_key": "k"}, "prompt_cache_key", "k"),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"logprobs": True, "top_logprobs": 2}, "top_logprobs", 2),
        ({"logprobs": True}, "include", ["message.output_text.logprobs"]),
        ({"reasoning": Reasoning(budget=9000)}, "reasoning", {"effort": "high"}),
        (
            {"reasoning": Reasoning(effort="low", show=True)},
            "reasoning",
            {"effort": "low", "summary": "auto"},
        ),
        ({"reasoning": Reasoning(effort="low")}, "include", ["reasoning.encrypted_content"]),
        ({"format": Format()}, "text", {"format": {"type": "json_object"}}),
        (
            {"format": SCHEMA},
            "text",
            {
                "format": {
                    **{"type": "json_schema", "name": "n", "schema": {}},
                    **{"description": "d", "strict": True},
                }
            },
        ),
    ],
)
def test_what_fields_are_called(fields: dict[str, Any], name: str, value: object) -> None:
    assert field(name, **fields) == value


def test_reasoning_that_is_given_back_is_asked_for_again() -> None:
    signed = ThinkingPart(signature="rs:e", origin=NAME)

    assert field("include", messages=[HI, Message("assistant", [signed]), HI]) == [
        "reasoning.encrypted_content"
    ]


def test_hints_that_cannot_be_said() -> None:
    given: dict[str, Any] = {
        **{"seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.1, "stop": ["a"], "n": 2},
        "logit_bias": Raw(b"{}"),
    }
    body, omitted = render(**given)

    assert body.keys() == {"model", "input", "store"}
    assert sorted(omitted) == sorted(given)


def test_hints_that_a_provider_refuses() -> None:
    quirks = Quirks(refuses=("top_k", "temperature", "reasoning"))
    given = {"top_k": 5.0, "temperature": 1.0, "reasoning": Reasoning(effort="low")}
    body, omitted = render(quirks=quirks, **given)

    assert "reasoning" not in body
    assert sorted(omitted) == sorted(given)
    assert field("top_k", top_k=5.0) == 5


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            Tool(name="f"),
            {
                **{"type": "function", "name": "f", "strict": False},
                "parameters": {"type": "object", "properties": {}},
            },
        ),
        (
            Tool(name="f", description="d", schema=Raw(b'{"a":1}'), strict=True),
            {
                **{"type": "function", "name": "f", "description": "d", "strict": True},
                "parameters": {"a": 1},
            },
        ),
        (
            Tool(name="f", custom=True, schema=Raw(b'{"type":"text"}')),
            {"type": "custom", "name": "f", "format": {"type": "text"}},
        ),
        (
            Tool(
                name="f",
                custom=True,
                schema=Raw(b'{"type":"grammar","grammar":{"syntax":"regex","definition":"x"}}'),
            ),
            {
                **{"type": "custom", "name": "f"},
                "format": {"type": "grammar", "syntax": "regex", "definition": "x"},
            },
        ),
    ],
)
def test_tools(tool: Tool, expected: dict[str, Any]) -> None:
    assert field("tools", tools=[tool]) == [expected]
    assert field("parallel_tool_calls", tools=[tool], parallel_tools=False) is False


def test_what_is_not_said_of_strictness_means_other_things_elsewhere() -> None:
    [own] = field("tools", tools=[Tool(name="f")], origin=NAME)

    assert "strict" not in own


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("required"), "required"),
        (ToolChoice("named", ["f"]), {"type": "function", "name": "f"}),
        (ToolChoice("named", ["g"]), {"type": "custom", "name": "g"}),
        (
            ToolChoice("auto", ["f"]),
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
        (
            ToolChoice("named", ["f", "g"]),
            {
                **{"type": "allowed_tools", "mode": "required"},
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
            },
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, expected: object) -> None:
    tools = [Tool(name="f"), Tool(name="g", custom=True)]

    assert field("tool_choice", tools=tools, tool_choice=choice) == expected
    assert "tool_choice" not in render(tool_choice=choice)[0]


def test_what_only_the_clients_dialect_can_say() -> None:
    hints = {"verbosity": Raw(b'"low"'), "store": Raw(b"true"), "prediction": Raw(b"{}")}
    body, omitted = render(extra=hints, origin="openai_chat")

    assert (body["text"], body["store"], omitted) == ({"verbosity": "low"}, True, ["prediction"])
    own = {"include": Raw(b'["x"]'), "reasoning": Raw(b'{"summary":"detailed"}')}
    body, omitted = render(
        extra=own, origin=NAME, reasoning=Reasoning(effort="low", show=True), logprobs=True
    )
    assert body["reasoning"] == {"effort": "low", "summary": "detailed"}
    assert body["include"] == [
        *("message.output_text.logprobs", "reasoning.encrypted_content", "x"),
    ]
    assert render(model="", extra={"prompt": Raw(b"{}")}, origin=NAME)[0]["prompt"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"native": ["modalities"]},
        {"tools": [Tool(name="x", native=Raw(b"{}"), origin="openai_chat")]},
        {"messages": [Message("user", [NativePart(raw=Raw(b"{}"), origin="gemini", kind="x")])]},
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        render(**{"origin": "openai_chat"} | fields)
