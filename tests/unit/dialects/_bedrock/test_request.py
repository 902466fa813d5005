"""A chat as Converse is asked it."""

import json
from typing import Any

import pytest

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    Message,
    Omissions,
    Quirks,
    Raw,
    Reasoning,
    Rendering,
    ResultPart,
    TextPart,
    Tool,
    ToolChoice,
)
from proxy.dialects._bedrock.request import render_question
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.errors import Unsupported

SCHEMA = Raw(b'{"type":"object","properties":{"n":{"type":"number","default":1.50}}}')
USER = Message("user", [TextPart(text="hi")])


def render(chat: Chat, *, model: str = "m", quirks: Quirks | None = None) -> tuple[Any, list[str]]:
    omissions = Omissions("bedrock_converse", reject=False)
    rendering = Rendering(model=model, omissions=omissions, quirks=quirks or Quirks())
    return json.loads(BedrockConverse().render(chat, rendering)), omissions.names


def chat(*messages: Message, **more: Any) -> Chat:
    return Chat(model="m", messages=list(messages) or [USER], origin="openai_chat", **more)


def test_a_plain_question_is_a_plain_body() -> None:
    body, dropped = render(chat())

    assert body == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    assert dropped == []


def test_leading_system_messages_are_the_system_and_later_ones_the_users() -> None:
    system = Message("system", [TextPart(text="a", cache="")])
    body, _ = render(chat(system, USER, Message("system", [TextPart(text="b")])))

    assert body["system"] == [{"text": "a"}, {"cachePoint": {"type": "default"}}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "hi"}, {"text": "b"}]}]


def test_parameters_have_their_places() -> None:
    body, dropped = render(
        chat(
            max_tokens=7,
            temperature=0.5,
            top_p=0.9,
            stop=["x"],
            top_k=5,
            seed=1,
            n=2,
            presence_penalty=0.0,
            service_tier="flex",
        )
    )

    assert body["inferenceConfig"] == {
        "maxTokens": 7,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["x"],
    }
    assert body["serviceTier"] == {"type": "flex"}
    assert dropped == ["seed", "n", "top_k"]


def test_what_a_provider_refuses_is_left_out() -> None:
    body, dropped = render(chat(temperature=1.0), quirks=Quirks(refuses=("temperature",)))

    assert "inferenceConfig" not in body
    assert dropped == ["temperature"]


def test_claude_is_told_top_k_by_the_side() -> None:
    body, dropped = render(chat(top_k=5), model="anthropic.claude-x")

    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert dropped == []


@pytest.mark.parametrize(
    ("model", "reasoning", "body", "dropped"),
    [
        ("openai.gpt-oss", Reasoning(effort="high"), {"outputConfig": {"effort": "high"}}, []),
        ("nova-2", Reasoning(effort="minimal"), {"outputConfig": {"effort": "low"}}, []),
        ("nova-2", Reasoning(budget=8000), {"outputConfig": {"effort": "medium"}}, []),
        ("nova-2", Reasoning(effort="none"), {}, ["reasoning"]),
        (
            "us.anthropic.claude-sonnet-5",
            Reasoning(effort="high", show=True),
            {
                "outputConfig": {"effort": "high"},
                "additionalModelRequestFields": {
                    "thinking": {"type": "adaptive", "display": "summarized"}
                },
            },
            [],
        ),
        (
            "us.anthropic.claude-sonnet-5",
            Reasoning(effort="none"),
            {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
            [],
        ),
        ("nova-2", Reasoning(show=True), {}, ["reasoning"]),
        (
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            Reasoning(effort="low"),
            {
                "additionalModelRequestFields": {
                    "thinking": {"type": "enabled", "budget_tokens": 2048}
                },
                "inferenceConfig": {"maxTokens": 4096 + 2048},
            },
            [],
        ),
    ],
)
def test_models_are_told_how_much_to_think_each_in_its_way(
    model: str, reasoning: Reasoning, body: dict[str, Any], dropped: list[str]
) -> None:
    found, named = render(chat(reasoning=reasoning), model=model)
    del found["messages"]

    assert (found, named) == (body, dropped)


def test_thinking_leaves_room_for_the_answer_and_goes_with_no_forced_call() -> None:
    model = "anthropic.claude-3-7-sonnet-20250219-v1:0"
    thinks = Reasoning(effort="high")
    body, _ = render(chat(reasoning=thinks, max_tokens=4000), model=model)
    assert body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000

    small = render(chat(reasoning=thinks, max_tokens=100), model=model)
    forced = render(
        chat(reasoning=thinks, tools=[Tool(name="f")], tool_choice=ToolChoice("required")),
        model=model,
    )
    for body, dropped in (small, forced):
        assert "additionalModelRequestFields" not in body
        assert dropped == ["reasoning"]


def test_tools_keep_their_schemas_to_the_letter() -> None:
    tools = [Tool(name="f", description="d", schema=SCHEMA, strict=True, cache=""), Tool(name="g")]
    rendering = Rendering(model="m", omissions=Omissions("bedrock_converse", reject=False))
    raw = BedrockConverse().render(chat(tools=tools), rendering)
    [first, mark, second] = json.loads(raw)["toolConfig"]["tools"]

    assert bytes(SCHEMA) in raw
    assert (first["toolSpec"]["name"], first["toolSpec"]["strict"]) == ("f", True)
    assert mark == {"cachePoint": {"type": "default"}}
    assert second["toolSpec"]["inputSchema"] == {"json": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("choice", "spelled"),
    [
        (ToolChoice("auto"), {"auto": {}}),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("named", ["f"]), {"tool": {"name": "f"}}),
        (ToolChoice("named", ["f", "g"]), {"any": {}}),
    ],
)
def test_a_choice_of_tools_has_its_word(choice: ToolChoice, spelled: object) -> None:
    tools = [Tool(name=name) for name in "fgh"]
    config = render(chat(tools=tools, tool_choice=choice))[0]["toolConfig"]

    assert config["toolChoice"] == spelled
    assert len(config["tools"]) == (2 if len(choice.names) == 2 else 3)


def test_no_tool_is_called_where_none_is_listed() -> None:
    none = ToolChoice("none")
    assert "toolConfig" not in render(chat(tools=[Tool(name="f")], tool_choice=none))[0]

    called = Message("assistant", [CallPart(id="c", name="f", arguments="")])
    result = Message("tool", [ResultPart(id="c", content=[])])
    with pytest.raises(Unsupported, match="tool_choice"):
        render(chat(USER, called, result, tools=[Tool(name="f")], tool_choice=none))


def test_a_format_is_a_schema_as_text() -> None:
    wanted = Format(schema=SCHEMA, name="n", description="d")
    body, _ = render(chat(format=wanted))

    structure = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert structure == {"schema": bytes(SCHEMA).decode(), "name": "n", "description": "d"}
    with pytest.raises(Unsupported, match="response format"):
        render(chat(format=Format()))


def test_free_text_tools_are_refused() -> None:
    with pytest.raises(Unsupported, match="free text"):
        render(chat(tools=[Tool(name="f", custom=True)]))


def test_a_schema_says_that_arguments_are_an_object() -> None:
    tools = [Tool(name="f", schema=Raw(b'{"properties":{}}')), Tool(name="g", schema=Raw(b"true"))]
    first, second = render(chat(tools=tools))[0]["toolConfig"]["tools"]

    assert first["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {}}
    assert second["toolSpec"]["inputSchema"]["json"] is True


def test_hints_that_have_no_place_are_named() -> None:
    _, dropped = render(
        chat(
            temperature=1.5,
            tools=[Tool(name="f", cache="")],
            parallel_tools=False,
            user="u",
            service_tier="scale",
            metadata={"a": "no\x00"},
        ),
        quirks=Quirks(refuses=("cache",)),
    )

    assert dropped == [
        *("parallel_tools", "cache", "user", "temperature", "service_tier", "metadata"),
    ]


def test_metadata_for_logs_go_along() -> None:
    body, dropped = render(chat(metadata={"team": "a b"}, service_tier="auto"))

    assert body["requestMetadata"] == {"team": "a b"}
    assert dropped == []


def test_claude_is_asked_which_stop_sequence_it_met() -> None:
    body, _ = render(chat(stop=["x", ""]), model="anthropic.claude-x")

    assert body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence"]


def test_claudes_sampling_gives_way_to_its_thinking() -> None:
    wish: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    body, dropped = render(
        chat(**wish, reasoning=Reasoning(effort="low")), model="us.anthropic.claude-sonnet-5"
    )

    assert dropped == ["temperature", "top_p", "top_k"]
    assert "inferenceConfig" not in body


def test_a_question_is_what_is_counted_and_nothing_else() -> None:
    asked = chat(
        *(Message("system", [TextPart(text="s")]), USER),
        tools=[Tool(name="f")],
        max_tokens=7,
        temperature=0.5,
        reasoning=Reasoning(effort="low"),
    )
    rendering = Rendering(
        model="us.anthropic.claude-sonnet-5",
        omissions=Omissions("bedrock_count_tokens", reject=True),
    )

    assert render_question(asked, rendering).keys() == {
        *("messages", "system", "toolConfig", "additionalModelRequestFields"),
    }
