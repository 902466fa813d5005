import msgspec
import pytest

from proxy.mock import openai
from proxy.mock.behaviour import MODELS
from proxy.mock.errors import MockError


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "authentication_error", "invalid_api_key"),
        (403, "permission_error", None),
        (404, "invalid_request_error", "model_not_found"),
        (422, "invalid_request_error", None),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", None),
        (503, "server_error", None),
    ],
)
def test_the_status_chooses_type_and_code(status: int, kind: str, code: str | None) -> None:
    error = msgspec.json.decode(openai.error_body(MockError(status, "No", param="model")))
    assert error == {"error": {"message": "No", "type": kind, "param": "model", "code": code}}


def test_an_error_may_say_its_own_type_and_code() -> None:
    error = openai.error_object(MockError(404, "No", type="t", code="c"))
    assert (error["type"], error["code"]) == ("t", "c")


def test_the_models_are_a_list_and_each_is_found() -> None:
    listed = msgspec.json.decode(openai.models_body(7))
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(MODELS)
    for model in listed["data"]:
        assert msgspec.json.decode(openai.model_body(model["id"], 7)) == model
