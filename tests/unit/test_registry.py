import importlib.metadata
import sys
from collections import OrderedDict
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from proxy import registry
from proxy.errors import ConfigError


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """What distributions offer: name and value of each entry, by group."""
    groups: dict[str, list[tuple[str, str]]] = {}

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in groups.get(group, [])]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._entries.cache_clear()
    yield groups
    registry._entries.cache_clear()


def problem(family: str, name: str) -> str:
    with pytest.raises(ConfigError) as raised:
        registry.find(family, name)
    (text,) = raised.value.problems
    return text


def test_a_name_stands_for_the_class_of_its_entry(
    offered: dict[str, list[tuple[str, str]]],
) -> None:
    offered["llm_proxy.processors"] = [("ordered", "collections:OrderedDict")]

    assert registry.find("processors", "ordered") is OrderedDict


def test_only_the_class_that_is_asked_for_is_imported(
    offered: dict[str, list[tuple[str, str]]],
) -> None:
    offered["llm_proxy.processors"] = [
        ("ordered", "collections:OrderedDict"),
        ("other", "antigravity:Processor"),
    ]

    registry.find("processors", "ordered")

    assert registry.names("processors") == ["ordered", "other"]
    assert "antigravity" not in sys.modules


def test_names_are_sorted_and_named_once(offered: dict[str, list[tuple[str, str]]]) -> None:
    offered["llm_proxy.dialects"] = [("b", "x:B"), ("a", "x:A"), ("b", "y:B")]

    assert registry.names("dialects") == ["a", "b"]
    assert registry.names("urls") == []


def test_an_unknown_name_is_told_what_is_known_and_what_it_may_have_meant(
    offered: dict[str, list[tuple[str, str]]],
) -> None:
    offered["llm_proxy.processors"] = [("system_prompt", "x:A"), ("parameters", "x:B")]

    assert problem("processors", "system-promt") == (
        'unknown processor type "system-promt" '
        '(known: parameters, system_prompt; did you mean "system_prompt"?)'
    )
    assert problem("processors", "zzz") == (
        'unknown processor type "zzz" (known: parameters, system_prompt)'
    )


def test_where_nothing_is_known_the_proxy_is_probably_not_installed(
    offered: dict[str, list[tuple[str, str]]],
) -> None:
    assert problem("urls", "static") == (
        'unknown url type "static" (none is known: is llm-proxy installed?)'
    )


def test_a_name_that_two_classes_claim_is_ambiguous(
    offered: dict[str, list[tuple[str, str]]],
) -> None:
    offered["llm_proxy.tokens"] = [("static", "mine:Static"), ("static", "theirs:Static")]

    assert problem("tokens", "static") == (
        'token type "static" is ambiguous (it is offered by mine:Static, theirs:Static)'
    )


def test_an_entry_that_is_listed_twice_is_one(offered: dict[str, list[tuple[str, str]]]) -> None:
    offered["llm_proxy.tokens"] = [("ordered", "collections:OrderedDict")] * 2

    assert registry.find("tokens", "ordered") is OrderedDict


@pytest.mark.parametrize("value", ["no_such_module:Class", "collections:NoSuchClass"])
def test_an_entry_that_cannot_be_loaded_is_named(
    offered: dict[str, list[tuple[str, str]]], value: str
) -> None:
    offered["llm_proxy.dialects"] = [("broken", value)]

    assert problem("dialects", "broken").startswith(
        f'dialect type "broken" cannot be loaded from {value}: '
    )


def test_an_entry_that_is_no_class_is_refused(offered: dict[str, list[tuple[str, str]]]) -> None:
    offered["llm_proxy.dialects"] = [("function", "os.path:join")]

    assert problem("dialects", "function") == (
        'dialect type "function" is not a class (os.path:join)'
    )


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lisen", "listen"),
        ("LISTEN", "listen"),
        ("idle-timeout", "idle_timeout"),
        ("idel_timeout", "idle_timeout"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case_and_dashes(
    word: str, meant: str | None
) -> None:
    assert registry.nearest(word, ["listen", "idle_timeout", "total"]) == meant
