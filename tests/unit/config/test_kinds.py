from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from proxy.config.kinds import is_bare, is_struct, item, may_be_plain, plain, struct_of, union
from proxy.config.provider import MockConfig, ProviderConfig
from proxy.config.section import keys
from proxy.config.sections import ServerConfig, TargetConfig
from proxy.processor import Processor
from proxy.processors.parameters import Parameters
from proxy.token import Token
from proxy.tokens.static import Env


@pytest.mark.parametrize(
    ("annotated", "kind"),
    [
        (int, int),
        (int | None, int),
        (Annotated[int, Meta(ge=0)], int),
        (Annotated[int, Meta(ge=0)] | None, int),
        (Annotated[int | None, Meta(description="x")], int),
        (int | str, int | str),
        (int | str | None, int | str | None),
        (tuple[str, ...] | None, tuple[str, ...]),
        (Literal["a"], Literal["a"]),
        (Any, Any),
    ],
)
def test_a_plain_type_stands_under_its_annotation_and_beside_none(
    annotated: Any, kind: Any
) -> None:
    assert plain(annotated) == kind


def test_the_members_of_a_union() -> None:
    assert union(int | str) == (int, str)
    assert union(int) == (int,)


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        (list[int], int),
        (tuple[int, ...], int),
        (tuple[int, int], None),
        (dict[str, int], None),
        (str, None),
    ],
)
def test_what_a_list_is_a_list_of(kind: Any, of: Any) -> None:
    assert item(kind) is of


def test_a_struct_is_a_class_of_its_own() -> None:
    assert is_struct(ServerConfig)
    assert not is_struct(ProviderConfig | MockConfig)
    assert not is_struct(dict)
    assert not is_struct(dict[str, ServerConfig])


@pytest.mark.parametrize(
    ("kind", "raw", "struct"),
    [
        (ServerConfig, {}, ServerConfig),
        (Annotated[TargetConfig | None, Meta(description="x")], "x", TargetConfig),
        (ProviderConfig | MockConfig, {"type": "mock"}, MockConfig),
        (ProviderConfig | MockConfig, {"type": "openai"}, ProviderConfig),
        (ProviderConfig | MockConfig, {"type": 1}, ProviderConfig),
        (ProviderConfig | MockConfig, None, ProviderConfig),
        (Processor, {"type": "parameters"}, Parameters),
        (Processor, {"type": "none"}, None),
        (Processor, {"type": 1}, None),
        (Processor, 1, None),
        (Token | None, {"type": "env"}, Env),
        (Token | None, "env:X", None),
        (int, {}, None),
        (dict[str, int], {}, None),
    ],
)
def test_the_struct_of_a_table_may_depend_on_its_type(kind: Any, raw: object, struct: Any) -> None:
    assert struct_of(kind, raw) is struct


def test_a_url_may_stand_in_a_references_place_where_that_is_said() -> None:
    assert may_be_plain(keys(ProviderConfig)["proxy"].type)
    assert not may_be_plain(keys(ProviderConfig)["token"].type)
    assert not may_be_plain(str)


def test_a_component_that_needs_no_key_is_spelled_by_its_name() -> None:
    assert is_bare(Parameters)
    assert not is_bare(Env)
