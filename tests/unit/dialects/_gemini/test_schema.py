"""Gemini's own kind of schema, made JSON Schema."""

import json

import msgspec
import pytest

from proxy.dialects._gemini.schema import json_schema
from proxy.errors import BadRequest

CASES = [
    ({"type": "STRING"}, {"type": "string"}),
    ({"type": 6}, {"type": "object"}),
    ({"type": "TYPE_UNSPECIFIED", "title": "t"}, {"title": "t"}),
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    (
        {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
        {"type": ["string", "null"], "format": "enum", "enum": ["a", None]},
    ),
    (
        {"anyOf": [{"type": "STRING"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    ({"type": "STRING", "nullable": False}, {"type": "string"}),
    ({"type": "ARRAY", "items": {"type": 1}, "minItems": "2"}, None),
    (
        {
            "type": "OBJECT",
            "properties": {"max_items": {"type": "INTEGER"}, "b": True},
            "property_ordering": ["max_items"],
            "required": ["max_items"],
        },
        {
            "type": "object",
            "properties": {"max_items": {"type": "integer"}, "b": True},
            "required": ["max_items"],
        },
    ),
    ({"any_of": [{"type": "NUMBER"}]}, {"anyOf": [{"type": "number"}]}),
    ({"type": "STRING", "example": "x"}, {"type": "string", "examples": ["x"]}),
]


@pytest.mark.parametrize(("own", "standard"), CASES)
def test_what_it_says_is_said_in_json_schema(
    own: dict[str, object], standard: dict[str, object] | None
) -> None:
    if standard is None:
        standard = {"type": "array", "items": {"type": "string"}, "minItems": 2}

    assert json.loads(bytes(json_schema(msgspec.Raw(json.dumps(own).encode()), "p"))) == standard


def test_what_is_json_schema_already_stays() -> None:
    raw = (
        b'{"$schema":"x","type":["integer","null"],"minimum":1.0,"maximum":1e400,'
        b'"properties":{"a":{"type":"string","x-own":{"type":"STRING"}}},'
        b'"additionalProperties":false,"$defs":{"snake_case":{}},"items":false}'
    )

    assert bytes(json_schema(msgspec.Raw(raw), "p")) == raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"1", "`p` must be an object"),
        (b'{"type":[]', "`p`"),
        (b'{"type":true}', "`p.type` must be the name of a value"),
        (b'{"properties":[]}', "`p` is not a schema"),
        (b'{"type":"STRING","nullable":true,"enum":1}', "`p` is not a schema"),
        (b'{"properties":{"a":{"type":9}}}', "`p.properties.a.type` must be"),
        (b'{"items":' * 200 + b"{}" + b"}" * 200, "is nested too deep"),
    ],
)
def test_what_is_no_schema_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        json_schema(msgspec.Raw(raw), "p")
