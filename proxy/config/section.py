"""A section: a table of the configuration; its struct documents the keys in their types."""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from proxy.units import Duration

Patterns = tuple[str, ...]
Count = Annotated[int, Meta(ge=0)]
Override = Annotated[Duration | None, Meta(description="As in [global], for this one.")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration."""


class TimeoutOverrides(Section, frozen=True, kw_only=True):
    """The timeouts of a provider or of a route, where they differ from those around it."""

    connect_timeout: Override = None
    first_byte_timeout: Override = None
    idle_timeout: Override = None
    send_timeout: Override = None
    total_timeout: Override = None


class Key(NamedTuple):
    """A key of a section, as documentation and errors need it."""

    name: str
    type: Any
    required: bool
    default: Any
    description: str
    example: Any


@functools.cache
def keys(section: type[msgspec.Struct]) -> Mapping[str, Key]:
    """The keys of a section or a component, its own before those it inherits."""
    fields = {field.name: field for field in msgspec.structs.fields(section)}
    inherited = getattr(section.__base__, "__struct_fields__", ())
    order = [name for name in fields if name not in inherited]
    order += [name for name in fields if name in inherited]
    return MappingProxyType({fields[name].encode_name: _key(fields[name]) for name in order})


def _key(field: msgspec.structs.FieldInfo) -> Key:
    factory = field.default_factory
    return Key(
        name=field.name,
        type=field.type,
        required=field.required,
        default=field.default if factory is msgspec.NODEFAULT else factory(),
        description=next((meta.description for meta in metas(field.type) if meta.description), ""),
        example=next((meta.examples[0] for meta in metas(field.type) if meta.examples), None),
    )


def metas(annotated: Any) -> list[Meta]:
    """What is said of a type beside the type itself."""
    return [meta for meta in getattr(annotated, "__metadata__", ()) if isinstance(meta, Meta)]
