"""Tool calls, as servers number them."""

from typing import Any

import msgspec
import pytest

from proxy.dialects.openai_chat.calls import Calls
from proxy.dialects.openai_chat.chunk import CallDelta
from proxy.dialects.openai_chat.wire import NAME
from proxy.event import Arguments, Call, Event


def events(*deltas: dict[str, Any], response: str = "r") -> list[Event]:
    calls = Calls(response, 0)
    found: list[Event] = []
    for delta in deltas:
        calls.add(msgspec.convert(delta, CallDelta), found)
    calls.close(found)
    return found


def delta(index: int | None, identifier: str | None, name: str | None, text: str) -> dict[str, Any]:
    said = {"index": index, "id": identifier, "function": {"name": name, "arguments": text}}
    return {key: value for key, value in said.items() if value is not None}


ONE = [Call(0, "a", "f"), Arguments(0, "{"), Arguments(0, "}")]
TWO = [Call(0, "a", "f"), Arguments(0, "{}"), Call(1, "b", "g"), Arguments(1, "[]")]


@pytest.mark.parametrize(
    "second",
    [
        delta(0, None, None, "}"),
        delta(0, "", "", "}"),
        delta(0, "a", "f", "}"),
        delta(0, "other", None, "}"),
        delta(None, None, None, "}"),
        delta(None, "a", "f", "}"),
        delta(None, "a", None, "}"),
    ],
)
def test_one_call_in_two_deltas(second: dict[str, Any]) -> None:  # trap 11
    assert events(delta(0, "a", "f", "{"), second) == ONE
    assert events(delta(second.get("index"), "a", "f", "{"), second) == ONE


@pytest.mark.parametrize("indices", [(0, 1), (None, None), (0, 0), (1, 2), (5, 3)])
def test_two_calls_that_come_whole(indices: tuple[int | None, int | None]) -> None:  # trap 11
    first, second = indices

    assert events(delta(first, "a", "f", "{}"), delta(second, "b", "g", "[]")) == TWO


def test_calls_that_interleave() -> None:
    found = events(
        delta(0, "a", "f", ""),
        delta(1, "b", "g", ""),
        delta(0, None, None, "{"),
        delta(1, None, None, "["),
        delta(0, None, None, "}"),
    )

    texts = [Arguments(0, "{"), Arguments(1, "["), Arguments(0, "}")]
    assert found == [Call(0, "a", "f"), Call(1, "b", "g"), *texts]


def test_calls_without_index_that_interleave_are_told_apart_by_id() -> None:
    found = events(
        delta(None, "a", "f", ""), delta(None, "b", "g", ""), delta(None, "a", None, "{}")
    )

    assert found == [Call(0, "a", "f"), Call(1, "b", "g"), Arguments(0, "{}")]


def test_a_call_without_id_gets_one_of_its_own() -> None:
    whole = [delta(None, None, "f", "{}"), delta(None, "", "f", "{}")]
    first, _, second, _ = events(*whole)

    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert first.id.startswith("call_")
    assert first.id != second.id
    assert events(*whole)[0] == first
    assert events(*whole, response="other")[0] != first


def test_a_name_that_comes_late_is_waited_for() -> None:
    late = events(delta(0, "a", None, "{"), delta(0, None, "f", ""), delta(0, None, None, "}"))

    assert late == ONE
    assert events(delta(0, "a", None, "{}")) == [Call(0, "a", ""), Arguments(0, "{}")]


def test_a_custom_tools_call() -> None:
    custom = {"index": 0, "id": "a", "custom": {"name": "f", "input": "free"}}

    assert events(custom) == [Call(0, "a", "f", custom=True), Arguments(0, "free")]


def test_a_calls_signature() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "s"}}}

    assert events(delta(0, "a", "f", "") | extra) == [Call(0, "a", "f", 0, False, "s", NAME)]
    assert events(delta(0, "a", "f", "") | {"extra_content": {}}) == [Call(0, "a", "f")]
