"""Drop, set, default, clamp: what they make of a request, and what they refuse."""

from typing import Any

import msgspec
import pytest

from proxy.dialects.openai_chat import OpenAIChat
from proxy.processors.parameters import Parameters
from proxy.testing import check_processor
from tests.unit.conftest import Request

CHAT = OpenAIChat()


async def edited(section: dict[str, Any], fields: bytes) -> bytes:
    """What the section makes of a request with these fields, without the model's."""
    processor = msgspec.convert(section, Parameters)
    body = await check_processor(processor, CHAT, b'{"model":"m",%b}' % fields, raw=Request())
    return body.removeprefix(b'{"model":"m"').removeprefix(b",").removesuffix(b"}")


@pytest.mark.parametrize(
    ("section", "fields", "result"),
    [
        ({"drop": ["a", "absent"]}, b'"a":1,"b": 2.50', b'"b":2.50'),
        ({"set": {"a": [1, {"x": None}]}}, b'"a":9,"b":2', b'"a":[1,{"x":null}],"b":2'),
        ({"set": {"a": False}}, b'"b":2', b'"b":2,"a":false'),
        ({"default": {"a": 1, "b": 1}}, b'"b":2', b'"b":2,"a":1'),
        ({"default": {"a": 1}}, b'"a":null', b'"a":null'),
        ({"clamp": {"n": {"max": 4096}}}, b'"n":4097', b'"n":4096'),
        ({"clamp": {"n": {"max": 4096}}}, b'"n": 4096', b'"n": 4096'),
        ({"clamp": {"n": {"min": 0.5}}}, b'"n":0', b'"n":0.5'),
        ({"clamp": {"n": {"min": 0, "max": 1}}}, b'"n": 5e-1', b'"n": 5e-1'),
        ({"clamp": {"n": {"max": 1}}}, b'"n":null', b'"n":null'),
        ({"clamp": {"n": {"max": 1}}}, b'"o":2', b'"o":2'),
        ({"drop": ["a"], "default": {"a": 1}}, b'"a":9', b'"a":1'),
        ({"default": {"a": 5}, "clamp": {"a": {"max": 3}}}, b'"b":1', b'"b":1,"a":3'),
        ({"set": {"a": 1}, "default": {"a": 2}}, b'"a":9', b'"a":1'),
    ],
)
async def test_what_a_section_makes_of_a_request(
    section: dict[str, Any], fields: bytes, result: bytes
) -> None:
    assert await edited(section, fields) == result


@pytest.mark.parametrize("value", [b'"1"', b"[1]", b"true", b"{}"])
async def test_a_field_to_clamp_that_is_no_number_is_the_clients_mistake(value: bytes) -> None:
    processor = msgspec.convert({"clamp": {"n": {"max": 1}}}, Parameters)
    answer = await check_processor(processor, CHAT, b'{"model":"m","n":%b}' % value, raw=Request())

    error = msgspec.json.decode(answer)["error"]
    assert (error["code"], error["param"]) == ("client.bad_request", "n")
    assert error["message"] == "`n` must be a number"


@pytest.mark.parametrize("name", ["model", "stream"])
@pytest.mark.parametrize(
    "section", [{"drop": ["?"]}, {"set": {"?": 1}}, {"default": {"?": 1}}, {"clamp": {"?": {}}}]
)
def test_what_routes_select_by_cannot_be_changed(section: dict[str, Any], name: str) -> None:
    section = msgspec.json.decode(msgspec.json.encode(section).replace(b"?", name.encode()))

    with pytest.raises(msgspec.ValidationError, match=f"`{name}` is what routes select by"):
        msgspec.convert(section, Parameters)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"min \(2\) is greater than max \(1.5\)"):
        msgspec.convert({"clamp": {"n": {"min": 2, "max": 1.5}}}, Parameters)
