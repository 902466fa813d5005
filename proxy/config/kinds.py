"""The types of keys, taken apart: what conversion, environment, schema and documents ask."""

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from proxy.config.section import keys, metas
from proxy.errors import ConfigError
from proxy.processor import Processor
from proxy.registry import find
from proxy.token import Reference, Token
from proxy.url import Url

CONTRACTS: dict[type, str] = {
    Processor: "processors",
    Token: "tokens",
    Reference: "tokens",
    Url: "urls",
}
"""The contracts that keys can have for a type, and the families whose members fulfil them."""


def plain(annotated: Any) -> Any:
    """The type under `Annotated` and beside None."""
    if get_origin(annotated) is Annotated:
        return plain(get_args(annotated)[0])
    members = [member for member in union(annotated) if member is not NoneType]
    return plain(members[0]) if len(members) == 1 and members[0] is not annotated else annotated


def union(kind: Any) -> tuple[Any, ...]:
    """The members of a union; any other type is the only member of itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def item(kind: Any) -> Any:
    """What a list of any length is a list of; None if `kind` is no such list."""
    arguments = get_args(kind)
    if get_origin(kind) is list or (get_origin(kind) is tuple and arguments[1:] == (...,)):
        return arguments[0]
    return None


def is_struct(kind: Any) -> bool:
    """Whether a table spells it."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def may_be_plain(annotated: Any) -> bool:
    """Whether a URL may stand there, without a password, instead of a reference to one."""
    return any(meta.extra and meta.extra.get("plain") for meta in metas(annotated))


def holds_pem(annotated: Any) -> bool:
    """Whether what it refers to is PEM, so that the path of a file may stand there, too."""
    return any(meta.extra and meta.extra.get("pem") for meta in metas(annotated))


def is_bare(kind: type[msgspec.Struct]) -> bool:
    """Whether its name alone spells a component: none of its keys is required."""
    return not any(about.required for about in keys(kind).values())


def struct_of(kind: Any, raw: object) -> type[msgspec.Struct] | None:
    """The struct of the table `raw` under a key of type `kind`; None if that cannot be said.

    Where several are possible, its `type` decides.
    """
    kind = plain(kind)
    named = raw.get("type") if isinstance(raw, dict) else None
    if family := CONTRACTS.get(kind):
        try:
            return find(family, named) if isinstance(named, str) else None
        except ConfigError:
            return None
    structs: list[type[msgspec.Struct]] = [member for member in union(kind) if is_struct(member)]
    for struct in structs:
        about = keys(struct).get("type")
        if about is not None and named in get_args(plain(about.type)):
            return struct
    return structs[0] if structs else None
