"""A chat of any dialect, rendered for theirs."""

import json
from typing import Any

import pytest

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    Message,
    NativePart,
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
from proxy.dialects._anthropic.rendering import render_chat, render_question
from proxy.dialects._anthropic.wire import ORIGIN, encode
from proxy.errors import Unsupported

HI = [Message("user", [TextPart(text="hi")])]
F = Tool(name="f", schema=Raw(b'{"type":"object"}'))
G = Tool(name="g")
NEW, OLD = "claude-opus-4-7", "claude-sonnet-4-5-20250929"


def render(
    model: str = NEW, quirks: Quirks | None = None, origin: str = "openai_chat", **members: Any
) -> tuple[dict[str, Any], list[str]]:
    chat = Chat(model="asked", origin=origin, **{"messages": HI, **members})
    omissions = Omissions("anthropic_messages", reject=False)
    rendering = Rendering(model=model, omissions=omissions, quirks=quirks or Quirks())
    return json.loads(encode(render_chat(chat, rendering))), omissions.names


def test_the_least_that_is_asked_has_room_for_an_answer() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4096}

    assert render() == (body, [])
    assert render(quirks=Quirks(default_max_tokens=7))[0]["max_tokens"] == 7
    assert render(max_tokens=5)[0]["max_tokens"] == 5
    assert render(max_tokens=0, native=["max_tokens: 0"], origin=ORIGIN)[0]["max_tokens"] == 0


@pytest.mark.parametrize(
    ("members", "fields", "dropped"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}, []),
        ({"temperature": 1.5}, {}, ["temperature"]),
        ({"temperature": 1.5, "origin": ORIGIN}, {"temperature": 1.5}, []),
        ({"top_p": 0.5}, {"top_p": 0.5}, []),
        ({"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["top_p"]),
        (
            {"temperature": 0.5, "top_p": 0.5, "origin": ORIGIN},
            {"temperature": 0.5, "top_p": 0.5},
            [],
        ),
        ({"top_k": 40.0}, {"top_k": 40}, []),
        ({"top_k": 4.5}, {"top_k": 4.5}, []),
        (
            {"top_k": 4, "quirks": Quirks(refuses=("temperature", "top_p", "top_k"))},
            {},
            ["top_k"],
        ),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, []),
        ({"stop": ["a", "\n\n"]}, {"stop_sequences": ["a"]}, ["stop"]),
        ({"stop": ["\n"]}, {}, ["stop"]),
        ({"stop": ["\n"], "origin": ORIGIN}, {"stop_sequences": ["\n"]}, []),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}, []),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, []),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}, []),
        ({"service_tier": "flex"}, {}, ["service_tier"]),
        ({"service_tier": "odd", "origin": ORIGIN}, {"service_tier": "odd"}, []),
        (
            {"seed": 0, "logit_bias": Raw(b"{}"), "cache_key": "k"},
            {},
            ["seed", "logit_bias", "cache_key"],
        ),
        ({"presence_penalty": 0.0, "frequency_penalty": 0.5}, {}, ["frequency_penalty"]),
        ({"logprobs": True, "top_logprobs": 2}, {}, ["logprobs", "top_logprobs"]),
        ({"logprobs": False, "n": 1, "metadata": {}}, {}, []),
        ({"n": 2, "metadata": {"a": "b"}}, {}, ["metadata", "n"]),
        ({"extra": {"speed": Raw(b'"fast"')}}, {}, ["speed"]),
        ({"extra": {"speed": Raw(b'"fast"')}, "origin": ORIGIN}, {"speed": "fast"}, []),
    ],
)
def test_each_wish_has_its_field_or_is_named(
    members: dict[str, Any], fields: dict[str, Any], dropped: list[str]
) -> None:
    body, names = render(**members)

    del body["messages"], body["max_tokens"]
    assert (body, names) == (fields, dropped)


ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("reasoning", "new", "old"),
    [
        (Reasoning(effort="none"), {"thinking": DISABLED}, {"thinking": DISABLED}),
        (Reasoning(budget=0), {"thinking": DISABLED}, {"thinking": DISABLED}),
        (
            Reasoning(effort="minimal"),
            {"thinking": ADAPTIVE, "output_config": {"effort": "low"}},
            {"thinking": budget(1024)},
        ),
        (
            Reasoning(effort="high"),
            {"thinking": ADAPTIVE, "output_config": {"effort": "high"}},
            {"thinking": budget(16384)},
        ),
        (
            Reasoning(budget=6400),
            {"thinking": ADAPTIVE, "output_config": {"effort": "medium"}},
            {"thinking": budget(6400)},
        ),
        (Reasoning(budget=-1), {"thinking": ADAPTIVE}, {"thinking": budget(8192)}),
        (
            Reasoning(effort="max", show=True),
            {
                "thinking": ADAPTIVE | {"display": "summarized"},
                "output_config": {"effort": "max"},
            },
            {"thinking": budget(65536) | {"display": "summarized"}},
        ),
        (
            Reasoning(effort="low", show=False),
            {"thinking": ADAPTIVE | {"display": "omitted"}, "output_config": {"effort": "low"}},
            {"thinking": budget(2048) | {"display": "omitted"}},
        ),
    ],
)
def test_how_much_to_think_is_said_as_the_model_takes_it(
    reasoning: Reasoning, new: dict[str, Any], old: dict[str, Any]
) -> None:
    for model, fields in ((NEW, new), (OLD, old)):
        body, names = render(model, reasoning=reasoning)
        tokens = fields["thinking"].get("budget_tokens", 0)
        assert body.pop("max_tokens") == 4096 + tokens
        del body["messages"]
        assert (body, names) == (fields, [])


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("claude-3-7-sonnet-20250219", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-sonnet-4@20250514", True),
        ("claude-opus-4-0", True),
        ("claude-opus-4-1-20250805", True),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", True),
        ("anthropic/claude-sonnet-4.5", True),
        ("claude-haiku-4-5", True),
        ("claude-opus-4-6", False),
        ("claude-opus-4-10", False),
        ("anthropic.claude-opus-4-6-v1", False),
        ("claude-sonnet-5", False),
        ("mine", False),
    ],
)
def test_models_up_to_4_5_count_their_thinking(model: str, counts: bool) -> None:
    body, _ = render(model, reasoning=Reasoning(effort="low"))
    assert (body["thinking"]["type"] == "enabled") is counts

    told = Quirks(counts_thinking=not counts)
    body, _ = render(model, quirks=told, reasoning=Reasoning(effort="low"))
    assert (body["thinking"]["type"] == "enabled") is not counts


CALLED = [
    Message("assistant", [CallPart(id="c", name="f", arguments="")]),
    Message("tool", [ResultPart(id="c", content=[])]),
]
FORCED = {"tools": [F], "tool_choice": ToolChoice("required")}


@pytest.mark.parametrize(
    ("model", "members", "fields"),
    [
        # Some of the tokens are for the answer, and fewer than 1024 buy no thinking.
        (OLD, {"max_tokens": 8000}, {"thinking": budget(4000)}),
        (OLD, {"max_tokens": 2047}, {}),
        (OLD, FORCED, {}),
        (OLD, {"messages": CALLED}, {}),
        (NEW, {"messages": CALLED}, {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}),
        (NEW, FORCED, {"output_config": {"effort": "high"}}),
        (NEW, {**FORCED, "reasoning": Reasoning(budget=-1)}, {}),
        (NEW, {"reasoning": Reasoning(effort="galactic")}, {}),
        (NEW, {"quirks": Quirks(refuses=("reasoning",))}, {}),
        (NEW, {"reasoning": Reasoning()}, {"thinking": ADAPTIVE}),
    ],
)
def test_thinking_gives_way_to_what_is_more_than_a_hint(
    model: str, members: dict[str, Any], fields: dict[str, Any]
) -> None:
    body, names = render(model, **{"reasoning": Reasoning(effort="high"), **members})

    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == fields
    assert names == ([] if fields else ["reasoning"])


def test_sampling_gives_way_to_thinking() -> None:
    wish: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "reasoning": Reasoning(effort="low"),
    }
    body, names = render(**wish)
    assert names == ["temperature", "top_p", "top_k"]
    assert not body.keys() & {"temperature", "top_p", "top_k"}

    body, names = render(temperature=1.0, reasoning=Reasoning(effort="low"))
    assert (body["temperature"], names) == (1.0, [])
    body, names = render(top_p=0.95, reasoning=Reasoning(effort="low"))
    assert (body["top_p"], names) == (0.95, [])
    body, names = render(temperature=0.5, reasoning=Reasoning(effort="none"))
    assert (body["temperature"], names) == (0.5, [])


@pytest.mark.parametrize(
    ("reasoning", "fields"),
    [
        (Reasoning(budget=0), {"thinking": DISABLED}),
        (Reasoning(budget=-1, show=True), {"thinking": ADAPTIVE | {"display": "summarized"}}),
        (Reasoning(budget=50_000), {"thinking": budget(50_000)}),
        (
            Reasoning(effort="low", budget=-1),
            {"thinking": ADAPTIVE, "output_config": {"effort": "low"}},
        ),
        (Reasoning(effort="odd"), {"output_config": {"effort": "odd"}}),
    ],
)
def test_what_was_asked_in_their_own_words_is_said_again(
    reasoning: Reasoning, fields: dict[str, Any]
) -> None:
    body, names = render(OLD, origin=ORIGIN, max_tokens=9, reasoning=reasoning)

    del body["messages"], body["max_tokens"]
    assert (body, names) == (fields, [])


def test_their_own_extras_stand_beside_what_is_rendered() -> None:
    schema = Raw(b'{"type":"object"}')
    extra = {"output_config": Raw(b'{"task_budget":1,"effort":"low"}'), "thinking": Raw(b"{}")}
    body, _ = render(
        origin=ORIGIN, extra=extra, format=Format(schema=schema), reasoning=Reasoning(effort="max")
    )

    assert body["output_config"] == {
        "task_budget": 1,
        "effort": "max",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }
    assert body["thinking"] == {}


def test_a_format_is_a_schema_or_cannot_be_carried() -> None:
    asked = Format(schema=Raw(b'{ "a": 1.0 }'), name="n", strict=True)
    chat = Chat(model="m", messages=HI, format=asked, origin="openai_chat")
    rendering = Rendering(model=NEW, omissions=Omissions("x", reject=False))

    assert b'"format":{"type":"json_schema","schema":{ "a": 1.0 }}' in encode(
        render_chat(chat, rendering)
    )
    assert render(format=Format(schema=Raw(b"{}"), description="d"))[1] == [
        "response_format.description"
    ]
    with pytest.raises(Unsupported, match="a response format without a schema") as raised:
        render(format=Format())
    assert raised.value.param == "response_format"


@pytest.mark.parametrize(
    ("tool", "spelled"),
    [
        (F, {"name": "f", "input_schema": {"type": "object"}}),
        (G, {"name": "g", "input_schema": {"type": "object"}}),
        (
            Tool(
                name="f", description="d", schema=Raw(b'{"properties":{}}'), strict=True, cache=""
            ),
            {
                "name": "f",
                "description": "d",
                "input_schema": {"type": "object", "properties": {}},
                "strict": True,
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            Tool(name="f", schema=Raw(b"true"), strict=False, description=""),
            {"name": "f", "input_schema": True},
        ),
    ],
)
def test_each_tool_has_a_schema_of_an_object(tool: Tool, spelled: dict[str, Any]) -> None:
    assert render(tools=[tool])[0]["tools"] == [spelled]


def test_tools_of_their_own_are_said_again_and_nowhere_else() -> None:
    web = Tool(name="web", native=Raw(b'{"type":"web_search"}'), origin=ORIGIN)
    lazy = Tool(name="f", schema=Raw(b"{}"), strict=False, extra={"defer_loading": Raw(b"true")})
    body, _ = render(origin=ORIGIN, tools=[web, lazy])

    assert body["tools"] == [
        {"type": "web_search"},
        {"name": "f", "input_schema": {}, "strict": False, "defer_loading": True},
    ]
    assert render(tools=[lazy])[1] == ["tools.defer_loading"]
    with pytest.raises(Unsupported, match="the tool `web`"):
        render(tools=[web])
    with pytest.raises(Unsupported, match="the tool `f`, which takes free text,"):
        render(tools=[Tool(name="f", custom=True)])


@pytest.mark.parametrize(
    ("members", "choice"),
    [
        ({}, None),
        ({"tool_choice": ToolChoice("auto")}, {"type": "auto"}),
        ({"tool_choice": ToolChoice("none")}, {"type": "none"}),
        ({"tool_choice": ToolChoice("none"), "parallel_tools": False}, {"type": "none"}),
        ({"tool_choice": ToolChoice("required")}, {"type": "any"}),
        ({"tool_choice": ToolChoice("named", ["f"])}, {"type": "tool", "name": "f"}),
        ({"parallel_tools": True}, None),
        ({"parallel_tools": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"parallel_tools": False, "tool_choice": ToolChoice("required")},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        (
            {"parallel_tools": True, "tool_choice": ToolChoice("auto")},
            {"type": "auto", "disable_parallel_tool_use": False},
        ),
        ({"tools": [], "tool_choice": ToolChoice("auto"), "parallel_tools": False}, None),
        (
            {"tools": [], "tool_choice": ToolChoice("auto"), "origin": ORIGIN},
            {"type": "auto"},
        ),
    ],
)
def test_whether_tools_must_be_called(members: dict[str, Any], choice: object) -> None:
    body, _ = render(**{"tools": [F, G], **members})

    assert body.get("tool_choice") == choice


def test_one_of_several_named_tools_is_any_where_there_are_no_others() -> None:
    h = Tool(name="h")
    body, _ = render(tools=[F, G, h], tool_choice=ToolChoice("named", ["f", "h"]))

    assert [tool["name"] for tool in body["tools"]] == ["f", "h"]
    assert body["tool_choice"] == {"type": "any"}


def test_cache_marks_of_tools_are_left_out_where_they_are_refused() -> None:
    body, names = render(tools=[Tool(name="f", cache="1h")], quirks=Quirks(refuses=("cache",)))

    assert "cache_control" not in body["tools"][0]
    assert names == ["cache"]


def test_one_plain_system_text_is_a_text() -> None:
    system = Message("system", [TextPart(text="a")])
    marked = Message("system", [TextPart(text="a", cache="")])

    assert render(messages=[system, *HI])[0]["system"] == "a"
    assert render(messages=[system, system, *HI])[0]["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "a"},
    ]
    assert render(messages=[marked, *HI])[0]["system"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    ]


def test_what_only_another_dialect_can_say_is_refused() -> None:
    part = NativePart(Raw(b"{}"), "gemini", "executableCode")
    with pytest.raises(Unsupported, match="content of the type `executableCode`"):
        render(messages=[Message("user", [part])])
    with pytest.raises(Unsupported, match="`previous_response_id` cannot be carried"):
        render(native=["previous_response_id"])


def test_a_policy_of_rejection_refuses_hints_by_name() -> None:
    chat = Chat(model="m", messages=HI, seed=1, origin="openai_chat")
    rendering = Rendering(model=NEW, omissions=Omissions("anthropic_messages", reject=True))

    with pytest.raises(Unsupported, match="`seed` cannot be carried"):
        render_chat(chat, rendering)


def test_a_question_is_what_is_counted_and_nothing_else() -> None:
    chat = Chat(
        model="m",
        messages=HI,
        tools=[F],
        temperature=0.5,
        max_tokens=9,
        stop=["a"],
        user="u",
        reasoning=Reasoning(effort="low"),
        origin="openai_chat",
    )
    rendering = Rendering(model=NEW, omissions=Omissions("x", reject=False))

    assert render_question(chat, rendering).keys() == {
        *("messages", "tools", "thinking", "output_config"),
    }
    assert rendering.omissions.names == []
