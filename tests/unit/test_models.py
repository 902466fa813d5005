"""The models that can be asked for, as the routes know them."""

import json

import pytest

from proxy.models import Model, encode_list, encode_one, known_models
from proxy.router import Route, Router, Target
from tests.unit.conftest import NO_TIMEOUTS, provider


def route(models: tuple[str, ...] | None, *targets: str) -> Route:
    """A route to targets that are written "provider/model" or "provider"."""
    made = []
    for target in targets:
        name, _, model = target.partition("/")
        made.append(Target(provider(name), model or None, NO_TIMEOUTS))
    return Route("it", paths=None, models=models, processors=(), targets=tuple(made), usage="auto")


@pytest.mark.parametrize(
    ("routes", "known"),
    [
        ([], []),
        ([route(None, "a")], []),
        ([route(None, "a/m")], [("m", "a")]),
        ([route(("fast", "smart"), "a/m")], [("fast", "a"), ("smart", "a")]),
        ([route(("gpt-*",), "a", "b")], []),
        ([route(("gpt-*",), "a/gpt-4o", "b/other")], [("gpt-4o", "a")]),
        ([route(("gpt-*", "x"), "a/gpt-4o")], [("x", "a"), ("gpt-4o", "a")]),
        ([route(("m",), "a"), route(("m", "n"), "b")], [("m", "a"), ("n", "b")]),
        ([route(("m",), "a/meta/llama", "b/m")], [("m", "a")]),
    ],
)
def test_each_name_is_known_once_in_the_order_of_the_routes(
    routes: list[Route], known: list[tuple[str, str]]
) -> None:
    models = known_models(Router([], tuple(routes)))

    assert [(model.id, model.owned_by) for model in models] == known


MODELS = [Model(id="a/é", owned_by="x"), Model(id="b", owned_by="y")]


def test_the_list_is_as_openais_clients_read_it() -> None:
    assert json.loads(encode_list(MODELS)) == {
        "object": "list",
        "data": [
            {"id": "a/é", "object": "model", "created": 0, "owned_by": "x"},
            {"id": "b", "object": "model", "created": 0, "owned_by": "y"},
        ],
    }


def test_one_model_is_found_by_its_name() -> None:
    found = encode_one(MODELS, "b")

    assert found is not None
    assert json.loads(found) == json.loads(encode_list(MODELS))["data"][1]
    assert encode_one(MODELS, "B") is None
