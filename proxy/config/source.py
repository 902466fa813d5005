"""The text of a configuration, read into a tree that remembers where each key came from."""

import ast
import glob
import hashlib
import json
import os
import re
import select
import stat
import tomllib
from typing import Any, BinaryIO, NamedTuple, NoReturn

from proxy.config.lines import KeyPath, earlier, scan
from proxy.errors import ConfigError
from proxy.units import clock

_POSITION = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_DECLARED = re.compile(r"Cannot declare (\(.*\)) twice")
_INLINE = re.compile(r"Duplicate inline table key ('.*'|\".*\")")
_SET = re.compile(r"\s*([^\[\]{}=#]+?)\s*=")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INTEGERS = range(-(1 << 63), 1 << 63)
_DEPTH = 32
_SIZE = 16 << 20
"""Bytes of a file: no configuration is as long, but many things that are none never end."""
_PIPE_SECONDS = 10.0
_ATTEMPTS = 5
"""Readings of a file that changes meanwhile."""


class Place(NamedTuple):
    """Where something was written: a file, a flag or a variable, and the line if it has lines."""

    name: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


class Source:
    """A tree of tables, and for its keys the place to name when something is wrong with them.

    The tree may hold literal secrets: this is no Struct, so that it neither prints nor encodes.
    """

    __slots__ = ("digests", "globs", "name", "names", "places", "tree", "warnings")

    def __init__(
        self, name: str, tree: dict[str, Any], places: dict[KeyPath, Place] | None = None
    ) -> None:
        self.name = name
        self.names = [name]
        """Its own name, and those of what was added to it, in order."""
        self.tree = tree
        self.places = places or {}
        self.digests: dict[str, bytes] = {}
        """What tells whether a file still holds what was read of it."""
        self.globs: dict[tuple[str, str], list[str]] = {}
        """The files that each glob matched, by its folder and itself."""
        self.warnings: list[str] = []
        """What is probably not wanted of how it was put together."""

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Source is not to be pickled or copied")

    def place(self, path: KeyPath) -> Place:
        """Where `path` was written, or the nearest table around it."""
        for end in range(len(path), 0, -1):
            if (place := self.places.get(path[:end])) is not None:
                return place
        return Place(self.name)

    def order(self, path: KeyPath) -> tuple[int, int]:
        """What sorts problems as a reader meets them: flags and variables, then file by file."""
        name, line = self.place(path)
        return (self.names.index(name) if name in self.names else -1), line

    def directory(self, path: KeyPath) -> str:
        """The folder that a relative path at `path` starts from: its file's, else the current."""
        name: str = self.place(path).name
        return os.path.dirname(os.path.abspath(name))

    def at(self, path: KeyPath) -> str:
        """How an error about `path` begins: ``config.toml:7: [route.chat.models]``.

        An element of an array goes by its name, else by its position from 1; what stands alone
        where a list could is not counted.
        """
        parts = []
        node: object = self.tree
        for key in path:
            if isinstance(key, str):
                parts.append(bare_or_quoted(key))
                node = node.get(key) if isinstance(node, dict) else None
            elif isinstance(node, list):
                node = node[key] if key < len(node) else None
                name = node.get("name") if isinstance(node, dict) else None
                known = isinstance(name, str) and _BARE_KEY.fullmatch(name)
                parts.append(str(name) if known else str(key + 1))
        place = self.place(path)
        return f"{place}: [{'.'.join(parts)}]" if parts else str(place)

    def set(self, path: KeyPath, value: object, place: str) -> None:
        """Put `value` at `path`, as `place` said; nothing happens below what is not a table."""
        node: Any = self.tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                return
        node[path[-1]] = value
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
        self.places[path] = Place(place)

    def add(self, other: "Source") -> list[str]:
        """Take over what `other` says, too; returns what both say, which is a problem each.

        Tables are put together key by key, and arrays of tables one behind the other.
        """
        shifts: dict[KeyPath, int] = {}
        problems = self._merge(self.tree, other.tree, (), other, shifts)
        for path, place in other.places.items():
            for end in range(1, len(path)):
                position = path[end]
                if isinstance(position, int) and (shift := shifts.get(path[:end])):
                    path = (*path[:end], position + shift, *path[end + 1 :])
                    break
            self.places.setdefault(path, place)
        self.names += other.names
        self.digests |= other.digests
        self.warnings += other.warnings
        return problems

    def _merge(
        self,
        tree: dict[str, Any],
        added: dict[str, Any],
        above: KeyPath,
        other: "Source",
        shifts: dict[KeyPath, int],
    ) -> list[str]:
        problems = []
        for key, value in added.items():
            path = (*above, key)
            if key not in tree:
                tree[key] = value
            elif isinstance(tree[key], dict) and isinstance(value, dict):
                problems += self._merge(tree[key], value, path, other, shifts)
            elif _is_tables(tree[key]) and _is_tables(value):
                shifts[path] = len(tree[key])
                tree[key] += value
            else:
                problems.append(f"{other.at(path)}: is set already, at {self.place(path)}")
        return problems


def read(file: str) -> Source:
    """The configuration in `file`; ConfigError if it cannot be read or is not TOML."""
    try:
        data = _read(file)
    except FileNotFoundError:
        raise ConfigError([f"{file}: no such file"]) from None
    except IsADirectoryError:
        raise ConfigError([f"{file}: is a directory (a TOML file is expected)"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([f"{file}: cannot be read: {reason}"]) from None
    if data.startswith(b"\xef\xbb\xbf"):
        message = "starts with a byte order mark, which TOML forbids (save it as UTF-8 without BOM)"
        raise ConfigError([f"{file}:1: {message}"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{file}:{line}: is not UTF-8 (save it as UTF-8)"]) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        what = "is not TOML: it holds NUL bytes (UTF-16? save it as UTF-8)"
        raise ConfigError([f"{file}:{line}: {what}"])
    source = parse(text, file)
    source.digests[file] = _digest(data)
    return source


def state_of(source: Source) -> tuple[dict[str, bytes], dict[tuple[str, str], list[str]]]:
    """What its `digests` and `globs` would be now; of a file that cannot be read, nothing.

    They tell of what files hold: that sees a change through the symlinks that Kubernetes swaps,
    on network file systems, and where a time stamp lies.
    """
    digests = {}
    for file in source.digests:
        try:
            digests[file] = _digest(_read(file))
        except (OSError, ValueError):
            digests[file] = b""
    return digests, {key: match(*key) for key in source.globs}


def match(folder: str, pattern: str) -> list[str]:
    """The files that a glob matches, sorted; relative to the folder."""
    return sorted(glob.glob(pattern, root_dir=folder or None, recursive=True))


def parse(text: str, name: str) -> Source:
    """The configuration that `text` is; errors name it `name`. ConfigError if it is not TOML."""
    try:
        text.encode()  # what stands in a variable may be any bytes
        tree = tomllib.loads(text)
        lines = scan(text)
    except UnicodeEncodeError:
        raise ConfigError([f"{name}: is not UTF-8"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: is nested too deeply"]) from None
    except ValueError as error:
        # Not only TOMLDecodeError: an integer of thousands of digits is a plain ValueError.
        raise ConfigError([_syntax(str(error), text, name)]) from None
    source = Source(name, tree, {path: Place(name, line) for path, line in lines.items()})
    if problems := _uncarried(source, tree, ()):
        raise ConfigError(problems)
    return source


def _read(file: str) -> bytes:
    with open(file, "rb", opener=_without_waiting) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if stat.S_ISREG(mode):
            return _whole(stream)
        # A shell's <(…) is one that somebody writes to; any other might be waited for for ever.
        if stat.S_ISFIFO(mode) and not file.startswith(("/dev/", "/proc/")):
            raise ValueError("it is a pipe")
        return _piped(stream.fileno())


def _without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _whole(stream: BinaryIO) -> bytes:
    """All of a file, as it was at one moment; raises ValueError or OSError."""
    for _ in range(_ATTEMPTS):
        before = os.fstat(stream.fileno())
        data = stream.read(_SIZE + 1)
        after = os.fstat(stream.fileno())
        if len(data) > _SIZE:
            raise ValueError(f"it is larger than {_SIZE >> 20} MiB")
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return data
        stream.seek(0)
    raise ValueError("it changes while it is read")


def _piped(descriptor: int) -> bytes:
    """All that comes through what is no file, such as a shell's ``<(command)``."""
    data = b""
    ends = clock() + _PIPE_SECONDS
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while poll.poll(max(ends - clock(), 0.0) * 1000):
        piece = os.read(descriptor, _SIZE)
        data += piece
        if not piece:
            return data
        if len(data) > _SIZE:
            raise ValueError(f"it is larger than {_SIZE >> 20} MiB")
    raise ValueError(f"it is no file, and did not end within {_PIPE_SECONDS:g} s")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(t, dict) for t in value)


def quote(text: str) -> str:
    """`text` as a TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def bare_or_quoted(key: str) -> str:
    """`key` as TOML writes it: quoted only where it must be."""
    return key if _BARE_KEY.fullmatch(key) else quote(key)


def _syntax(message: str, text: str, name: str) -> str:
    position = _POSITION.search(message)
    if position is None:
        return f"{name}: is not TOML: {message}"
    what = message[: position.start()]
    line = int(position[1] or text.rstrip().count("\n") + 1)
    if twice := _twice(what, text, line):
        return f"{name}:{line}: {twice}"
    what = what[:1].lower() + what[1:]
    where = "at the end of the file" if position[1] is None else f"column {position[2]}"
    return f"{name}:{line}: is not TOML: {what} ({where})"


def _twice(what: str, text: str, line: int) -> str | None:
    """What tomllib says of a line, if it is that something stands there for the second time."""
    if (table := _DECLARED.fullmatch(what)) is not None:
        return f"[{'.'.join(map(bare_or_quoted, ast.literal_eval(table[1])))}] stands twice"
    if (key := _INLINE.fullmatch(what)) is not None:
        return f"{bare_or_quoted(ast.literal_eval(key[1]))} is set twice"
    if what != "Cannot overwrite a value":
        return None
    lines = text.splitlines()
    written = _SET.match(lines[line - 1])
    if written is None:
        return "a key is set that is set already"
    first = earlier("\n".join(lines[: line - 1]), written[1])
    where = "" if first is None else f", at line {first}"
    return f"{written[1]} is set already{where}"


def _uncarried(source: Source, value: object, path: KeyPath) -> list[str]:
    """What TOML does not promise to carry, and few tools (or recursions) could take."""
    if len(path) > _DEPTH:
        return [f"{source.at(path[:2])}: is nested too deeply (at most {_DEPTH} levels)"]
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in _uncarried(source, item, (*path, key))]
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in _uncarried(source, item, (*path, i))]
    if isinstance(value, int) and value not in _INTEGERS:
        return [f"{source.at(path)}: is beyond 64 bits"]
    return []
