"""Errors that providers tell inside a response that began well."""

import json

import pytest

from proxy.dialects._openai import errors
from proxy.errors import (
    BadCredentials,
    ProviderBroke,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProxyError,
    TooLong,
)
from proxy.exchange import Raw


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, ProviderRateLimited),
        ("429", ProviderRateLimited),
        ("rate_limit_exceeded", ProviderRateLimited),
        ("insufficient_quota", ProviderRateLimited),
        (503, ProviderOverloaded),
        (529, ProviderOverloaded),
        ("overloaded_error", ProviderOverloaded),
        (504, ProviderTimeout),
        ("context_length_exceeded", TooLong),
        ("invalid_request_error", ProviderRefused),
        ("content_filter", ProviderRefused),
        (404, ProviderRefused),
        (401, BadCredentials),
        ("server_error", ProviderBroke),
        (200, ProviderBroke),
        (None, ProviderBroke),
        ([], ProviderBroke),
    ],
)
def test_what_a_code_or_a_type_means(code: object, kind: type[ProxyError]) -> None:
    for name in ("code", "type"):
        told = errors.of_event(json.dumps({"error": {"message": "no", name: code}}).encode())
        if name == "code" or (isinstance(code, str) and not code.isdecimal()):
            assert type(told) is kind
            assert kind is BadCredentials or str(told) == "no"


def test_a_code_says_more_than_a_type() -> None:
    body = {"message": "no", "type": "invalid_request_error", "code": "context_length_exceeded"}

    assert type(errors.of_object(Raw(json.dumps(body).encode()))) is TooLong


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"error":"no"}', "no"),
        (b'{"error":{"message":null},"message":"no"}', "no"),
        (b'{"type":"error","message":"no"}', "no"),
        (b'{"object":"error","message":"no","code":40303}', "no"),
        (b'{"error":{}}', "an error event in the stream"),
        (b'{"error":{"message":"%b"}}' % (b"x" * 900), "x" * 500),
    ],
)
def test_words(data: bytes, words: str) -> None:
    assert str(errors.of_event(data)) == words


@pytest.mark.parametrize("data", [b"{}", b'{"error":null}', b'{"error":""}', b'{"type":"other"}'])
def test_what_is_no_error(data: bytes) -> None:
    assert errors.of_event(data) is None


def test_an_error_field_of_any_kind() -> None:
    assert errors.of_object(Raw(b"null")) is None
    assert str(errors.of_object(Raw(b'"no"'))) == "no"
    assert str(errors.of_object(Raw(b"[1]"))) == "an error event in the stream"


@pytest.mark.parametrize("data", [b'{"message":"\x98"}', b"{", b"[" * 5000, b""])
def test_an_event_that_cannot_be_read_tells_no_error(data: bytes) -> None:
    assert errors.of_event(data) is None
