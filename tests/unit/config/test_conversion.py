from pathlib import Path
from typing import Annotated, Any, Self
from typing import Literal as OneOf

import msgspec
import pytest
from msgspec import Meta

from proxy.config.conversion import SECRET_HINT, Conversion
from proxy.config.source import parse
from proxy.registry import names
from proxy.token import Secret, Token
from proxy.tokens.exec import Exec
from proxy.tokens.static import Env, Literal
from proxy.units import Duration, Size, parse_duration
from tests.unit.conftest import Request

TOKENS = ", ".join(names("tokens"))


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="Its name.")]
    weight: Annotated[int, Meta(ge=1)] = 1

    @classmethod
    def from_text(cls, text: str) -> Self:
        if not text:
            raise ValueError("is empty")
        return cls(name=text)


class Limits(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    least: float | None = None

    def __post_init__(self) -> None:
        if self.least is not None and self.least < 0:
            raise ValueError("least is negative")


class Everything(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    needed: Annotated[str, Meta(description="What it cannot do without.")]
    text: Annotated[str, Meta(min_length=1)] = "x"
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    wait: Duration = parse_duration("1s")
    longest: Duration | None = None
    room: Size | None = None
    token: Token | None = None
    spare: tuple[Token, ...] = ()
    mode: OneOf["on", "off"] = "on"
    words: tuple[str, ...] = ()
    waits: Annotated[list[Duration], Meta(max_length=3)] = []
    either: int | str = 0
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    limits: dict[str, Limits] = {}
    values: dict[str, Any] = {}
    pair: tuple[int, int] = (0, 0)


def convert(text: str) -> tuple[Everything | None, list[str]]:
    """What `text`, beside the needed key, is read as, and the problems without their places."""
    source = parse(f'needed = "here"\n{text}', "x")
    into = Conversion(source, {"TOKEN": "canary"})
    built = into.table(Everything, source.tree, ())
    return built, [problem.removeprefix("x:2: ") for problem in into.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('text = "a"', {"text": "a"}),
        ("ratio = 1", {"ratio": 1.0}),
        ('wait = "250ms"', {"wait": Duration(0.25)}),
        ('longest = "0s"', {"longest": Duration(0)}),
        ('room = "64KiB"', {"room": Size(65536)}),
        ('token = "env:TOKEN"', {"token": Env(name="TOKEN")}),
        ('token = { type = "env", name = "TOKEN" }', {"token": Env(name="TOKEN")}),
        ('token = "literal:a:b"', {"token": Literal(value=Secret("a:b"))}),
        ('token = { type = "literal", value = "a" }', {"token": Literal(value=Secret("a"))}),
        ("token = \"exec:sh -c 'a b'\"", {"token": Exec(command=("sh", "-c", "a b"))}),
        (
            'token = { type = "exec", command = ["sh"], expires = "15m", timeout = "1s" }',
            {"token": Exec(command=("sh",), expires=Duration(900), timeout=Duration(1))},
        ),
        (
            'spare = ["env:TOKEN", { type = "env", name = "TOKEN" }]',
            {"spare": (Env(name="TOKEN"), Env(name="TOKEN"))},
        ),
        ('mode = "off"', {"mode": "off"}),
        ('words = ["a", "b"]', {"words": ("a", "b")}),
        ('words = "a"', {"words": ("a",)}),
        ('waits = "1s"', {"waits": [Duration(1)]}),
        ('waits = ["1s", "2s"]', {"waits": [Duration(1), Duration(2)]}),
        ('either = "a"', {"either": "a"}),
        ('part = { name = "a" }', {"part": Part(name="a")}),
        ('part = "a"', {"part": Part(name="a")}),
        (
            'parts = ["a", { name = "b", weight = 2 }]',
            {"parts": (Part(name="a"), Part(name="b", weight=2))},
        ),
        ("limits.a.least = 1", {"limits": {"a": Limits(least=1.0)}}),
        ("values = { a = [1, { b = 2 }] }", {"values": {"a": [1, {"b": 2}]}}),
        ("pair = [1, 2]", {"pair": (1, 2)}),
    ],
)
def test_each_type_has_its_spelling(text: str, expected: dict[str, Any]) -> None:
    built, problems = convert(text)

    assert problems == []
    for name, value in expected.items():
        found = getattr(built, name)
        assert type(found) is type(value)
        assert found == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "nmuber = 1",
            "[nmuber]: unknown key (known: needed, text, number, ratio, flag, wait, longest, room, "
            "token, spare, mode, words, waits, either, part, parts, limits, values, pair; "
            'did you mean "number"?)',
        ),
        ("text = 1", "[text]: expected a string, found an integer"),
        ('text = ""', "[text]: expected a string of length >= 1"),
        ("text = true", "[text]: expected a string, found a boolean"),
        ("text = [1]", "[text]: expected a string, found a list"),
        ("text = {}", "[text]: expected a string, found a table"),
        ("text = 1979-05-27", "[text]: expected a string, found a date"),
        ('number = "1"', "[number]: expected an integer, found a string"),
        ("number = true", "[number]: expected an integer, found a boolean"),
        ("number = 1.5", "[number]: expected an integer, found a number"),
        ('ratio = "1"', "[ratio]: expected a number, found a string"),
        ('flag = "yes"', "[flag]: expected true or false, found a string"),
        (
            "wait = 30",
            '[wait]: 30 has no unit (expected a duration such as "250ms", "30s" or "5m"; '
            'did you mean "30s"?)',
        ),
        (
            'longest = "1.5"',
            '[longest]: 1.5 has no unit (expected a duration such as "250ms", "30s" or "5m"; '
            'did you mean "1.5s"?)',
        ),
        (
            'wait = "30 sec"',
            '[wait]: expected a duration such as "250ms", "30s" or "5m", not \'30 sec\'',
        ),
        (
            "wait = false",
            '[wait]: expected a duration such as "250ms", "30s" or "5m", found a boolean',
        ),
        ('wait = "366d"', '[wait]: 366d is longer than a year ("0s" is none)'),
        (
            "room = 64",
            '[room]: 64 has no unit (expected a size such as "64KiB" or "32MiB"; '
            'did you mean "64B"?)',
        ),
        ("room = []", '[room]: expected a size such as "64KiB" or "32MiB", found a list'),
        ('token = "env:NONE"', "[token]: the environment variable NONE is not set"),
        ("token = 5", f"[token]: expected {SECRET_HINT}, found an integer"),
        ('token = "canary"', f"[token]: a secret is not written out (expected {SECRET_HINT})"),
        ('token = "sk:canary"', f"[token]: a secret is not written out (expected {SECRET_HINT})"),
        ('token = ""', f"[token]: a secret is not written out (expected {SECRET_HINT})"),
        ('token = "literal:"', "[token]: the literal is empty"),
        ('token = "exec:"', "[token]: no program is named"),
        ("token = 'exec:\"'", "[token]: No closing quotation"),
        ("token = {}", f"[token.type]: is missing (known: {TOKENS})"),
        (
            'token = { type = "enf" }',
            f'[token.type]: unknown token type "enf" (known: {TOKENS}; did you mean "env"?)',
        ),
        (
            'token = { type = "env" }',
            "[token.name]: is missing: the environment variable",
        ),
        ('token = { type = "env", name = "NONE" }', "[token]: the environment variable NONE is"),
        (
            'token = { type = "literal", value = "a\\nb" }',
            "[token.value]: it holds a control character",
        ),
        (
            'token = { type = "env", name = "TOKEN", nmae = "x" }',
            '[token.nmae]: unknown key (known: name; did you mean "name"?)',
        ),
        ('spare = ["env:TOKEN", "env:NONE"]', "[spare.2]: the environment variable NONE is not"),
        ('mode = "ON"', '[mode]: unknown value "ON" (known: on, off; did you mean "on"?)'),
        ("mode = true", '[mode]: expected one of "on", "off", found a boolean'),
        ("words = 5", "[words]: expected a list, found an integer"),
        ('words = ["a", 5]', "[words.2]: expected a string, found an integer"),
        (
            'waits = ["1s", 5]',
            '[waits.2]: 5 has no unit (expected a duration such as "250ms", "30s" or "5m"; '
            'did you mean "5s"?)',
        ),
        ('waits = ["1s", "1s", "1s", "1s"]', "[waits]: expected a list of length <= 3"),
        ("either = true", "[either]: expected an integer or a string, found a boolean"),
        ("part = 5", "[part]: expected a table, found an integer"),
        ('part = ""', "[part]: is empty"),
        ("part = {}", "[part.name]: is missing: its name"),
        (
            'parts = ["a", { name = "b", wieght = 2 }]',
            '[parts.b.wieght]: unknown key (known: name, weight; did you mean "weight"?)',
        ),
        ('parts = [{ name = "b", weight = 0 }]', "[parts.b.weight]: expected an integer >= 1"),
        ("parts = 5", "[parts]: expected a list, found an integer"),
        ("parts = {}", "[parts.name]: is missing: its name"),
        (
            "limits.a.lest = 1",
            '[limits.a.lest]: unknown key (known: least; did you mean "least"?)',
        ),
        ("limits.a.least = -1", "[limits.a]: least is negative"),
        ("limits.a = 1", "[limits.a]: expected a table, found an integer"),
        ("limits = 1", "[limits]: expected a table, found an integer"),
        ("pair = [1, 'x']", "[pair.2]: expected an integer, found a string"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_toml(text: str, problem: str) -> None:
    built, problems = convert(text)

    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert "canary" not in problems[0]
    assert built is not None


def test_a_table_without_what_it_needs_is_none() -> None:
    source = parse("[t]\nnumber = 1", "x")
    into = Conversion(source, {})

    assert into.table(Everything, source.tree["t"], ("t",)) is None
    assert into.problems == ["x:1: [t.needed]: is missing: what it cannot do without"]


def test_something_can_stand_in_for_what_is_needed() -> None:
    into = Conversion(parse("", "x"), {})

    built = into.table(Everything, {}, (), instead={"needed": "stand-in"})

    assert built is not None
    assert built.needed == "stand-in"
    assert into.failed("needed")


def test_problems_come_in_the_order_of_the_file() -> None:
    _, problems = convert("number = 'x'\nunknown = 1\nflag = 1\ntext = 1")

    assert [problem.partition("]")[0].partition("[")[2] for problem in problems] == [
        "number",
        "unknown",
        "flag",
        "text",
    ]


def test_a_key_that_is_wrong_counts_as_absent() -> None:
    built, _ = convert('number = "x"\nflag = true')

    assert built is not None
    assert (built.number, built.flag) == (0, True)


def test_the_elements_that_could_be_read_keep_their_positions() -> None:
    source = parse('needed = "x"\nwords = [1, "b", 2, "d"]', "x")
    into = Conversion(source, {})
    built = into.table(Everything, source.tree, ())

    assert built is not None
    assert list(into.elements(("words",), built.words)) == [
        (("words", 1), "b"),
        (("words", 3), "d"),
    ]


def test_only_what_is_wrong_has_failed() -> None:
    source = parse('needed = "x"\nwords = ["a", 1]\nnumber = 1', "x")
    into = Conversion(source, {})
    into.table(Everything, source.tree, ())

    assert into.failed("words")
    assert into.failed("words", 1)
    assert not into.failed("words", 0)
    assert not into.failed("number")


@pytest.mark.parametrize("token", ['"literal:canary"', '{ type = "literal", value = "canary" }'])
def test_a_literal_secret_is_warned_about(token: str) -> None:
    source = parse(f'needed = "x"\ntoken = {token}', "x")
    into = Conversion(source, {})
    into.table(Everything, source.tree, ())

    assert into.warnings == [
        'x:2: [token]: a secret stands in the configuration itself (use "env:NAME")'
    ]


def test_a_type_that_toml_cannot_spell_is_a_problem() -> None:
    class Odd(msgspec.Struct):
        odd: complex = 0j

    into = Conversion(parse("odd = 1", "x"), {})
    into.table(Odd, {"odd": 1}, ())

    assert into.problems == ["x:1: [odd]: cannot be configured: TOML has no spelling of complex"]


def test_a_token_starts_from_the_folder_of_its_file_and_can_name_its_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary\n")
    file = tmp_path / "c.toml"
    source = parse('needed = "x"\ntoken = "file:key"', str(file))
    built = Conversion(source, {}).table(Everything, source.tree, ())

    assert built is not None
    assert built.token is not None
    assert built.token.credential(Request()) == "canary"
    assert built.token._place == f"{file}:2: [token]"
    assert str(built.token) == f"file:{tmp_path}/key"


def test_what_has_failed_before_is_not_read_again() -> None:
    source = parse('needed = "x"\nnumber = "y"\nwords = ["a", "b"]', "x")
    into = Conversion(source, {})
    into.problem(("number",), "is known to be wrong")
    into.problem(("words", 0), "is, too")
    built = into.table(Everything, source.tree, ())

    assert built is not None
    assert built.words == ("b",)
    assert len(into.problems) == 2
