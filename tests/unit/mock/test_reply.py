import msgspec
import pytest

from proxy.mock.errors import MockError
from proxy.mock.reply import decode


class Inner(msgspec.Struct):
    role: str


class Outer(msgspec.Struct):
    model: str
    messages: list[Inner] = []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":3}', "model"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","messages":[{}]}', "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"u"},{"role":1}]}', "messages[1].role"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(body: bytes, param: str) -> None:
    with pytest.raises(MockError) as caught:
        decode(body, Outer)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert str(caught.value).startswith(f"{param}: ")


def test_a_body_that_is_no_object_is_a_400_that_says_so() -> None:
    with pytest.raises(MockError, match="Expected `object`, got `array`") as caught:
        decode(b"[]", Outer)
    assert caught.value.param is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"hello", b'{"model":"m"} x', b'{"model":"\xff"}'),
        b'{"model":"m","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_body_that_is_no_json_is_a_400(body: bytes) -> None:
    with pytest.raises(MockError, match="JSON body of your request") as caught:
        decode(body, Outer)
    assert caught.value.status == 400
