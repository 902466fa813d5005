"""Converse as a dialect: paths, refusals, errors."""

import pytest

from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.errors import ProviderBroke, Unsupported
from proxy.event import Failure

DIALECT = BedrockConverse()


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/model/m/converse", "m", False),
        ("/model/a%2Fb%3A0/converse-stream", "a/b:0", True),
        ("/model/arn:aws:x/y/converse", "arn:aws:x/y", False),
    ],
)
def test_the_path_says_model_and_stream(path: str, model: str, stream: bool) -> None:
    request = DIALECT.parse(b"{}", path)

    assert (request.model, request.stream) == (model, stream)


@pytest.mark.parametrize(
    ("status", "body", "code", "fit"),
    [
        (400, b'{"message":"no"}', "provider.refused", True),
        (400, b'{"message":"Input is too long for requested model."}', "client.too_long", True),
        (403, b'{"message":"no access"}', "provider.refused", True),
        (408, b'{"message":"slow"}', "provider.timeout", True),
        (424, b'{"message":"model"}', "provider.broke", True),
        (429, b'{"message":"slow down"}', "provider.rate_limited", True),
        (503, b'{"message":"busy"}', "provider.overloaded", True),
        (500, b"<html>", "provider.bad_response", False),
        (403, b"plain words", "provider.refused", False),
    ],
)
def test_a_refusal_means_what_its_status_says(
    status: int, body: bytes, code: str, fit: bool
) -> None:
    error, found = DIALECT.refusal(status, body)

    assert (error.code, found) == (code, fit)
    assert str(error)


def test_an_error_of_ours_is_an_exception_in_the_stream() -> None:
    [failure] = DIALECT.decoder().feed(DIALECT.error_event(ProviderBroke("words")))

    assert isinstance(failure, Failure)
    assert str(failure.error) == "words"


def test_nobody_speaks_it_to_us() -> None:
    request = DIALECT.parse(b"{}", "/model/m/converse")

    assert not DIALECT.client_facing
    assert not DIALECT.ask_usage(request)
    assert DIALECT.failure(b"x") is None
    assert DIALECT.watch(stream=True, strip=True).feed(b"x") == b"x"
    with pytest.raises(Unsupported):
        DIALECT.add_system(request, "x")


def test_streams_have_their_own_content_type() -> None:
    assert DIALECT.content_type(None, stream=True) == b"application/vnd.amazon.eventstream"
    assert DIALECT.content_type(None, stream=False) == b"application/json"
