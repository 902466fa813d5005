"""Members of objects, read as Google's servers read them."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.dialects._gemini.fields import Fields, first
from proxy.errors import BadRequest


def test_names_come_in_camel_case_and_in_snake_case() -> None:
    fields = Fields(b'{"max_output_tokens":1,"topK":2,"_private":3,"a_B_c":4}')

    assert set(fields.members) == {"maxOutputTokens", "topK", "Private", "aBC"}


def test_null_is_not_there() -> None:
    fields = Fields(b'{"a":null,"b":{}}')

    assert fields.raw("a") is None
    assert fields.object("a") is None
    assert fields.objects("a") == []
    assert fields.texts("a") == []
    assert fields.members.keys() == {"b"}


def test_whoever_reads_a_member_takes_it_out() -> None:
    fields = Fields(b'{"a":"x","b":true,"c":2,"d":["y"],"e":{"f":1},"g":[{}],"h":[]}')

    assert fields.text("a") == "x"
    assert fields.flag("b") is True
    assert fields.integer("c") == 2
    assert fields.texts("d") == ["y"]
    inner = fields.object("e")
    assert inner is not None
    assert inner.number("f") == 1.0
    assert [one.members for one in fields.objects("g")] == [{}]
    assert list(fields.members) == ["h"]


@pytest.mark.parametrize(
    ("raw", "whole", "number"),
    [
        (b"7", 7, 7.0),
        (b'"7"', 7, 7.0),
        (b"7.0", 7, 7.0),
        (b'"7.0"', 7, 7.0),
        (b"1e2", 100, 100.0),
        (b'"1E2"', 100, 100.0),
        (b"-1", -1, -1.0),
    ],
)
def test_numbers_may_stand_in_strings(raw: bytes, whole: int, number: float) -> None:
    assert Fields(b'{"n":%b}' % raw).integer("n") == whole
    assert Fields(b'{"n":%b}' % raw).number("n") == number


def test_an_enum_may_be_told_by_its_number() -> None:
    words = ("UNSPECIFIED", "ONE")

    assert Fields(b'{"w":1}').word("w", words) == "ONE"
    assert Fields(b'{"w":"TWO"}').word("w", words) == "TWO"
    assert Fields(b"{}").word("w", words) is None
    for raw in (b"2", b"-1", b"true", b"[]", b"1.0"):
        with pytest.raises(BadRequest, match="must be the name of a value"):
            Fields(b'{"w":%b}' % raw).word("w", words)


def test_one_object_or_string_stands_for_a_list_of_it() -> None:
    fields = Fields(b'{"parts":{"text":"x"},"stop":"y"}')

    assert [part.where for part in fields.objects("parts")] == ["parts"]
    assert fields.texts("stop") == ["y"]


READ: list[tuple[bytes, Callable[[Fields], Any], str]] = [
    (b"1", lambda fields: fields.text("x"), "must be a string"),
    (b'"a"', lambda fields: fields.flag("x"), "must be true or false"),
    (b'"a"', lambda fields: fields.number("x"), "must be a number"),
    (b"true", lambda fields: fields.number("x"), "must be a number"),
    (b"1e999", lambda fields: fields.number("x"), "is out of range"),
    (b'"1e999"', lambda fields: fields.number("x"), "must be a number"),
    (b'"nan"', lambda fields: fields.number("x"), "must be a number"),
    (b"{}", lambda fields: fields.integer("x"), "must be a number"),
    (b"1.5", lambda fields: fields.integer("x"), "must be a whole number"),
    (b"1", lambda fields: fields.object("x"), "must be an object"),
    (b"1", lambda fields: fields.objects("x"), "must be an object"),
    (b"[1]", lambda fields: fields.texts("x"), "must be a list of strings"),
    (b"{}", lambda fields: fields.texts("x"), "must be a list of strings"),
    (b"3", lambda fields: fields.texts("x"), "must be a list of strings"),
]


@pytest.mark.parametrize(("raw", "read", "what"), READ)
def test_an_error_names_the_place(raw: bytes, read: Callable[[Fields], Any], what: str) -> None:
    with pytest.raises(BadRequest, match=rf"^`outer\.x` {what}$") as raised:
        read(Fields(b'{"x":%b}' % raw, "outer"))
    assert raised.value.param == "outer.x"


def test_the_place_of_an_item_has_its_number() -> None:
    with pytest.raises(BadRequest, match=r"^`parts\[1\]` must be an object$") as raised:
        Fields(b'{"parts":[{},7]}').objects("parts")
    assert raised.value.param == "parts[1]"
    with pytest.raises(BadRequest, match=r"^`the body` must be an object$"):
        Fields(b"[]")


def test_the_first_byte_tells_the_kind() -> None:
    assert first(b'"x"') == b'"'
    assert first(Fields(b'{"a":[1]}').members["a"]) == b"["
