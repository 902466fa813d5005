import base64
import math
import struct
from typing import Any

import msgspec
import pytest

from proxy.mock import embeddings
from proxy.mock.errors import MockError
from proxy.mock.reply import Whole
from proxy.mock.settings import MockSettings


def response(settings: MockSettings | None = None, **fields: Any) -> Any:
    body = msgspec.json.encode({"model": "m", "input": "Hello", **fields})
    reply = embeddings.reply(body, settings or MockSettings())
    assert isinstance(reply, Whole)
    return msgspec.json.decode(reply.body)


def vectors(**fields: Any) -> list[Any]:
    return [each["embedding"] for each in response(**fields)["data"]]


def test_a_vector_has_length_one_and_the_dimensions_that_were_wished() -> None:
    [default] = vectors()
    [short] = vectors(dimensions=8)
    assert (len(default), len(short)) == (embeddings.DIMENSIONS, 8)
    assert math.hypot(*default) == pytest.approx(1, abs=1e-5)


def test_both_encodings_say_the_same_numbers() -> None:
    [numbers] = vectors(dimensions=8, encoding_format="float")
    [encoded] = vectors(dimensions=8, encoding_format="base64")
    assert list(struct.unpack("<8f", base64.b64decode(encoded))) == numbers


def test_each_input_has_its_own_vector() -> None:
    listed = response(input=["One", "Two", "One"], dimensions=4)
    assert [each["index"] for each in listed["data"]] == [0, 1, 2]
    first, second, third = [each["embedding"] for each in listed["data"]]
    assert first == third != second
    assert vectors(input="One", dimensions=4) == [first]


def test_inputs_may_be_tokens_and_are_counted() -> None:
    assert response(input=[1, 2, 3])["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert len(vectors(input=[[1, 2], [3]])) == 2
    assert response(input="x" * 40)["usage"]["prompt_tokens"] == 10


def test_another_seed_gives_another_vector() -> None:
    assert response() == response() != response(MockSettings(seed=1))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": {"text": "Hello"}}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": embeddings.MAX_DIMENSIONS + 1}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(MockError) as caught:
        response(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
