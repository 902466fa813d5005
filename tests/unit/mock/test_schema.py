import random
from typing import Any

import msgspec
import pytest

from proxy.mock.schema import Schema, example


def make(schema: dict[str, Any], seed: int = 0) -> Any:
    return example(msgspec.convert(schema, Schema), random.Random(seed))


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, str),
        ({"type": "integer"}, int),
        ({"type": "number"}, float),
        ({"type": "boolean"}, bool),
        ({"type": "array", "items": {"type": "string"}}, list),
        ({"type": "object"}, dict),
        ({"type": "null"}, type(None)),
        ({"type": ["null", "integer"]}, int),
        ({"properties": {"a": {"type": "string"}}}, dict),
        ({}, type(None)),
    ],
)
def test_a_value_has_the_type_of_its_schema(schema: dict[str, Any], kind: type) -> None:
    assert type(make(schema)) is kind


def test_an_object_has_its_required_properties_and_no_others() -> None:
    value = make(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 3},
                "note": {"type": "string"},
            },
            "required": ["city", "days"],
        }
    )
    assert list(value) == ["city", "days"]
    assert isinstance(value["city"], str)
    assert value["days"] in (1, 2, 3)


def test_enum_and_const_are_kept() -> None:
    assert {make({"enum": ["a", 2]}, seed) for seed in range(20)} == {"a", 2}
    assert make({"const": None}) is None
    assert make({"type": "string", "const": "x"}) == "x"


@pytest.mark.parametrize("seed", range(20))
def test_bounds_are_kept(seed: int) -> None:
    assert make({"type": "integer", "minimum": -3, "exclusiveMaximum": -1}, seed) in (-3, -2)
    assert make({"type": "integer", "maximum": -200}, seed) <= -200
    assert make({"type": "integer", "minimum": 1000}, seed) >= 1000
    assert make({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, seed) > 5
    assert 0 < make({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, seed) <= 1
    assert len(make({"type": "string", "minLength": 50}, seed)) >= 50
    assert len(make({"type": "string", "maxLength": 2}, seed)) <= 2
    assert len(make({"type": "array", "minItems": 3}, seed)) == 3
    assert make({"type": "array", "maxItems": 0}, seed) == []


def test_items_that_are_a_list_are_one_schema_each() -> None:
    number, text = make({"type": "array", "items": [{"type": "integer"}, {"type": "string"}]})
    assert isinstance(number, int)
    assert isinstance(text, str)


def test_formats_are_kept() -> None:
    assert make({"type": "string", "format": "date"}) == "2025-01-01"
    assert isinstance(make({"type": "string", "format": "of-my-own"}), str)


def test_references_are_followed() -> None:
    for place in ("$defs", "definitions"):
        schema = {
            "type": "object",
            "properties": {"size": {"$ref": f"#/{place}/Size"}},
            "required": ["size"],
            place: {"Size": {"enum": ["small"]}},
        }
        assert make(schema) == {"size": "small"}


def test_a_schema_that_may_contain_itself_comes_to_an_end() -> None:
    optional = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    many = {"type": "array", "items": {"$ref": "#"}}
    for child in (optional, many):
        value = make({"type": "object", "properties": {"child": child}, "required": ["child"]})
        assert "child" in value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]},
        {
            "type": "array",
            "minItems": 1000,
            "items": {"type": "array", "minItems": 1000, "items": {"type": "integer"}},
        },
    ],
)
def test_a_value_without_end_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a schema whose smallest value"):
        make(schema)


@pytest.mark.parametrize("ref", ["#/$defs/Nobody", "https://example.com/schema", "#/properties/a"])
def test_a_reference_to_nothing_is_refused(ref: str) -> None:
    with pytest.raises(ValueError, match=r"expected \$ref to name a definition"):
        make({"$ref": ref})


def test_the_same_seed_makes_the_same_value() -> None:
    schema = {"type": "array", "minItems": 5, "items": {"type": "string"}}
    assert make(schema, 1) == make(schema, 1) != make(schema, 2)
