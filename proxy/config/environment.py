"""What the environment adds: values of single keys, and ``${NAME}`` in strings."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from proxy.config.kinds import CONTRACTS, is_struct, item, plain, struct_of
from proxy.config.lines import KeyPath
from proxy.config.section import keys, metas
from proxy.config.sections import Settings
from proxy.config.source import Source
from proxy.registry import suggest
from proxy.units import Duration, Size

PREFIX = "LLM_PROXY__"
"""What the names of variables begin with that set a key: LLM_PROXY__SECTION__KEY."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(?:(\$)|\{{({_NAME})(?::-((?:(?!\$\{{)[^}}])*))?\}}|(\{{))")


def override(source: Source, environ: Mapping[str, str]) -> list[str]:
    """Set in `source` what variables say of its keys; returns what is wrong with them."""
    problems = []
    seen: dict[KeyPath, str] = {}
    # What a table is decides which keys it has: a `type` comes before them.
    for name in sorted(environ, key=lambda name: (not name.upper().endswith("__TYPE"), name)):
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX).split("__")
        try:
            path, kind = _locate(Settings, source.tree, words, ())
            if path in seen:
                raise ValueError(f"{seen[path]} is the same key")
            seen[path] = name
            source.set(path, _value(kind, environ[name]), name)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return problems


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """`text` with each ``${NAME}`` and ``${NAME:-default}`` replaced, and each ``$$`` a ``$``.

    As in a shell, the default stands in for a variable that is empty, too. Raises ValueError that
    names a variable that is missing, or empty, where there is no default.
    """

    def value(match: re.Match[str]) -> str:
        dollar, name, default, malformed = match.groups()
        if dollar:
            return "$"
        if malformed:
            raise ValueError(
                'holds a "${" that begins no reference (expected "${NAME}" or '
                '"${NAME:-default}"; "$$" stands for a dollar sign)'
            )
        if found := environ.get(name):
            return _utf8(found, f"the environment variable {name}")
        if default is not None:
            return str(default)
        lacks = "is empty" if name in environ else "is not set"
        hint = f'"${{{name}:-…}}" would have a default'
        raise ValueError(f"the environment variable {name} {lacks} ({hint})")

    return _REFERENCE.sub(value, text)


def interpolate_all(
    source: Source, environ: Mapping[str, str], problem: Callable[[KeyPath, Exception], None]
) -> None:
    """Do so in every string of `source`; one that is wrong stays as it is, and `problem` hears."""

    _replace(source.tree, (), environ, problem)


def _replace(
    value: Any,
    path: KeyPath,
    environ: Mapping[str, str],
    problem: Callable[[KeyPath, Exception], None],
) -> Any:
    if isinstance(value, dict):
        for key, below in value.items():
            value[key] = _replace(below, (*path, key), environ, problem)
    elif isinstance(value, list):
        value[:] = [_replace(v, (*path, i), environ, problem) for i, v in enumerate(value)]
    elif isinstance(value, str) and "$" in value:
        try:
            return interpolate(value, environ)
        except ValueError as error:
            problem(path, error)
    return value


def _locate(kind: Any, raw: Any, words: list[str], path: KeyPath) -> tuple[KeyPath, Any]:
    """The key that `words` spell below `path`, where `raw` of type `kind` is, and its type."""
    kind = plain(kind)
    struct = struct_of(kind, raw)
    if not words:
        if get_origin(kind) is dict or (is_struct(struct) and not _has_text(kind)):
            known = keys(struct) if struct is not None else raw or ()
            raise ValueError(f"[{_dotted(path)}] is a table: say which key of it ({_known(known)})")
        _no_tables(kind, path)
        return path, kind
    word, *rest = words
    if isinstance(raw, str):
        raise ValueError(f"[{_dotted(path)}] is no table")
    if struct is not None:
        known = keys(struct)
        key = _match(word, known)
        if key is None:
            what = f"unknown key in [{_dotted(path)}]" if path else "unknown section"
            raise ValueError(f"{what} ({suggest(word.lower(), known)})")
        below = known[key].type
        if any((meta.extra or {}).get("environment") is False for meta in metas(below)):
            raise ValueError(f"[{_dotted((*path, key))}] is for a file to say, not for a variable")
    elif get_origin(kind) is dict:
        named = raw if isinstance(raw, dict) else {}
        # Values may be added to a table of them, but a variable makes no section.
        below = get_args(kind)[1]
        free = struct_of(below, None) is None and plain(below) not in CONTRACTS
        key = _match(word, named) or (word.lower() if free else None)
        if key is None:
            raise ValueError(f"unknown {_dotted(path)} ({suggest(word.lower(), named)})")
    else:
        _no_tables(kind, path)
        raise ValueError(f"[{_dotted(path)}] is no table")
    return _locate(below, raw.get(key) if isinstance(raw, dict) else None, rest, (*path, key))


def _no_tables(kind: Any, path: KeyPath) -> None:
    if is_struct(plain(item(kind))) and not _has_text(plain(item(kind))):
        raise ValueError(f"[[{_dotted(path)}]] is an array of tables, which no variable can set")


def _has_text(kind: Any) -> bool:
    """Whether a string may stand for a table of this type."""
    return kind in CONTRACTS or hasattr(kind, "from_text")


def _match(word: str, known: Iterable[str]) -> str | None:
    return next((key for key in known if _fold(key) == _fold(word)), None)


def _fold(key: str) -> str:
    return re.sub("[-.]", "_", key.lower())


def _known(known: Iterable[str]) -> str:
    return suggest("", known)


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _value(kind: Any, text: str) -> object:
    """`text` as TOML, else as a string; where only a string will do it is one."""
    if not text:
        raise ValueError("is empty (unset it, or give it a value)")
    _utf8(text, "it")
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = tree.pop("value")
    string = kind in (str, Duration, Size) or get_origin(kind) is Literal or kind in CONTRACTS
    if string and not isinstance(value, (str, list) if kind in CONTRACTS else str):
        return text
    return text if tree else value


def _utf8(text: str, what: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):
        # Not by encoding it: a UnicodeEncodeError would carry the value along.
        raise ValueError(f"{what} is not UTF-8")
    return text
