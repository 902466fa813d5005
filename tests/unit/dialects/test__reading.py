"""Clear words for what is wrong with a request."""

from typing import Any

import msgspec
import pytest

from proxy.dialects._reading import wrong


class _Inner(msgspec.Struct):
    name: str


class _Outer(msgspec.Struct):
    inner: list[_Inner] = []
    n: int = 0


@pytest.mark.parametrize(
    ("body", "where", "words", "param"),
    [
        (b'{"n":"x"}', "", "`n`: expected `int`, got `str`", "n"),
        (
            b'{"inner":[{"name":1}]}',
            "",
            "`inner.0.name`: expected `str`, got `int`",
            "inner.0.name",
        ),
        (
            b'{"inner":[{}]}',
            "messages.2",
            "`messages.2.inner.0`: object missing required field `name`",
            "messages.2.inner.0",
        ),
        (b"[]", "tools.0", "`tools.0`: expected `object`, got `array`", "tools.0"),
        (b"[]", "", "Expected `object`, got `array`", None),
    ],
)
def test_the_field_is_named_by_its_whole_path(
    body: bytes, where: str, words: str, param: Any
) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body, type=_Outer)
    error = wrong(raised.value, where)

    assert (str(error), error.param) == (words, param)
