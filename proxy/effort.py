"""How much a model is to think: in words, or in tokens.

No provider says what a word is worth, so one table does, wherever a side counts and the other
does not.
"""

BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}
"""Tokens; 1024 is the least that those who count take."""


def budget_of(effort: str) -> int:
    """The tokens that an effort is worth; -1 ("as it sees fit") for a word that is not known."""
    return BUDGETS.get(effort, -1)


def effort_of(budget: int) -> str | None:
    """The least effort that is worth a budget; None if the model is to think as it sees fit."""
    if budget < 0:
        return None
    return next((effort for effort, worth in BUDGETS.items() if worth >= budget), "max")
