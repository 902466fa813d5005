import pytest

from proxy.mock.behaviour import MODELS, Behaviour, behaviour_of


@pytest.mark.parametrize(
    ("model", "behaviour"),
    [
        ("mock", Behaviour("answer")),
        ("mock-status-503", Behaviour("status", 503)),
        ("mock-status-429", Behaviour("status", 429)),
        ("mock-cut-5", Behaviour("cut", 5)),
        ("mock-stall-0", Behaviour("stall", 0)),
        ("mock-error-12", Behaviour("error", 12)),
        ("mock-refuse", Behaviour("refuse")),
    ],
)
def test_a_model_is_asked_for_its_behaviour(model: str, behaviour: Behaviour) -> None:
    assert behaviour_of(model) == behaviour


@pytest.mark.parametrize(
    "model",
    [
        *(
            "gpt-4o-mini",
            "org/mock-cut-5",
            "mock-cut-",
            "mock-cut--1",
            "mock-cut-5x",
            "mock-cut-\u0665",
        ),
        *("mock-status-200", "mock-status-600", "mock-status-50", "mock-refuse-1", "MOCK-REFUSE"),
    ],
)
def test_any_other_model_is_simply_answered(model: str) -> None:
    assert behaviour_of(model) == Behaviour("answer")


def test_the_listed_models_are_one_of_each_behaviour() -> None:
    kinds = [behaviour_of(model).kind for model in MODELS]
    assert sorted(kinds) == sorted({"answer", "status", "cut", "stall", "error", "refuse"})
