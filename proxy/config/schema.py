"""The configuration as a JSON Schema, for the editors that complete and check TOML with one.

Only what draft 4 and its successors have in common is used, and no ``$ref``: taplo and tombi read
it, and every validator.
"""

from typing import Any, Literal, get_args, get_origin

import msgspec

from proxy.component import Component
from proxy.config.effective import plain_value
from proxy.config.kinds import (
    CONTRACTS,
    holds_pem,
    is_bare,
    is_struct,
    item,
    may_be_plain,
    plain,
    union,
)
from proxy.config.provider import ProviderConfig
from proxy.config.section import Key, keys, metas
from proxy.config.sections import Document
from proxy.preset import presets
from proxy.registry import find, names
from proxy.token import Reference, Secret, Token
from proxy.units import Duration, Size
from proxy.url import Url

Schema = dict[str, Any]

_VARIABLE = r"\$\{"
"""What a string holds that says nothing yet of what it will be."""
_PATTERNS = {
    Duration: rf"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$|{_VARIABLE}",
    Size: rf"^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$|{_VARIABLE}",
}
_SIMPLE = {str: "string", Secret: "string", int: "integer", float: "number", bool: "boolean"}
_CONSTRAINTS = {
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "integer": {"ge": "minimum", "le": "maximum"},
    "number": {"ge": "minimum", "le": "maximum"},
}


def schema() -> Schema:
    """The schema of a whole file, with every component that is installed."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "llm-proxy"}
    return head | _table(Document)


def summary(struct: type[msgspec.Struct]) -> str:
    """What a table is for, in the first paragraph of its struct's documentation."""
    text = " ".join((struct.__doc__ or "").split("\n\n")[0].split())
    text = text.rpartition("``: ")[2].replace("``", "`")
    return text[:1].upper() + text[1:]


def _table(
    struct: type[msgspec.Struct], called: list[str] | None = None, *, inside: bool = False
) -> Schema:
    """A table with the keys of a struct; `called` is what its key `type` says.

    `inside`: it is a component, and components in it are not spelled out, or there were no end.
    """
    known = keys(struct)
    properties = {name: _key(about, inside=inside) for name, about in known.items()}
    required = [name for name, about in known.items() if about.required]
    if called is not None:
        about = {"description": "What it is."} | properties.get("type", {})
        properties = properties | {"type": about | {"type": "string", "enum": called}}
        required = ["type", *(name for name in required if name != "type")]
    table: Schema = {"type": "object", "description": summary(struct), "properties": properties}
    if required:
        table["required"] = required
    return table | {"additionalProperties": False}


def _key(about: Key, *, inside: bool) -> Schema:
    form = _kind(about.type, inside=inside)
    description = " ".join(filter(None, (about.description, form.pop("description", ""))))
    described = {"description": description} | form
    default = None if about.required else plain_value(about.default)
    if isinstance(default, dict) and is_struct(plain(about.type)):
        return described  # each of its keys has its own
    return described if default in (None, [], {}, "") else described | {"default": default}


def _kind(annotated: Any, *, inside: bool) -> Schema:
    """What spells a type, with what its annotation allows of it."""
    kind = plain(annotated)
    if kind in CONTRACTS:
        forms = [_reference(kind), {"type": "object"}] if inside else _components(kind)
        if may_be_plain(annotated) or holds_pem(annotated):
            forms = [{"type": "string"}, *forms[1:]]
        return _any_of(forms)
    if len(union(kind)) > 1:
        return _any_of([_kind(member, inside=inside) for member in union(kind)])
    if is_struct(kind):
        inside = inside or issubclass(kind, Component)
        table = _table(kind, _presets() if kind is ProviderConfig else None, inside=inside)
        return _any_of([{"type": "string"}, table]) if hasattr(kind, "from_text") else table
    if get_origin(kind) is Literal:
        words = {"type": "string", "enum": list(get_args(kind))}
        # A single word is what tells this table from others: no variable stands for it.
        either = [{"type": "string", "pattern": _VARIABLE}] if len(get_args(kind)) > 1 else []
        return _any_of([words, *either])
    if get_origin(kind) is dict:
        return {
            "type": "object",
            "additionalProperties": _kind(get_args(kind)[1], inside=inside),
        }
    if (of := item(kind)) is not None:
        element = _kind(of, inside=inside)
        array = _constrained({"type": "array", "items": element}, annotated)
        # Wherever a list is expected, one string stands for a list of it, and a table that has a
        # string for short, too.
        short = ("string", "object") if hasattr(plain(of), "from_text") else ("string",)
        one = [form for form in element.get("anyOf", [element]) if form.get("type") in short]
        return _any_of([array, *one])
    if kind in _PATTERNS:
        return {"type": "string", "pattern": _PATTERNS[kind]}
    return _constrained({"type": _SIMPLE[kind]}, annotated) if kind in _SIMPLE else {}


def _components(contract: type) -> list[Schema]:
    """The members of a family, each as a table that names it, and what is shorter than that."""
    family = CONTRACTS[contract]
    members: dict[str, Any] = {name: find(family, name) for name in names(family)}
    tables = [
        _table(member, [name], inside=True)
        for name, member in members.items()
        if issubclass(member, contract)
    ]
    if contract is Url:
        return [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, *tables]
    if contract is Token:
        each = _any_of([_reference(contract), {"type": "object"}])
        return [_reference(contract), {"type": "array", "items": each}, *tables]
    return [_reference(contract), *tables] if contract is Reference else tables


def _reference(contract: type) -> Schema:
    """A token as a string."""
    spelled = []
    for name in names("tokens"):
        kind: Any = find("tokens", name)
        if not issubclass(kind, contract):
            continue
        if hasattr(kind, "from_text"):
            spelled.append(f"{name}:")
        elif is_bare(kind):
            spelled.append(f"{name}$")
    return {"type": "string", "pattern": f"^({'|'.join(spelled)})|{_VARIABLE}"}


def _presets() -> list[str]:
    """The types of providers that are no struct of their own."""
    return [name for name in presets() if name != "mock"]


def _any_of(forms: list[Schema]) -> Schema:
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _constrained(described: Schema, annotated: Any) -> Schema:
    for meta in metas(annotated):
        for name, spelled in _CONSTRAINTS.get(described["type"], {}).items():
            if (limit := getattr(meta, name)) is not None:
                described[spelled] = limit
    return described
