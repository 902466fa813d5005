"""Reads what a provider sent although some of it is not of the type it should be."""

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ATTEMPTS = 16
"""Fields that may be wrong before all of it is."""
_steps = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]").findall


def decode_leniently(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """What `decoder` makes of JSON without the fields that it cannot take.

    Raises ValidationError where there is no such field, DecodeError for what is no JSON.
    """
    tree: Any = None
    for _ in range(_ATTEMPTS):
        try:
            return decoder.decode(data)
        except msgspec.ValidationError as error:
            path = str(error).rpartition(" - at `$")[2].rstrip("`")
            if tree is None:
                tree = msgspec.json.decode(data)
            if not _prune(tree, [name or step for name, step in _steps(path)]):
                raise
            data = msgspec.json.encode(tree)
    return decoder.decode(data)


def _prune(tree: Any, path: list[str]) -> bool:
    """Take the field at the end of `path` out; whether there was one."""
    last = next((at for at in range(len(path) - 1, -1, -1) if _is_name(path[at])), None)
    if last is None:
        return False
    parents = [tree]
    for step in path[:last]:
        parents = [child for parent in parents for child in _children(parent, step)]
    found = [parent for parent in parents if isinstance(parent, dict) and path[last] in parent]
    for parent in found:
        del parent[path[last]]
    return bool(found)


def _is_name(step: str) -> bool:
    return step != "..." and not step.isdecimal()


def _children(parent: Any, step: str) -> list[Any]:
    if step == "...":
        return list(parent.values() if isinstance(parent, dict) else parent)
    if isinstance(parent, list):
        at = int(step)
        return parent[at : at + 1]
    return [parent[step]] if isinstance(parent, dict) and step in parent else []
