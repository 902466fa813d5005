"""Errors of theirs and of ours, both ways."""

import json
from typing import Any

import pytest

from proxy import errors
from proxy.dialects._anthropic.errors import failure, read_refusal, said, spell_error, status_of
from proxy.errors import (
    BadCredentials,
    BadResponse,
    ProviderBroke,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProxyError,
    TooLong,
)


def spelled(kind: str, message: Any = "because") -> bytes:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return json.dumps(error).encode()


@pytest.mark.parametrize(
    ("status", "kind", "meant", "own_status"),
    [
        (400, "invalid_request_error", ProviderRefused, 400),
        (401, "authentication_error", BadCredentials, 502),
        (402, "billing_error", ProviderRefused, 402),
        (403, "permission_error", ProviderRefused, 403),
        (404, "not_found_error", ProviderRefused, 404),
        (409, "conflict_error", ProviderRefused, 409),
        (413, "request_too_large", ProviderRefused, 413),
        (429, "rate_limit_error", ProviderRateLimited, 429),
        (500, "api_error", ProviderBroke, 500),
        (503, "overloaded_error", ProviderOverloaded, 503),
        (504, "timeout_error", ProviderTimeout, 504),
        (529, "overloaded_error", ProviderOverloaded, 503),
    ],
)
def test_each_type_and_status_is_understood(
    status: int, kind: str, meant: type[ProxyError], own_status: int
) -> None:
    error, fit = read_refusal(status, spelled(kind))

    assert (type(error), error.status, fit) == (meant, own_status, True)
    assert type(said(spelled(kind))) is meant
    assert "because" in str(error) or meant is BadCredentials


@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 205000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    ],
)
def test_an_input_that_is_too_long_is_told_by_the_words(words: str) -> None:
    error, _ = read_refusal(400, spelled("invalid_request_error", words))

    assert (type(error), str(error)) == (TooLong, words)
    assert type(said(spelled("invalid_request_error", words))) is TooLong


@pytest.mark.parametrize(
    ("body", "words", "fit"),
    [
        (b'{"message":"no such route"}', "no such route", False),
        (b"{}", "the provider answered 400", False),
        (b'{"error":null}', "the provider answered 400", False),
        (spelled("x", 1), "the provider answered 400", False),
        (b"plain words", "plain words", False),
        (b"<html>", "the provider answered 400", False),
        (b"\xff\x00", "the provider answered 400", False),
        (b"[" * 100_000, "the provider answered 400", False),
    ],
)
def test_a_body_that_is_none_of_theirs_is_not_passed_on(body: bytes, words: str, fit: bool) -> None:
    error, whether = read_refusal(400, body)

    assert (str(error), whether) == (words, fit)


def test_a_failure_with_a_body_of_nobodys_is_a_bad_response() -> None:
    assert type(read_refusal(500, b"<html>")[0]) is BadResponse


@pytest.mark.parametrize(
    ("chunk", "kind", "words"),
    [
        (b"", None, ""),
        (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', None, ""),
        (b'data: {"type":"content_block_delta","delta":{"text":"\\"error\\""}}\n\n', None, ""),
        (
            b'data: {"type":"content_block_delta","delta":{"partial_json":"x"},"a":"error"}',
            None,
            "",
        ),
        (
            b"event: error\ndata: %b\n\n" % spelled("overloaded_error"),
            ProviderOverloaded,
            "because",
        ),
        (b"event: error\r\ndata: %b\r\n\r\n" % spelled("api_error"), ProviderBroke, "because"),
        (
            b"event: ping\ndata: {}\n\nevent: error\ndata: %b" % spelled("rate_limit_error"),
            ProviderRateLimited,
            "because",
        ),
        (b'data: {"type":"error"}\n\n', ProviderBroke, "an error event in the stream"),
        (b'data: {"type":"error","error":{"type":"odd"}}\n\n', ProviderBroke, "odd"),
        (b'data: {"type":"error","error":[]}\n\n', ProviderBroke, "an error event in the stream"),
        (b'data: {"type":"error"\n\n', None, ""),
        (b'data: {"type":"error\xff"}\n\n', None, ""),
    ],
)
def test_a_stream_failed_if_its_last_frame_says_so(
    chunk: bytes, kind: type[ProxyError] | None, words: str
) -> None:
    error = failure(chunk)

    assert (type(error), "" if error is None else str(error)) == (kind or type(None), words)


# By what their SDKs choose the exception, from the public list of our errors.
TYPES = {
    "BadJSON": ("invalid_request_error", 400),
    "BadRequest": ("invalid_request_error", 400),
    "Unsupported": ("invalid_request_error", 400),
    "TooLong": ("invalid_request_error", 400),
    "TooLarge": ("request_too_large", 413),
    "ClientTimeout": ("timeout_error", 408),
    "Forbidden": ("permission_error", 403),
    "Blocked": ("invalid_request_error", 400),
    "Overloaded": ("overloaded_error", 529),
    "ConnectFailed": ("api_error", 502),
    "ProviderBroke": ("api_error", 502),
    "BadResponse": ("api_error", 502),
    "ProviderTimeout": ("timeout_error", 504),
    "ProviderRefused": ("invalid_request_error", 400),
    "ProviderRateLimited": ("rate_limit_error", 429),
    "ProviderOverloaded": ("overloaded_error", 529),
    "BadCredentials": ("api_error", 502),
    "NoRoute": ("not_found_error", 404),
    "Draining": ("overloaded_error", 503),
    "ProcessorFailed": ("api_error", 500),
    "InternalError": ("api_error", 500),
}


@pytest.mark.parametrize("name", TYPES)
def test_an_error_of_ours_has_the_shape_of_theirs(name: str) -> None:
    error: ProxyError = getattr(errors, name)('a "word"\n')
    kind, status = TYPES[name]

    inner = {"type": kind, "message": 'a "word"\n'}
    assert json.loads(spell_error(error)) == {"type": "error", "error": inner}
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (402, "billing_error"),
        (409, "conflict_error"),
        (415, "invalid_request_error"),
        (418, "invalid_request_error"),
        (422, "invalid_request_error"),
    ],
)
def test_a_status_of_the_providers_own_chooses_the_type(status: int, kind: str) -> None:
    error = ProviderRefused("x", status=status)

    assert json.loads(spell_error(error))["error"]["type"] == kind
    assert status_of(error) == status


def test_an_error_tells_the_exchange_where_it_is_known() -> None:
    error = ProviderBroke("x")
    error.request_id = "r1"

    assert json.loads(spell_error(error))["request_id"] == "r1"
