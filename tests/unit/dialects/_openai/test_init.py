"""What OpenAI's endpoints share: usage options, refusals, errors in streams, errors of ours."""

import json
from typing import Any

import msgspec
import pytest

from proxy import errors
from proxy.dialects._openai import OpenAI
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.dialects.openai_responses import OpenAIResponses
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
from proxy.framing.usage import UsageStrip, UsageWatch

CHAT = OpenAIChat()


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        (b'"stream":true', b'"stream":true,"stream_options":{"include_usage":true}'),
        (
            b'"stream_options":null,"stream":true',
            b'"stream_options":{"include_usage":true},"stream":true',
        ),
        (
            b'"stream":true,"stream_options":{"include_usage":false,"x": [ 1 ]}',
            b'"stream":true,"stream_options":{"include_usage":true,"x":[ 1 ]}',
        ),
    ],
)
def test_a_stream_is_asked_for_its_usage_and_the_client_spared_it(
    fields: bytes, asked: bytes
) -> None:
    request = CHAT.parse(b'{"model":"m",%b}' % fields)

    assert CHAT.ask_usage(request)
    assert request.body() == b'{"model":"m",%b}' % asked


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (CHAT, b""),
        (CHAT, b',"stream":false'),
        (CHAT, b',"stream":true,"stream_options":{"include_usage":true}'),
        (OpenAIResponses(), b',"stream":true'),
        (OpenAIEmbeddings(), b',"stream":true'),
    ],
)
def test_whoever_needs_not_be_asked_is_not(dialect: OpenAI, fields: bytes) -> None:
    request = dialect.parse(b'{"model":"m"%b}' % fields)

    assert not dialect.ask_usage(request)
    assert request.body() is request.raw


@pytest.mark.parametrize(
    ("stream", "strip", "kind"),
    [
        (True, True, UsageStrip),
        (True, False, UsageWatch),
        (False, True, UsageWatch),
        (False, False, UsageWatch),
    ],
)
def test_only_a_stream_is_stripped(stream: bool, strip: bool, kind: type) -> None:
    assert type(CHAT.watch(stream=stream, strip=strip)) is kind


def said(message: Any, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "type": "t", **more}}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "own_status"),
    [
        (400, ProviderRefused, 400),
        (403, ProviderRefused, 403),
        (404, ProviderRefused, 404),
        (422, ProviderRefused, 422),
        (401, BadCredentials, 502),
        (408, ProviderTimeout, 408),
        (429, ProviderRateLimited, 429),
        (500, ProviderBroke, 500),
        (502, ProviderBroke, 502),
        (503, ProviderOverloaded, 503),
        (504, ProviderTimeout, 504),
        (529, ProviderOverloaded, 503),
    ],
)
def test_what_a_status_means(status: int, kind: type[ProxyError], own_status: int) -> None:
    error, fit = CHAT.refusal(status, said("because"))

    assert (type(error), error.status, fit) == (kind, own_status, True)
    if kind is not BadCredentials:
        assert str(error) == "because"
    assert str(CHAT.refusal(status, b"{}")[0]) != ""


def test_a_refused_credential_is_not_named_to_anybody() -> None:
    error, _ = CHAT.refusal(401, said("Incorrect API key provided: sk-***"))

    assert str(error) == "the provider refused the proxy's credentials"


def test_an_input_that_is_too_long_is_told_by_its_code() -> None:
    error, fit = CHAT.refusal(400, said("too many", code="context_length_exceeded"))

    assert (type(error), str(error), fit) == (TooLong, "too many", True)
    assert type(CHAT.refusal(400, said("too many", code=7))[0]) is ProviderRefused


@pytest.mark.parametrize(
    ("body", "words", "fit"),
    [
        (said("a" * 900), "a" * 500, True),
        (said(None), "", True),
        (said({"odd": 1}), "{'odd': 1}", True),
        (b'{"error":"plain"}', "plain", True),
        (b'{"error":null,"message":"m"}', "m", True),
        (b'{"detail":"not found"}', "not found", True),
        (b'{"object":"error","message":"vLLM of old"}', "vLLM of old", True),
        (b"{}", "", True),
        (b"no such host\n", "no such host", False),
        (b"x" * 900, "x" * 500, False),
        (b"", "", False),
        (b"[1]", "", False),
        (b"{", "", False),
        (b"<html>no</html>", "", False),
        (b"two\nlines", "", False),
        (b"\xff\xfe\x00", "", False),
        (b"\x1f\x8b\x08", "", False),
        (b"[" * 100_000, "", False),
    ],
)
def test_the_words_of_a_refusal_are_repeated_where_they_are_words(
    body: bytes, words: str, fit: bool
) -> None:
    error, whether = CHAT.refusal(400, body)

    assert (str(error), whether) == (words or "the provider answered 400", fit)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, BadResponse), (502, BadResponse), (503, ProviderOverloaded), (504, ProviderTimeout)],
)
def test_a_failure_that_is_not_of_the_dialect_is_a_bad_response(
    status: int, kind: type[ProxyError]
) -> None:
    error, fit = CHAT.refusal(status, b"<html>oops</html>")

    assert (type(error), error.status, fit) == (kind, status, False)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (b"", None),
        (b'data: {"choices":[]}\n\n', None),
        (b'data: {"choices":[{"delta":{"content":"an \\"error\\""}}]}\n\n', None),
        (b'data: {"error":null}\n\n', None),
        (b'data: {"error":{"message":"no","code":500}}\n\n', "no"),
        (b'data: {"error":{"message":"no"}}', "no"),
        (b'data: {"error":"no"}\r\n\r\n', "no"),
        (b'data: {"choices":[]}\n\ndata: {"error":{"message":"no"}}\n\n', "no"),
        (b'data: {"choices":[]}\r\n\r\ndata: {"error":{"message":"no"}}\r\n\r\n', "no"),
        (b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n', None),
        (b'data: {"error":{}}\n\n', "an error event in the stream"),
        (b'event: error\ndata: {"type":"error","message":"no"}\n\n', "no"),
        (b'data: {"type":"error_x","note":"error"}\n\n', None),
        (b'data: {"error":[1]}\n\n', None),
        (b'data: "error"\n\n', None),
        (b'data: {"error":\xff}\n\n', None),
    ],
)
def test_a_stream_failed_if_its_last_frame_says_so(chunk: bytes, message: str | None) -> None:
    error = CHAT.failure(chunk)

    assert (None if error is None else str(error)) == message
    assert error is None or type(error) is ProviderBroke


# The type that openai-python and -node choose their exception by, from the public list.
TYPES = {
    "BadJSON": "invalid_request_error",
    "BadRequest": "invalid_request_error",
    "Unsupported": "invalid_request_error",
    "TooLong": "invalid_request_error",
    "TooLarge": "invalid_request_error",
    "ClientTimeout": "invalid_request_error",
    "Forbidden": "permission_error",
    "Blocked": "invalid_request_error",
    "Overloaded": "server_error",
    "ConnectFailed": "server_error",
    "ProviderBroke": "server_error",
    "BadResponse": "server_error",
    "ProviderTimeout": "server_error",
    "ProviderRefused": "invalid_request_error",
    "ProviderRateLimited": "rate_limit_error",
    "ProviderOverloaded": "server_error",
    "BadCredentials": "server_error",
    "NoRoute": "invalid_request_error",
    "Draining": "server_error",
    "ProcessorFailed": "server_error",
    "InternalError": "server_error",
}


@pytest.mark.parametrize("name", TYPES)
def test_an_error_of_ours_has_the_shape_of_theirs(name: str) -> None:
    error: ProxyError = getattr(errors, name)('a "word"\n', param="p")
    code = {"TooLong": "context_length_exceeded", "Blocked": "content_filter"}.get(name, error.code)

    expected = {"message": 'a "word"\n', "type": TYPES[name], "param": "p", "code": code}
    assert json.loads(CHAT.error(error)) == {"error": expected}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (403, "permission_error"),
        (405, "invalid_request_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (599, "server_error"),
    ],
)
def test_a_status_of_the_providers_own_chooses_the_type(status: int, kind: str) -> None:
    error = ProviderRefused("x", status=status)

    assert json.loads(CHAT.error(error))["error"]["type"] == kind


def test_an_error_event_is_one_frame_with_the_error_object_of_an_answer() -> None:
    error = ProviderBroke("it\nbroke")
    event = CHAT.error_event(error)

    assert event == b"data: " + CHAT.error(error) + b"\n\n"
    assert event.count(b"\n") == 2
    told = CHAT.failure(event)
    assert told is not None
    assert str(told) == "it\nbroke"


def test_an_error_without_a_field_at_fault_says_null() -> None:
    assert msgspec.json.decode(CHAT.error(ProviderBroke("x")))["error"]["param"] is None
