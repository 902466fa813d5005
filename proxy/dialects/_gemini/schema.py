"""Gemini's own kind of schema, made JSON Schema.

It is the part of OpenAPI 3.0 that function declarations and `responseSchema` are written in:
types in upper case (or as numbers), `nullable`, an order of properties.
https://ai.google.dev/api/caching#Schema
"""

from typing import Any

import msgspec

from proxy.dialects._gemini.fields import Fields, first
from proxy.dialects._gemini.wire import encode
from proxy.errors import BadRequest

Raw = msgspec.Raw

_TYPES = ("unspecified", "string", "number", "integer", "boolean", "array", "object", "null")
_UNSPECIFIED = {"type_unspecified", "unspecified"}
_LIMITS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_MAX_DEPTH = 100


def json_schema(raw: Raw, where: str) -> Raw:
    """The JSON Schema that says what `raw` says. Raises BadRequest.

    What JSON Schema knows already, in requests that have it in this place, stays as it is.
    """
    try:
        return Raw(encode(_converted(Fields(raw, where), 0)))
    except msgspec.MsgspecError as error:
        raise BadRequest(f"`{where}` is not a schema: {error}", param=where) from error


def _converted(schema: Fields, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise schema.wrong("items", "is nested too deep")
    found: dict[str, Any] = {}
    nullable = schema.flag("nullable")
    for name in list(schema.members):
        if name == "type":
            kind = _type(schema)
            if kind is not None:
                found[name] = kind
        elif name == "properties":
            properties = schema.raw(name)
            assert properties is not None
            found[name] = _properties(properties, schema.at(name), depth)
        elif name == "anyOf":
            found[name] = [_converted(one, depth + 1) for one in schema.objects(name)]
        elif name == "items" and first(schema.members[name]) == b"{":
            items = schema.object(name)
            assert items is not None
            found[name] = _converted(items, depth + 1)
        elif name in _LIMITS:
            found[name] = schema.integer(name)
        elif name == "example":
            found["examples"] = [schema.raw(name)]
        elif name == "propertyOrdering":
            schema.raw(name)
        else:
            # JSON Schema's own names may hold underscores or dollars: they are no camel's.
            found[name] = schema.raw(name)
    if nullable:
        _allow_null(found)
    return found


def _properties(raw: Raw, where: str, depth: int) -> dict[str, Any]:
    named = msgspec.json.decode(raw, type=dict[str, Raw])
    return {
        name: _converted(Fields(value, f"{where}.{name}"), depth + 1)
        if first(value) == b"{"
        else value
        for name, value in named.items()
    }


def _type(schema: Fields) -> object:
    raw = schema.members["type"]
    if first(raw) == b"[":
        return schema.raw("type")
    word = schema.word("type", _TYPES)
    lower = (word or "").lower()
    return None if lower in _UNSPECIFIED else lower


def _allow_null(found: dict[str, Any]) -> None:
    kind = found.get("type")
    if isinstance(kind, str):
        found["type"] = [kind, "null"]
        if "enum" in found:
            values = msgspec.json.decode(found["enum"], type=list[Raw])
            found["enum"] = [*values, None]
    elif isinstance(found.get("anyOf"), list):
        found["anyOf"].append({"type": "null"})
