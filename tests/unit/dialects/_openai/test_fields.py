"""An object of a request, field by field."""

import pytest

from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.errors import BadRequest
from proxy.exchange import Raw


def fields(**raw: str) -> Fields:
    return Fields({name: Raw(value.encode()) for name, value in raw.items()}, "a[0]")


def test_what_nobody_took_is_the_rest() -> None:
    some = fields(x='"1"', y="2", z="null")

    assert some.take("x", f.TEXT) == "1"
    assert some.take("x", f.TEXT) is None
    assert {name: bytes(raw) for name, raw in some.rest().items()} == {"y": b"2"}
    assert bytes(some.whole()) == b'{"y":2,"z":null}'


def test_null_is_absent() -> None:
    some = fields(x="null", y="null", z="null")

    assert some.take("x", f.WHOLE) is None
    assert some.object("y") is None
    assert some.objects("z") == []


def test_what_is_inside_has_its_path() -> None:
    inner = fields(x='{"y":[{"z":1}]}').object("x")
    assert inner is not None
    [deep] = inner.objects("y")

    assert deep.where("z") == "a[0].x.y[0].z"
    with pytest.raises(BadRequest) as raised:
        deep.need("z", f.TEXT)
    assert raised.value.param == "a[0].x.y[0].z"
    assert str(raised.value) == "`a[0].x.y[0].z`: Expected `str`, got `int`"


def test_a_fault_inside_a_value_has_its_path() -> None:
    with pytest.raises(BadRequest) as raised:
        fields(x='["a",1]').take("x", f.TEXTS)
    assert raised.value.param == "a[0].x[1]"


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadRequest, match=r"`a\[0\].x` is missing"):
        fields().need("x", f.TEXT)
    assert str(Fields({}).wrong("x", "a b")) == "`x` must be a b"
