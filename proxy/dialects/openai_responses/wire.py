"""How OpenAI's Responses spell what is to be given back, and formats of custom tools."""

from typing import Any

import msgspec

from proxy.chat import ThinkingPart, seal, unseal
from proxy.exchange import Raw

NAME = "openai_responses"

_REDACTED = "+redacted"
"""Follows the dialect in a seal where what is sealed is a block that nobody may read."""
_ID_ENDS = ":"


def pack(identifier: str, encrypted: str) -> str:
    """A signature of this dialect: encrypted reasoning, and the id of the item that it is of."""
    return f"{identifier}{_ID_ENDS}{encrypted}"


def unpack(signature: str) -> tuple[str, str]:
    """The id of an item, which may be "", and its encrypted reasoning."""
    identifier, found, encrypted = signature.partition(_ID_ENDS)
    return (identifier, encrypted) if found else ("", signature)


def encrypted_content(value: str, origin: str, *, redacted: bool) -> str:
    """A signature of any dialect as a client of this one is to keep it."""
    if origin == NAME:
        return unpack(value)[1]
    return seal(value, origin + _REDACTED if redacted else origin, NAME)


def thinking_of(text: str, identifier: str, encrypted: str) -> ThinkingPart:
    """The reasoning that a client brings back in an item."""
    if not encrypted:
        return ThinkingPart(text=text)
    value, origin = unseal(encrypted, NAME)
    if origin == NAME:
        return ThinkingPart(text=text, signature=pack(identifier, value), origin=NAME)
    redacted = origin.endswith(_REDACTED)
    dialect = origin.removesuffix(_REDACTED)
    return ThinkingPart(text=text, signature=value, origin=dialect, redacted=redacted)


class _Format(msgspec.Struct, omit_defaults=True):
    type: str = ""
    grammar: Raw = Raw()
    syntax: Raw = Raw()
    definition: Raw = Raw()


class _Grammar(msgspec.Struct):
    syntax: Raw
    definition: Raw


_format = msgspec.json.Decoder(_Format)
_grammar = msgspec.json.Decoder(_Grammar)


def nested_format(flat: Raw) -> Raw:
    """The format of a custom tool as Chat spells it, which the neutral form has."""
    try:
        found = _format.decode(flat)
    except msgspec.ValidationError:
        return flat
    if found.type != "grammar" or not found.syntax or not found.definition:
        return flat
    grammar = {"syntax": found.syntax, "definition": found.definition}
    return Raw(msgspec.json.encode({"type": "grammar", "grammar": grammar}))


def flat_format(nested: Raw) -> Raw | dict[str, Any]:
    """The format of a custom tool as it is spelled here."""
    try:
        found = _format.decode(nested)
        grammar = _grammar.decode(found.grammar) if found.grammar else None
    except msgspec.ValidationError:
        return nested
    if grammar is None:
        return nested
    return {"type": found.type, "syntax": grammar.syntax, "definition": grammar.definition}
