"""Where in a TOML document each key stands; tomllib keeps no line numbers."""

import re
import tomllib
from bisect import bisect_left
from typing import Any

KeyPath = tuple[str | int, ...]
"""A key's way from the root of the document: names of keys, and positions in arrays from 0."""

_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BASIC = r'"(?:\\.|[^"\\])*"'
_LITERAL = r"'[^']*'"
_KEY = re.compile(rf"[ \t]*([A-Za-z0-9_-]+|{_BASIC}|{_LITERAL})[ \t]*")
# Up to two quotes may stand directly before the three that close a multi-line string.
_STRING = re.compile(
    rf'"""(?:\\.|[^\\])*?"{{3,5}}|\'\'\'.*?\'{{3,5}}|{_BASIC}|{_LITERAL}', re.DOTALL
)
_PROBE = "where-this-stands"
_SCALAR = re.compile(r"[^,\]}\n#]*")


def scan(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every key, table and array element of `text`, a valid TOML document."""
    return _Scanner(text.replace("\r\n", "\n")).document()


def earlier(text: str, key: str) -> int | None:
    """The line at which `key`, as it would be written behind `text`, stands there already.

    None if that cannot be said.
    """
    try:
        node: Any = tomllib.loads(f"{key} = 0")
        tomllib.loads(text)
        lines = scan(f"{text}\n{_PROBE} = 0")
    except ValueError:
        return None
    path = next(path for path in lines if path[-1] == _PROBE)[:-1]
    while isinstance(node, dict):
        [(name, node)] = node.items()
        path += (name,)
    return lines.get(path)


class _Scanner:
    """Walks over a document that tomllib has accepted: only what tells keys apart is looked at."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {}
        self._last: dict[KeyPath, int] = {}
        """The position of the last element, for each array of tables so far."""

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._peek():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path: KeyPath = ()
        for part in self._key():
            # A name on the way to a table stands for the last element of its array.
            if path in self._last:
                path += (self._last[path],)
            path += (part,)
            self._lines.setdefault(path, line)
        self._at += brackets
        if brackets == 2:
            self._last[path] = self._last.get(path, -1) + 1
            path += (self._last[path],)
        self._lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path += (part,)
            self._lines.setdefault(path, line)
        self._at += len("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening == "[":
            self._at += 1
            position = 0
            while self._peek() != "]":
                self._lines[*path, position] = self._line()
                self._value((*path, position))
                position += 1
                self._comma()
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._peek() != "}":
                self._pair(path)
                self._comma()
            self._at += 1
        else:
            self._take(_STRING if opening in "\"'" else _SCALAR)

    def _key(self) -> list[str]:
        parts = [_unquoted(self._take(_KEY)[1])]
        while self._text.startswith(".", self._at):
            self._at += 1
            parts.append(_unquoted(self._take(_KEY)[1]))
        return parts

    def _comma(self) -> None:
        if self._peek() == ",":
            self._at += 1

    def _peek(self) -> str:
        """The next character that is not white space or a comment; "" at the end."""
        self._take(_GAP)
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise AssertionError(f"line {self._line()} is not TOML")
        self._at = match.end()
        return match

    def _line(self) -> int:
        return bisect_left(self._breaks, self._at) + 1


def _unquoted(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    if key[0] == '"':
        return str(tomllib.loads(f"key = {key}")["key"])
    return key
