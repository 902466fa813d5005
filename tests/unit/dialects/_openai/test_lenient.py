"""Reading what is partly not of its type."""

import msgspec
import pytest

from proxy.dialects._openai.lenient import decode_leniently


class Inner(msgspec.Struct):
    a: int = 0
    b: list[int] | None = None
    c: dict[str, int] = {}


class Outer(msgspec.Struct):
    x: str = ""
    inner: Inner | None = None
    many: list[Inner] = []


OUTER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"x":"1"}', Outer("1")),
        (b'{"x":1}', Outer()),
        (b'{"x":1,"inner":{"a":"2","b":[3]}}', Outer("", Inner(0, [3]))),
        (b'{"x":"1","inner":{"a":2,"b":[3,"4"]}}', Outer("1", Inner(2))),
        (b'{"many":[{"a":1},{"a":"2","b":[3]}]}', Outer(many=[Inner(1), Inner(0, [3])])),
        (b'{"many":[1],"x":"1"}', Outer("1")),
        (b'{"inner":{"c":{"k":"v"}}}', Outer("", Inner())),
        (b'{"inner":{"a":1,"c":{"k":1,"l":"v"}}}', Outer("", Inner(1))),
    ],
)
def test_what_is_wrong_is_left_out(data: bytes, expected: Outer) -> None:
    assert decode_leniently(OUTER, data) == expected


@pytest.mark.parametrize("data", [b"1", b"[]", b"null", b'"x"'])
def test_what_is_wrong_as_a_whole_is_not_read(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_leniently(OUTER, data)


def test_what_is_no_json_is_not_read() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_leniently(OUTER, b'{"x":1')


def test_too_much_that_is_wrong_is_not_read() -> None:
    wrong = b'{"many":[%b]}' % b",".join([b'{"a":"x"}'] * 40)

    with pytest.raises(msgspec.ValidationError):
        decode_leniently(OUTER, wrong)
