"""Errors as Bedrock spells them."""

import pytest

from proxy.dialects._bedrock.errors import exception, malformed, read_refusal


@pytest.mark.parametrize(
    ("status", "body", "code", "fit"),
    [
        (400, b'{"message":"no"}', "provider.refused", True),
        (400, b'{"message":"Input is too long for requested model."}', "client.too_long", True),
        (400, b'{"message":"prompt is too long: 9 tokens > 8"}', "client.too_long", True),
        (403, b'{"message":"You don\'t have access to the model"}', "provider.refused", True),
        (403, b'{"Message":"User: x is not authorized to perform"}', "provider.refused", True),
        (404, b'{"message":"no such model"}', "provider.refused", True),
        (408, b'{"message":"slow"}', "provider.timeout", True),
        (424, b'{"message":"model"}', "provider.broke", True),
        (424, b"{}", "provider.broke", True),
        (429, b'{"message":"slow down"}', "provider.rate_limited", True),
        (503, b'{"message":"busy"}', "provider.overloaded", True),
        (500, b"<html>", "provider.bad_response", False),
        (403, b"plain words", "provider.refused", False),
        (400, b'{"message":1}', "provider.refused", False),
        (400, b"\xff", "provider.refused", False),
    ],
)
def test_a_refusal_means_what_its_status_says(
    status: int, body: bytes, code: str, fit: bool
) -> None:
    error, found = read_refusal(status, body)

    assert (error.code, found) == (code, fit)
    assert str(error)


@pytest.mark.parametrize(
    "words",
    [
        "The security token included in the request is invalid.",
        "The request signature we calculated does not match the signature you provided.",
        "Authentication failed: Please make sure your API Key is valid.",
        "Bearer Token has expired",
    ],
)
def test_a_refusal_of_who_asks_is_one_of_our_credentials_and_says_no_more(words: str) -> None:
    error, _ = read_refusal(403, b'{"message":"%b"}' % words.encode())

    assert error.code == "provider.credentials"
    assert words not in str(error)


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttlingException", "provider.rate_limited", 429),
        ("modelNotReadyException", "provider.rate_limited", 429),
        ("serviceUnavailableException", "provider.overloaded", 503),
        ("modelTimeoutException", "provider.timeout", 504),
        ("validationException", "provider.refused", 400),
        ("internalServerException", "provider.broke", 502),
        ("modelStreamErrorException", "provider.broke", 502),
        ("somethingNew", "provider.broke", 502),
    ],
)
def test_an_exception_is_what_it_is_called(kind: str, code: str, status: int) -> None:
    error = exception(kind, "words")

    assert (error.code, error.status, str(error)) == (code, status, "words")
    assert str(exception(kind, ""))


def test_an_exception_may_say_that_the_input_is_too_long() -> None:
    assert exception("validationException", "Input is too long.").code == "client.too_long"


def test_a_malformed_end_is_a_bad_response() -> None:
    assert malformed("malformed_tool_use").code == "provider.bad_response"
