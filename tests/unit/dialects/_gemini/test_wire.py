"""Words and objects of responses."""

import base64

import msgspec
import pytest

from proxy.dialects._gemini.wire import (
    ABSENT,
    FAILURES,
    STOPS,
    Raw,
    decode_usage,
    finish_word,
    is_object,
    is_said,
    one_line,
    sealed,
    spell_usage,
    standard_base64,
    unsealed,
)
from proxy.event import Usage


def test_a_finish_reason_may_come_as_its_number() -> None:
    assert [finish_word(n) for n in (1, 2, 3, 10)] == [
        *("STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL"),
    ]
    assert finish_word("STOP") == "STOP"
    assert finish_word(99) == "99"
    assert finish_word(-1) == "-1"


def test_no_finish_reason_is_a_stop_and_a_failure() -> None:
    assert FAILURES.isdisjoint(STOPS)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (b'{"promptTokenCount":5,"totalTokenCount":5}', Usage(5)),
        (
            b'{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,'
            b'"toolUsePromptTokenCount":2,"cachedContentTokenCount":4,"totalTokenCount":17}',
            Usage(7, 10, 4, 3),
        ),
        (b'{"candidatesTokenCount":7}', Usage(0, 7)),
        (b'{"totalTokenCount":7}', Usage()),
        (b'{"trafficType":"ON_DEMAND"}', None),
        (b"{}", None),
        (b'{"promptTokenCount":-1}', None),
        (b'{"promptTokenCount":"x"}', None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_usage_is_normalised_to_totals(raw: bytes, usage: Usage | None) -> None:
    assert decode_usage(raw) == usage


def test_usage_is_spelled_so_that_it_is_read_again() -> None:
    for usage in (Usage(5, 9, 4, 3), Usage(1, 2), Usage()):
        assert decode_usage(msgspec.json.encode(spell_usage(usage, "default"))) == usage
    assert spell_usage(Usage(5, 9, 0, 3), "default") == {
        "promptTokenCount": 5,
        "candidatesTokenCount": 6,
        "totalTokenCount": 14,
        "thoughtsTokenCount": 3,
        "serviceTier": "standard",
    }
    assert spell_usage(Usage(1, 2, 0, 5))["candidatesTokenCount"] == 0


def test_a_signature_of_another_dialect_is_base64_for_this_ones_clients() -> None:
    """Trap 20: it goes back to who made it, and Google's SDKs take nothing but base64."""
    for redacted in (False, True):
        text = sealed("sig/+é", "anthropic_messages", redacted=redacted)
        base64.b64decode(text, validate=True)
        as_sdks_send_it = text.replace("+", "-").replace("/", "_")
        assert unsealed(text) == ("sig/+é", "anthropic_messages", redacted)
        assert unsealed(as_sdks_send_it) == unsealed(text)


@pytest.mark.parametrize("own", ["", "CiQBjz1rX9vX", "AA==", "fn4=", "not base64!!"])
def test_a_signature_of_its_own_stays(own: str) -> None:
    assert sealed(own, "gemini") == own
    assert unsealed(own)[1:] == ("gemini", False)
    assert unsealed(own)[0].rstrip("=") == own.rstrip("=")


def test_base64_is_read_in_both_alphabets() -> None:
    assert standard_base64("_-8") == "/+8="
    assert standard_base64("QUJD") == "QUJD"
    assert standard_base64("") == ""


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("{}", True),
        (' {"a":[1]}\n', True),
        ("[]", False),
        ("", False),
        ('{"a":', False),
        ('{"a":1} x', False),
        ("{" * 100_000, False),
        ('{"a":"\ud800"}', False),
    ],
)
def test_a_text_is_a_json_object_or_it_is_not(text: str, whole: bool) -> None:
    assert is_object(text) is whole


def test_one_line_has_the_same_tokens() -> None:
    assert one_line(b'{"a":\n 1.50e+2,\r"b": "x\\n "}') == b'{"a":1.50e+2,"b":"x\\n "}'
    assert one_line(b'{"a":  1}') == b'{"a":  1}'


def test_null_is_not_said() -> None:
    assert not is_said(ABSENT)
    assert not is_said(Raw(b"null"))
    assert is_said(Raw(b"{}"))
