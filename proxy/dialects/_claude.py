"""What Claude takes, wherever it is asked: how it is told to think, and what goes with thinking."""

import re
from typing import Any

import msgspec

from proxy.chat import Chat, Rendering
from proxy.effort import BUDGETS, budget_of, effort_of

_counts_thinking = re.compile(
    # Models up to 4.5 are told how many tokens to think, later ones how hard.
    r"claude-(?:2|3|instant|(?:opus|sonnet|haiku)-4(?:[-.@](?:[015]|\d{8})(?!\d)|$))"
).search
_LEAST_BUDGET = 1024
_LEAST_TOP_P = 0.95
"""With thinking."""


class Thought(msgspec.Struct):
    """How a request says how much to think."""

    thinking: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def budget(self) -> int:
        """The tokens to think with, if they are said."""
        found: int = (self.thinking or {}).get("budget_tokens", 0)
        return found

    @property
    def thinks(self) -> bool:
        """Whether there will be thoughts."""
        return self.thinking is not None and self.thinking["type"] != "disabled"


def think(chat: Chat, rendering: Rendering, *, resumes: bool) -> Thought:
    """What to say of a chat's reasoning that came in another dialect; what cannot be is a hint.

    An effort becomes an effort and adaptive thinking, or a budget where the model counts. Neither
    goes with a tool that must be called. `resumes`: the turn that goes on has calls, and began
    without thinking: a budget is refused then.
    """
    reasoning, quirks = chat.reasoning, rendering.quirks
    if reasoning is None:
        return Thought()
    effort = reasoning.effort
    if effort is None and reasoning.budget is not None:
        effort = effort_of(reasoning.budget)
    forced = chat.tool_choice is not None and chat.tool_choice.mode in ("required", "named")
    if "reasoning" in quirks.refuses or (effort is not None and effort not in BUDGETS):
        rendering.omissions.hint("reasoning")
        return Thought()
    if effort == "none":
        return Thought({"type": "disabled"})
    display = {}
    if reasoning.show is not None:
        display["display"] = "summarized" if reasoning.show else "omitted"
    counts = quirks.counts_thinking
    if counts is None:
        counts = _counts_thinking(rendering.model) is not None
    if not counts:
        least = "low" if effort == "minimal" else effort
        if not forced:
            return Thought({"type": "adaptive", **display}, least)
        if least is None:
            rendering.omissions.hint("reasoning")
        return Thought(None, least)
    budget = reasoning.budget
    if budget is None or budget < 0:
        budget = budget_of(effort or "medium")
    if chat.max_tokens is not None:
        # Thinking is part of `max_tokens`, and the answer needs some of them too.
        budget = min(budget, chat.max_tokens // 2)
    if forced or resumes or budget < _LEAST_BUDGET:
        rendering.omissions.hint("reasoning")
        return Thought()
    return Thought({"type": "enabled", "budget_tokens": budget, **display})


def sampling(
    chat: Chat, rendering: Rendering, *, thinks: bool
) -> tuple[float | None, float | None, float | None]:
    """The temperature, top_p and top_k of a chat that came in another dialect, as they are taken.

    A temperature above 1 is left out, never lowered; one other than 1 goes with no thinking, and
    top_p does not go with it.
    """
    omit = rendering.omissions.hint
    temperature, top_p, top_k = chat.temperature, chat.top_p, chat.top_k
    if temperature is not None and (temperature > 1 or (thinks and temperature != 1)):
        omit("temperature")
        temperature = None
    if top_p is not None and (temperature is not None or (thinks and top_p < _LEAST_TOP_P)):
        omit("top_p")
        top_p = None
    if top_k is not None and thinks:
        omit("top_k")
        top_k = None
    return temperature, top_p, top_k


def whole(number: float | None) -> float | None:
    """A number without its fraction, if that is nothing: some take integers only."""
    return int(number) if number is not None and number == int(number) else number
