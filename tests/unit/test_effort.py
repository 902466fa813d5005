"""How much a model is to think: in words, or in tokens."""

import pytest

from proxy.effort import BUDGETS, budget_of, effort_of


def test_each_effort_and_its_worth_are_each_others() -> None:
    for effort, budget in BUDGETS.items():
        assert (budget_of(effort), effort_of(budget)) == (budget, effort)


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(-1, None), (1, "minimal"), (1025, "low"), (6400, "medium"), (1 << 30, "max")],
)
def test_a_budget_buys_the_least_effort_that_is_worth_it(budget: int, effort: str | None) -> None:
    assert effort_of(budget) == effort


def test_a_word_that_is_not_known_leaves_it_to_the_model() -> None:
    assert budget_of("galactic") == -1
