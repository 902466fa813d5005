"""What Claude takes; how each dialect says it is in that dialect's tests."""

from typing import Any

import pytest

from proxy.chat import Chat, Omissions, Quirks, Reasoning, Rendering, ToolChoice
from proxy.dialects._claude import Thought, sampling, think, whole

NEW, OLD = "claude-opus-4-7", "claude-sonnet-4-5-20250929"


def rendering(model: str, quirks: Quirks | None = None) -> Rendering:
    omissions = Omissions("x", reject=False)
    return Rendering(model=model, omissions=omissions, quirks=quirks or Quirks())


def thought(
    model: str,
    reasoning: Reasoning | None,
    *,
    resumes: bool = False,
    forced: bool = False,
    max_tokens: int | None = None,
) -> tuple[Thought, list[str]]:
    choice = ToolChoice("required") if forced else None
    chat = Chat(
        model="m", messages=[], reasoning=reasoning, tool_choice=choice, max_tokens=max_tokens
    )
    asked = rendering(model)
    return think(chat, asked, resumes=resumes), asked.omissions.names


def test_nothing_asked_is_nothing_said() -> None:
    for model in (NEW, OLD):
        assert thought(model, None) == (Thought(), [])


def test_an_effort_is_one_or_a_budget() -> None:
    assert thought(NEW, Reasoning(effort="max")) == (Thought({"type": "adaptive"}, "max"), [])
    spent, _ = thought(OLD, Reasoning(effort="max"))
    assert spent == Thought({"type": "enabled", "budget_tokens": 65536})
    assert (spent.budget, spent.thinks) == (65536, True)


def test_not_to_think_is_said() -> None:
    off, _ = thought(NEW, Reasoning(budget=0))

    assert off == Thought({"type": "disabled"})
    assert (off.budget, off.thinks) == (0, False)


@pytest.mark.parametrize("more", [{"resumes": True}, {"forced": True}, {"max_tokens": 2000}])
def test_a_budget_gives_way(more: dict[str, Any]) -> None:
    assert thought(OLD, Reasoning(effort="high"), **more) == (Thought(), ["reasoning"])


def test_a_forced_tool_leaves_the_effort() -> None:
    assert thought(NEW, Reasoning(effort="low"), forced=True) == (Thought(None, "low"), [])


@pytest.mark.parametrize(
    ("asked", "thinks", "taken", "dropped"),
    [
        ((0.5, None, 4.0), False, (0.5, None, 4.0), []),
        ((1.0, None, None), True, (1.0, None, None), []),
        ((1.5, 0.5, None), False, (None, 0.5, None), ["temperature"]),
        ((0.5, 0.5, None), False, (0.5, None, None), ["top_p"]),
        ((0.5, 0.9, 4.0), True, (None, None, None), ["temperature", "top_p", "top_k"]),
        ((None, 0.95, None), True, (None, 0.95, None), []),
    ],
)
def test_sampling_as_it_is_taken(
    asked: tuple[float | None, ...],
    thinks: bool,
    taken: tuple[float | None, ...],
    dropped: list[str],
) -> None:
    temperature, top_p, top_k = asked
    chat = Chat(model="m", messages=[], temperature=temperature, top_p=top_p, top_k=top_k)
    to = rendering(NEW)

    assert sampling(chat, to, thinks=thinks) == taken
    assert to.omissions.names == dropped


def test_whole_numbers_are_integers() -> None:
    assert [whole(4.0), whole(4.5), whole(None)] == [4, 4.5, None]
    assert type(whole(4.0)) is int
