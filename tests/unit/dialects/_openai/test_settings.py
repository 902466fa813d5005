"""Settings that Chat and Responses spell alike, or nearly so."""

import json
from typing import Any

import pytest

from proxy.chat import Chat, Omissions, Quirks, Reasoning, ToolChoice
from proxy.dialects._openai import settings
from proxy.dialects._openai.fields import Fields
from proxy.errors import BadRequest
from proxy.exchange import Raw


def raw(**values: Any) -> dict[str, Raw]:
    return {name: Raw(json.dumps(value).encode()) for name, value in values.items()}


def labelled(**values: Any) -> Chat:
    chat = Chat(model="m", messages=[])
    settings.read_labels(Fields(raw(**values)), raw(**values), chat)
    return chat


def test_labels_are_read() -> None:
    chat = labelled(user="u", safety_identifier="s", metadata={"a": "b"}, prompt_cache_key="k")

    assert (chat.user, chat.metadata, chat.cache_key) == ("s", {"a": "b"}, "k")
    assert bytes(chat.extra["user"]) == b'"u"'
    assert labelled(user="u").user == "u"
    assert bytes(labelled(metadata={"a": 1}).extra["metadata"]) == b'{"a": 1}'
    assert (list(labelled(store=True).extra), list(labelled(store=False).extra)) == (["store"], [])


def test_tools_are_read() -> None:
    values = raw(name="f", description="d", strict=True, parameters={}, format={}, x=1)
    function = settings.read_function(Fields(dict(values)))
    custom = settings.read_custom(Fields(dict(values)))

    assert (function.name, function.description, function.strict) == ("f", "d", True)
    assert (custom.custom, list(custom.extra)) == (True, ["strict", "parameters", "x"])
    assert list(function.extra) == ["format", "x"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("any", ToolChoice("required")),
        ({"name": "f", "type": "function"}, ToolChoice("named", ["f"])),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "x", "name": "f"}]},
            ToolChoice("named", ["f"]),
        ),
    ],
)
def test_tool_choices_are_read(choice: object, expected: ToolChoice | None) -> None:
    assert settings.read_tool_choice(Fields(raw(tool_choice=choice))) == expected


def test_the_choice_of_old_needs_no_type() -> None:
    named = Fields(raw(function_call={"name": "f"}))

    assert settings.read_tool_choice(named, "function_call") == ToolChoice("named", ["f"])
    with pytest.raises(BadRequest, match="must be auto, none, required"):
        settings.read_tool_choice(Fields(raw(tool_choice={"name": "f"})))


def test_hints_are_written_or_left_out() -> None:
    omissions = Omissions("x", reject=False)
    wanted: dict[str, tuple[str, Any]] = {
        **{"a": ("a_field", 1), "b": ("b_field", 2), "c": ("", 3)},
        **{"d": ("", None), "e": ("e_field", None)},
    }

    assert settings.hints(wanted, omissions, Quirks(refuses=("b",))) == {"a_field": 1}
    assert omissions.names == ["b", "c"]


@pytest.mark.parametrize(
    ("tier", "origin", "written"),
    [
        ("flex", "gemini", "flex"),
        ("standard_only", "anthropic_messages", "default"),
        ("batch", "anthropic_messages", None),
        ("batch", "openai_responses", "batch"),
        (None, "gemini", None),
    ],
)
def test_service_tiers(tier: str | None, origin: str, written: str | None) -> None:
    omissions = Omissions("x", reject=False)
    chat = Chat(model="m", messages=[], service_tier=tier, origin=origin)

    assert settings.labels(chat, omissions)["service_tier"] == ("service_tier", written)
    assert omissions.names == (["service_tier"] if tier and not written else [])


@pytest.mark.parametrize(
    ("reasoning", "word"),
    [
        (None, None),
        (Reasoning(effort="low", budget=99999), "low"),
        (Reasoning(budget=99999), "max"),
        (Reasoning(budget=-1), None),
        (Reasoning(show=True), None),
    ],
)
def test_effort(reasoning: Reasoning | None, word: str | None) -> None:
    assert settings.effort(Chat(model="m", messages=[], reasoning=reasoning)) == word


def test_hints_in_their_own_spelling_join_what_is_there() -> None:
    body: dict[str, Any] = {"a": {"x": 1}, "b": 2}
    settings.add_extra(body, raw(a={"y": 3}, b=4, c=5))

    assert body["a"].keys() == {"x", "y"}
    assert (bytes(body["b"]), bytes(body["c"])) == (b"4", b"5")
