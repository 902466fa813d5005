"""How the keys of a section are read off its struct."""

from typing import Annotated

from msgspec import Meta

from proxy.config.section import Section, TimeoutOverrides, keys, metas


class Own(TimeoutOverrides, frozen=True, kw_only=True):
    """An example."""

    url: Annotated[str, Meta(description="Where.", examples=["http://a"])]
    many: Annotated[int, Meta(ge=1, description="How many.")] = 2
    plain: bool = False


def test_own_keys_come_before_those_that_are_inherited() -> None:
    names = list(keys(Own))

    assert names[:3] == ["url", "many", "plain"]
    assert names[3:] == list(TimeoutOverrides.__struct_fields__)


def test_a_key_knows_what_its_type_says_of_it() -> None:
    url, many, plain = list(keys(Own).values())[:3]

    assert (url.required, url.description, url.example) == (True, "Where.", "http://a")
    assert (many.required, many.default, many.description) == (False, 2, "How many.")
    assert (plain.description, plain.example) == ("", None)


def test_keys_are_read_once() -> None:
    assert keys(Own) is keys(Own)


def test_what_is_said_of_a_type_is_found_beside_it() -> None:
    assert metas(Annotated[int, "other", Meta(ge=1)]) == [Meta(ge=1)]
    assert metas(int) == []


def test_a_section_without_keys_has_none() -> None:
    assert dict(keys(Section)) == {}
