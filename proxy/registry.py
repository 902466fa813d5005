"""Names to classes: everything that ``type = "…"`` can name, ours and other people's alike.

Both enter by the same door, the entry points of an installed distribution: group
``llm_proxy.FAMILY``, entry ``name = module:Class``. Only the class that is asked for is imported.
"""

import functools
import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FAMILIES = {
    "processors": "processor",
    "dialects": "dialect",
    "tokens": "token",
    "urls": "url",
}
"""The families, each with what one member of it is called."""


def names(family: str) -> list[str]:
    """The names that `family` knows, sorted."""
    return sorted({entry.name for entry in _entries(family)})


def find(family: str, name: str) -> type:
    """The class that `name` stands for; ConfigError if that is not exactly one."""
    kind = f"{FAMILIES[family]} type {json.dumps(name)}"
    # An editable install can list an entry twice: the same value is the same class.
    found = {entry.value: entry for entry in _entries(family) if entry.name == name}
    if not found:
        known = names(family)
        if not known:
            raise ConfigError([f"unknown {kind} (none is known: is llm-proxy installed?)"])
        raise ConfigError([f"unknown {kind} ({suggest(name, known)})"])
    if len(found) > 1:
        offers = ", ".join(sorted(found))
        raise ConfigError([f"{kind} is ambiguous (it is offered by {offers})"])
    (entry,) = found.values()
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError([f"{kind} cannot be loaded from {entry.value}: {error}"]) from error
    if not isinstance(loaded, type):
        raise ConfigError([f"{kind} is not a class ({entry.value})"])
    return loaded


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was probably meant to be."""
    folded = {_fold(name): name for name in known}
    close = get_close_matches(_fold(word), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def suggest(word: str, known: Iterable[str]) -> str:
    """What is allowed, and what `word` was probably meant to be, for an error's brackets."""
    known = list(known)
    allowed = f"known: {', '.join(known)}" if known else "none is known"
    near = nearest(word, known)
    return f'{allowed}; did you mean "{near}"?' if near else allowed


@functools.cache
def _entries(family: str) -> "tuple[EntryPoint, ...]":
    """What is installed; it is looked up once, since that reads a file of each distribution."""
    # Takes 20 ms to import, which commands that name no component need not wait for.
    from importlib.metadata import entry_points

    return tuple(entry_points(group=f"llm_proxy.{family}"))


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")
