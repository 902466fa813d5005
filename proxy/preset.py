"""A preset: what a provider's ``type`` stands for, a row of providers.toml.

A provider is data; there are no subclasses. A section of the configuration starts from a preset
and changes what it says.
"""

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.chat import Quirks

_BRACES = re.compile(r"\{([A-Za-z_]+)\}")
_KEPT = frozenset({"model"})
"""Names in braces that each request fills in."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a provider's endpoint of a dialect differs from the dialect's own.

    In `path`, ``{model}`` stands for the model, percent-encoded as one segment, and
    ``{model:path}`` for one whose slashes stay; further names in
    braces are the provider's `variables`, here as in its URL and everywhere else.
    """

    path: str | None = None
    """After the base URL; a query may stand there, too."""
    stream_path: str | None = None
    """The same for streams, where it is not `path`."""
    set: dict[str, Any] = {}
    """Top-level fields of the body that are always these."""
    drop: tuple[str, ...] = ()
    """Top-level fields of the body that it must not have."""


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider's ``type`` stands for: everything about it that a section may leave out."""

    title: str
    """What its makers call it."""
    about: str = ""
    """What to know before using it."""
    dialects: tuple[str, ...]
    """What it speaks, by names of the registry's family ``dialects``: a request in one of them
    passes as it is, any other is translated into the first of its form."""
    url: str | None = None
    """Where its API is; None: the section must say."""
    root: str = "/v1"
    """What of a dialect's path the URL stands for."""
    auth: str | None = None
    """The header that carries its token, with ``{token}`` where that goes; None: it takes none."""
    auth_said: bool = False
    """That is what a section says, so every token goes there, whatever it says itself."""
    token_env: tuple[str, ...] = ()
    """Environment variables that may hold its token, where its section names none."""
    needs_token: bool = False
    """It answers nobody without one."""
    token: Any = None
    """Its token, as a section spells one, where neither section nor such a variable has one."""
    starts: bool = True
    """Its key in the environment makes it the provider of a configuration that names none. Not
    where such a variable is there for other reasons."""
    headers: dict[str, str] = {}
    """Fields that it gets where the client sent none of the name; anthropic-beta in any case."""
    variables: dict[str, str] = {}
    """What the names in braces stand for; "" is what the section must say."""
    endpoints: dict[str, Endpoint] = {}
    """By dialect."""
    models: dict[str, tuple[str, ...]] = {}
    """Globs of models, and the dialects that those speak, if not all."""
    stream_usage: bool = False
    """Whether it takes ``stream_options.include_usage``."""
    quirks: Quirks = Quirks()

    def filled(self, key: str, text: str) -> str:
        """`text` with the provider's variables in place of their names in braces.

        Raises ValueError that begins with `key`.
        """

        def value(match: re.Match[str]) -> str:
            if match[1] in _KEPT:
                return match[0]
            if match[1] not in self.variables:
                known = ", ".join(self.variables) or "none"
                raise ValueError(f"{key}: nothing is known of {match[0]} (variables: {known})")
            return self.variables[match[1]]

        return _BRACES.sub(value, text)


@functools.cache
def presets() -> dict[str, Preset]:
    """The presets by name, read once from the package."""
    rows = tomllib.loads(Path(__file__).with_name("providers.toml").read_text("utf-8"))
    return msgspec.convert(rows, dict[str, Preset])


def customised(
    preset: Preset,
    *,
    dialects: tuple[str, ...] | None,
    variables: Mapping[str, str],
    headers: Mapping[str, str],
    paths: Mapping[str, str],
    auth: str | None,
    stream_usage: bool | None,
    max_tokens: int | None,
) -> Preset:
    """A preset as a section changes it, its variables filled in.

    Raises ValueError that begins with the key of the section at fault.
    """
    values = preset.variables | dict(variables)
    for name, value in values.items():
        if not value:
            raise ValueError(f"variables: {name} is missing (variables = {{ {name} = … }})")
    endpoints = dict(preset.endpoints)
    for name, path in paths.items():
        if name not in (dialects or preset.dialects):
            raise ValueError(f"paths: {name} is none of its dialects")
        own = endpoints.get(name, Endpoint())
        endpoints[name] = msgspec.structs.replace(own, path=path, stream_path=path)

    filled = msgspec.structs.replace(preset, variables=values).filled
    quirks = preset.quirks
    if max_tokens is not None:
        quirks = msgspec.structs.replace(quirks, default_max_tokens=max_tokens)
    return msgspec.structs.replace(
        preset,
        dialects=preset.dialects if dialects is None else dialects,
        variables=values,
        auth=preset.auth if auth is None else auth,
        auth_said=auth is not None,
        headers={
            name: filled("headers", text) for name, text in (preset.headers | dict(headers)).items()
        },
        endpoints={
            name: msgspec.structs.replace(
                own,
                path=None if own.path is None else filled("paths", own.path),
                stream_path=None if own.stream_path is None else filled("paths", own.stream_path),
            )
            for name, own in endpoints.items()
        },
        stream_usage=preset.stream_usage if stream_usage is None else stream_usage,
        quirks=quirks,
    )
