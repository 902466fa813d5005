"""A request of theirs, read into the neutral form."""

import json
from typing import Any

import pytest

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    Message,
    Part,
    Raw,
    Reasoning,
    ResultPart,
    TextPart,
    ToolChoice,
)
from proxy.dialects._anthropic.request import read_chat
from proxy.dialects._anthropic.wire import ORIGIN
from proxy.errors import BadRequest
from proxy.exchange import ParsedRequest
from proxy.framing.envelope import parse_envelope

HI = [{"role": "user", "content": "hi"}]


def read(**members: Any) -> Chat:
    body = {"model": "m", "max_tokens": 9, "messages": HI, **members}
    return read_chat(parse_envelope(json.dumps(body).encode()), answers=True)


def values(raws: dict[str, Raw]) -> dict[str, Any]:
    return {name: json.loads(bytes(raw)) for name, raw in raws.items()}


def test_the_least_that_is_asked() -> None:
    assert read() == Chat(
        model="m",
        messages=[Message("user", [TextPart(text="hi")])],
        max_tokens=9,
        origin=ORIGIN,
    )


@pytest.mark.parametrize(
    ("member", "value", "name", "read_as"),
    [
        ("stream", True, "stream", True),
        ("stream", None, "stream", False),
        ("temperature", 0, "temperature", 0.0),
        ("temperature", 1.5, "temperature", 1.5),
        ("top_p", 0.5, "top_p", 0.5),
        ("top_k", 40, "top_k", 40),
        ("stop_sequences", ["a", " "], "stop", ["a", " "]),
        ("metadata", {"user_id": "u"}, "user", "u"),
        ("metadata", {}, "user", None),
        ("service_tier", "auto", "service_tier", "auto"),
        ("service_tier", "standard_only", "service_tier", "default"),
        ("tool_choice", {"type": "auto"}, "tool_choice", ToolChoice("auto")),
        ("tool_choice", {"type": "none"}, "tool_choice", ToolChoice("none")),
        ("tool_choice", {"type": "any"}, "tool_choice", ToolChoice("required")),
        ("tool_choice", {"type": "tool", "name": "f"}, "tool_choice", ToolChoice("named", ["f"])),
        (
            "tool_choice",
            {"type": "auto", "disable_parallel_tool_use": True},
            "parallel_tools",
            False,
        ),
        (
            "tool_choice",
            {"type": "any", "disable_parallel_tool_use": False},
            "parallel_tools",
            True,
        ),
        ("thinking", {"type": "disabled"}, "reasoning", Reasoning(budget=0)),
        ("thinking", {"type": "adaptive"}, "reasoning", Reasoning(budget=-1)),
        (
            "thinking",
            {"type": "enabled", "budget_tokens": 2048},
            "reasoning",
            Reasoning(budget=2048),
        ),
        (
            "thinking",
            {"type": "adaptive", "display": "summarized"},
            "reasoning",
            Reasoning(budget=-1, show=True),
        ),
        (
            "thinking",
            {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
            "reasoning",
            Reasoning(budget=1024, show=False),
        ),
        ("output_config", {"effort": "xhigh"}, "reasoning", Reasoning(effort="xhigh")),
        ("output_config", {}, "reasoning", None),
    ],
)
def test_each_field_has_its_own(member: str, value: Any, name: str, read_as: Any) -> None:
    chat = read(**{member: value})

    assert getattr(chat, name) == read_as
    assert not chat.extra
    assert not chat.native


def test_effort_and_thinking_are_one_wish() -> None:
    chat = read(thinking={"type": "adaptive"}, output_config={"effort": "max"})

    assert chat.reasoning == Reasoning(effort="max", budget=-1)


def test_thinking_that_is_off_goes_before_an_effort() -> None:
    chat = read(thinking={"type": "disabled"}, output_config={"effort": "low"})

    assert chat.reasoning == Reasoning(budget=0)
    assert values(chat.extra) == {"output_config": {"effort": "low"}}


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_of_the_answer_keeps_its_spelling(name: str) -> None:
    spelled = b'{ "type":"object", "maximum": 1.0e3 }'
    asked = b'{"type":"json_schema","schema":%b}' % spelled
    asked = b'{"format":%b}' % asked if name == "output_config" else asked
    body = b'{"model":"m","max_tokens":1,"messages":[],"%b":%b}' % (name.encode(), asked)
    chat = read_chat(parse_envelope(body), answers=True)

    assert isinstance(chat.format, Format)
    assert chat.format.schema is not None
    assert bytes(chat.format.schema) == spelled


def test_a_system_text_and_system_blocks_stand_first() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {}}]

    assert read(system="be brief").messages[0] == Message("system", [TextPart(text="be brief")])
    assert read(system=blocks).messages[0] == Message(
        "system", [TextPart(text="a"), TextPart(text="b", cache="")]
    )
    assert read(system=None).messages == read(system="").messages == read().messages


def test_a_system_message_in_the_midst_stays_where_it_is() -> None:
    messages = [*HI, {"role": "system", "content": "now in French"}]

    assert read(messages=messages).messages[1] == Message(
        "system", [TextPart(text="now in French")]
    )


def test_results_stand_in_a_message_of_their_own_before_what_the_user_says() -> None:
    def result(id: str) -> dict[str, Any]:
        return {"type": "tool_result", "tool_use_id": id, "content": "x"}

    said = {"type": "text", "text": "and?"}
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}}
    chat = read(
        messages=[
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result("a"), said, result("b")]},
            {"role": "user", "content": [result("c")]},
        ]
    )

    content: list[Part] = [TextPart(text="x")]
    assert chat.messages == [
        Message("assistant", [CallPart(id="a", name="f", arguments='{"n": 1}')]),
        Message("tool", [ResultPart(id="a", content=content), ResultPart(id="b", content=content)]),
        Message("user", [TextPart(text="and?")]),
        Message("tool", [ResultPart(id="c", content=content)]),
    ]


def test_tools_of_the_client_and_of_the_provider() -> None:
    mine = {
        "name": "f",
        "type": "custom",
        "description": "d",
        "input_schema": {"type": "object"},
        "strict": True,
        "cache_control": {"type": "ephemeral"},
        "defer_loading": True,
    }
    theirs = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    toolset = {"type": "mcp_toolset", "mcp_server_name": "s"}
    own, web, mcp = read(tools=[mine, theirs, toolset]).tools

    assert (own.name, own.description, own.strict, own.cache) == ("f", "d", True, "")
    assert own.schema is not None
    assert json.loads(bytes(own.schema)) == {"type": "object"}
    assert values(own.extra) == {"defer_loading": True}
    assert (web.name, web.origin, mcp.name) == ("web_search", ORIGIN, "mcp_toolset")
    assert web.native is not None
    assert json.loads(bytes(web.native)) == theirs


def test_what_has_no_neutral_form_is_a_hint_or_of_its_own_dialect() -> None:
    chat = read(
        speed="fast",
        cache_control={"type": "ephemeral"},
        container="c",
        mcp_servers=[],
        inference_geo=None,
        thinking={"type": "between_tools"},
        output_config={"effort": "low", "task_budget": {"tokens": 1}},
    )

    assert values(chat.extra) == {
        "speed": "fast",
        "cache_control": {"type": "ephemeral"},
        "container": "c",
        "mcp_servers": [],
        "thinking": {"type": "between_tools"},
        "output_config": {"effort": "low", "task_budget": {"tokens": 1}},
    }
    assert chat.native == ["container", "mcp_servers"]
    assert chat.reasoning == Reasoning(effort="low")


def test_a_request_for_no_answer_is_of_its_own_dialect() -> None:
    chat = read(max_tokens=0)

    assert (chat.max_tokens, chat.native) == (0, ["max_tokens: 0"])


def test_only_who_wants_an_answer_must_say_how_long() -> None:
    request = parse_envelope(b'{"model":"m","messages":[]}')

    assert read_chat(request, answers=False).max_tokens is None
    with pytest.raises(BadRequest, match="`max_tokens` is required") as raised:
        read_chat(request, answers=True)
    assert raised.value.param == "max_tokens"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [*HI, {"role": "user", "content": [{}]}]}, "messages.1.content.0"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "text"}]}, "system.0"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"tools": [1]}, "tools.0"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools.0.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        (
            {"output_config": {"format": {"type": "grammar", "schema": {}}}},
            "output_config.format.type",
        ),
        ({"thinking": {"budget_tokens": 1024}}, "thinking"),
    ],
)
def test_what_no_provider_would_take_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**members)

    assert raised.value.param == param
    assert f"`{param}" in str(raised.value)


def test_an_edited_request_is_read_as_edited() -> None:
    request = parse_envelope(b'{"model":"m","max_tokens":1,"messages":[]}')
    request.set("system", "new")

    assert read_chat(request, answers=True).messages == [Message("system", [TextPart(text="new")])]


def test_features_of_all_header_fields_count_each_once() -> None:
    """Trap 19."""
    request = ParsedRequest(raw=b'{"model":"m","messages":[]}', model="m", stream=False)
    request.headers = (
        (b"anthropic-beta", b"a,b ,"),
        (b"x-other", b"c"),
        (b"ANTHROPIC-BETA", b" b, d"),
    )

    assert read_chat(request, answers=False).betas == ["a", "b", "d"]
