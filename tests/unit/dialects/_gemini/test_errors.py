"""Errors, Google's and ours."""

import json
from typing import Any

import pytest

from proxy.dialects._gemini.errors import read_failure, read_refusal, spell_error
from proxy.errors import (
    BadCredentials,
    BadRequest,
    BadResponse,
    Overloaded,
    ProviderBroke,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProxyError,
    TooLong,
)


def said(status: int, word: str, message: str = "because", **more: Any) -> bytes:
    return json.dumps(
        {"error": {"code": status, "message": message, "status": word, **more}}
    ).encode()


def retry(delay: Any) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return {"details": [{"@type": "type.googleapis.com/google.rpc.Help"}, 7, info]}


@pytest.mark.parametrize(
    ("status", "word", "kind", "own_status"),
    [
        (400, "INVALID_ARGUMENT", ProviderRefused, 400),
        (400, "FAILED_PRECONDITION", ProviderRefused, 400),
        (401, "UNAUTHENTICATED", BadCredentials, 502),
        (403, "PERMISSION_DENIED", ProviderRefused, 403),
        (404, "NOT_FOUND", ProviderRefused, 404),
        (429, "RESOURCE_EXHAUSTED", ProviderRateLimited, 429),
        (499, "CANCELLED", ProviderRefused, 499),
        (500, "INTERNAL", ProviderBroke, 500),
        (503, "UNAVAILABLE", ProviderOverloaded, 503),
        (504, "DEADLINE_EXCEEDED", ProviderTimeout, 504),
    ],
)
def test_a_refusal_and_a_failure_mean_the_same(
    status: int, word: str, kind: type[ProxyError], own_status: int
) -> None:
    """Trap 13: an error within a 200 is one all the same."""
    body = said(status, word)
    error, fit = read_refusal(status, body)
    inner = json.dumps(json.loads(body)["error"]).encode()

    assert (type(error), error.status, fit) == (kind, own_status, True)
    if kind is not BadCredentials:
        assert str(error) == "because"
    for failure in (read_failure(inner), read_failure(inner.replace(str(status).encode(), b"0"))):
        assert type(failure) is kind
        assert str(failure) == str(error)


def test_the_refusal_of_a_stream_in_array_form_is_an_array() -> None:
    error, fit = read_refusal(404, b"[%b]" % said(404, "NOT_FOUND"))

    assert (type(error), str(error), fit) == (ProviderRefused, "because", True)


def test_an_unknown_key_is_a_400() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error, _ = read_refusal(400, said(400, "INVALID_ARGUMENT", "key AIza…", details=[info]))

    assert type(error) is BadCredentials
    assert "AIza" not in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
        "The input token count exceeds the maximum number of tokens allowed 32768.",
    ],
)
def test_an_input_that_is_too_long_is_told_by_its_words(words: str) -> None:
    error, _ = read_refusal(400, said(400, "INVALID_ARGUMENT", words))

    assert (type(error), str(error)) == (TooLong, words)


@pytest.mark.parametrize(
    ("delay", "headers"),
    [
        ("7s", {"retry-after": "7", "retry-after-ms": "7000"}),
        ("0.25s", {"retry-after": "1", "retry-after-ms": "250"}),
        ("34.074824224s", {"retry-after": "35", "retry-after-ms": "34075"}),
        ("86399s", {"x-should-retry": "false"}),
        ("soon", None),
        (7, None),
        (None, None),
    ],
)
def test_when_to_retry_stands_in_the_details(delay: Any, headers: Any) -> None:
    error, _ = read_refusal(429, said(429, "RESOURCE_EXHAUSTED", **retry(delay)))

    assert error.headers == headers


@pytest.mark.parametrize(
    ("body", "words", "fit"),
    [
        (b'{"error":{"message":"m"}}', "m", True),
        (b'{"error":"m"}', "m", True),
        (b'{"message":"m"}', "m", True),
        (b'{"error":{"message":{"odd":1}}}', "{'odd': 1}", True),
        (b"{}", "", True),
        (b"[]", "", True),
        (b'{"error":{"details":{}}}', "", True),
        (b"no such host", "no such host", False),
        (b"<html>no</html>", "", False),
        (b"\x1f\x8b", "", False),
        (b'{"error":[]}', "", False),
        (b"[" * 100_000, "", False),
    ],
)
def test_other_bodies(body: bytes, words: str, fit: bool) -> None:
    error, whether = read_refusal(400, body)

    assert (str(error), whether) == (words or "the provider answered 400", fit)
    assert type(read_refusal(500, b"<html>")[0]) is BadResponse


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'"plain"', "plain"),
        (b'""', "an error in the provider's stream"),
        (b"[]", "an error in the provider's stream"),
        (b"\xff", "an error in the provider's stream"),
        (b"{}", "the provider failed with 500"),
    ],
)
def test_other_failures(raw: bytes, words: str) -> None:
    error = read_failure(raw)

    assert (type(error), str(error)) == (ProviderBroke, words)


def test_an_error_of_ours_has_the_shape_of_theirs() -> None:
    error = BadRequest("`contents` is missing", param="contents")

    assert spell_error(error) == {
        "error": {
            "code": 400,
            "message": "`contents` is missing",
            "status": "INVALID_ARGUMENT",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "CLIENT_BAD_REQUEST",
                    "domain": "llm-proxy",
                    "metadata": {"code": "client.bad_request"},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [
                        {"field": "contents", "description": "`contents` is missing"}
                    ],
                },
            ],
        }
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (401, "UNAUTHENTICATED"),
        (418, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (599, "INTERNAL"),
    ],
)
def test_a_status_has_a_name(status: int, word: str) -> None:
    assert spell_error(ProviderRefused("x", status=status))["error"]["status"] == word


def test_when_to_retry_is_read_again() -> None:
    error = Overloaded("full", headers={"retry-after": "3"})
    again = read_failure(json.dumps(spell_error(error)["error"]).encode())

    assert again.headers == {"retry-after": "3", "retry-after-ms": "3000"}
