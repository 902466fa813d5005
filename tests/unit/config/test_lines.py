import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.config.lines import KeyPath, scan

DOCUMENT = '''\
# a comment with [brackets] and = signs

[server]                       # another
listen = [
    "127.0.0.1:8080",          # the first
    # none

    "[::1]:8080",
]
"quoted key" = 1
dotted.key . here = true

[provider.openai]
url = """
[not.a.table]
key = "no" \\""" still inside""""
token = 'literal # not a comment'

[provider."my \\u0062ox"]
type = "x"

[[route]]
name = "one"
targets = ["a", { provider = "b", model = "c" }, [
  1,
  { deep = 2 }]]
[route.extra]
key = 1979-05-27 07:32:00
[[route.list]]
x = 1

[[route]]
name = """two"""""
[[route.list]]
y = \'\'\'
multi\'\'\'\'\'
z = 3
'''

EXPECTED: dict[KeyPath, int] = {
    ("server",): 3,
    ("server", "listen"): 4,
    ("server", "listen", 0): 5,
    ("server", "listen", 1): 8,
    ("server", "quoted key"): 10,
    ("server", "dotted"): 11,
    ("server", "dotted", "key"): 11,
    ("server", "dotted", "key", "here"): 11,
    ("provider",): 13,
    ("provider", "openai"): 13,
    ("provider", "openai", "url"): 14,
    ("provider", "openai", "token"): 17,
    ("provider", "my box"): 19,
    ("provider", "my box", "type"): 20,
    ("route",): 22,
    ("route", 0): 22,
    ("route", 0, "name"): 23,
    ("route", 0, "targets"): 24,
    ("route", 0, "targets", 0): 24,
    ("route", 0, "targets", 1): 24,
    ("route", 0, "targets", 1, "provider"): 24,
    ("route", 0, "targets", 1, "model"): 24,
    ("route", 0, "targets", 2): 24,
    ("route", 0, "targets", 2, 0): 25,
    ("route", 0, "targets", 2, 1): 26,
    ("route", 0, "targets", 2, 1, "deep"): 26,
    ("route", 0, "extra"): 27,
    ("route", 0, "extra", "key"): 28,
    ("route", 0, "list"): 29,
    ("route", 0, "list", 0): 29,
    ("route", 0, "list", 0, "x"): 30,
    ("route", 1): 32,
    ("route", 1, "name"): 33,
    ("route", 1, "list"): 34,
    ("route", 1, "list", 0): 34,
    ("route", 1, "list", 0, "y"): 35,
    ("route", 1, "list", 0, "z"): 37,
}


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path of a tree but its root."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, item in inner:
        yield (*path, key)
        yield from paths(item, (*path, key))


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_every_key_has_the_line_where_it_is_written(line_break: str) -> None:
    assert scan(DOCUMENT.replace("\n", line_break)) == EXPECTED


def test_every_key_of_the_tree_is_found() -> None:
    assert set(paths(tomllib.loads(DOCUMENT))) == set(EXPECTED)


def test_a_table_that_is_opened_after_its_children_has_its_own_line() -> None:
    lines = scan("[a.b]\nx = 1\n[a]\ny = 2")

    assert lines["a",] == 3
    assert lines["a", "b"] == 1


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "\n\n# and\n\n"])
def test_a_document_without_keys_has_no_lines(text: str) -> None:
    assert scan(text) == {}


KEYS = st.text("ab.\"'\\ #=[]{},\n-", max_size=4)
STRINGS = st.text("ab\"'\\#=[]{},\n ", max_size=8)


def scalar(text: str, how: int) -> str:
    """`text` in one of the four spellings that can carry it."""
    basic = json.dumps(text)
    if how == 1 and "'" not in text and "\n" not in text:
        return f"'{text}'"
    if how == 2 and "'''" not in text and not text.startswith("\n"):
        return f"'''{text}'''" if not text.endswith("'''") else basic
    if how == 3:
        return f'"""\n{text}"""'.replace("\\", "\\\\") if '"' not in text else basic
    return basic


@st.composite
def values(draw: st.DrawFn) -> str:
    leaf = st.builds(scalar, STRINGS, st.integers(0, 3)) | st.sampled_from(
        ["1", "0x1F", "1_000", "1e5", "true", "inf", "1979-05-27T07:32:00Z"]
    )
    gap = st.sampled_from(["", " ", "\n", " # [x] = {\n", "\n\n"])

    def array(items: list[str]) -> str:
        return "[" + ",".join(draw(gap) + item + draw(gap) for item in items) + draw(gap) + "]"

    def table(items: dict[str, str]) -> str:
        return "{" + ", ".join(f"{json.dumps(k)} = {v}" for k, v in items.items()) + "}"

    return draw(
        st.recursive(
            leaf,
            lambda inner: (
                st.lists(inner, max_size=3).map(array)
                | st.dictionaries(KEYS, inner, max_size=3).map(table)
            ),
            max_leaves=6,
        )
    )


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        key = ".".join(map(json.dumps, draw(st.lists(KEYS, min_size=1, max_size=2))))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            lines.append(f"[{key}] # {key}")
        elif kind == 1:
            lines.append(f"[[{key}]]")
        else:
            lines.append(f"{key} = {draw(values())}")
    return "\n".join(lines)


@given(documents())
@example('""=""')
def test_whatever_tomllib_reads_has_a_line_for_each_key(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    lines = scan(text)

    assert set(lines) == set(paths(tree))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
