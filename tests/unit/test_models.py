"""The models that can be asked for, as the routes know them."""

import json

import pytest

from proxy.models import Model, Shape, asked, encode_list, encode_one, known_models, shape_for
from proxy.router import Route, Router, Target
from tests.unit.conftest import NO_TIMEOUTS, provider

SHAPES: list[Shape] = ["openai", "anthropic", "gemini"]


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
    assert json.loads(encode_list(MODELS, "openai")) == {
        "object": "list",
        "data": [
            {"id": "a/é", "object": "model", "created": 0, "owned_by": "x"},
            {"id": "b", "object": "model", "created": 0, "owned_by": "y"},
        ],
    }


def test_the_list_is_as_anthropics_clients_read_it() -> None:
    found = json.loads(encode_list(MODELS, "anthropic"))

    assert [(entry["type"], entry["id"]) for entry in found["data"]] == [
        ("model", "a/é"),
        ("model", "b"),
    ]
    assert (found["has_more"], found["first_id"], found["last_id"]) == (False, "a/é", "b")


def test_the_list_is_as_googles_clients_read_it() -> None:
    found = json.loads(encode_list(MODELS, "gemini"))

    assert [entry["name"] for entry in found["models"]] == ["models/a/é", "models/b"]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_model_is_a_list_of_none(shape: Shape) -> None:
    found = json.loads(encode_list([], shape))

    assert (found.get("data") or found.get("models") or []) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_one_model_is_found_by_its_name(shape: Shape) -> None:
    found = encode_one(MODELS, "b", shape)

    assert found is not None
    listed = json.loads(encode_list(MODELS, shape))
    assert json.loads(found) == (listed.get("data") or listed["models"])[1]
    assert encode_one(MODELS, "B", shape) is None


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models", ""),
        ("/v1beta/models", ""),
        ("/v1/models/a%2Fb", "a%2Fb"),
        ("/v1beta/models/a/b", "a/b"),
        ("/v1/models/", None),
        ("/v1/modelsx", None),
        ("/v1/chat/completions", None),
    ],
)
def test_a_path_asks_for_all_or_for_one(path: str, model: str | None) -> None:
    assert asked(path) == model


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/models", {}, "openai"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("/v1/models", {"x-goog-api-key": "k"}, "gemini"),
        ("/v1beta/models", {}, "gemini"),
    ],
)
def test_who_asks_shows(path: str, headers: dict[str, str], shape: Shape) -> None:
    assert shape_for(path, headers) == shape
