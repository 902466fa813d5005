"""What is to be given back, and formats of custom tools."""

import json

import msgspec
import pytest

from proxy.chat import ThinkingPart
from proxy.dialects.openai_responses.wire import (
    NAME,
    encrypted_content,
    flat_format,
    nested_format,
    pack,
    thinking_of,
    unpack,
)
from proxy.exchange import Raw


def test_a_signature_of_ours_keeps_the_id_of_its_item() -> None:
    assert unpack(pack("rs", "a:b")) == ("rs", "a:b")
    assert unpack("bare") == ("", "bare")
    assert encrypted_content(pack("rs", "e"), NAME, redacted=False) == "e"


@pytest.mark.parametrize("redacted", [True, False])
def test_a_signature_of_others_comes_back_as_it_was(redacted: bool) -> None:
    kept = encrypted_content("s", "anthropic_messages", redacted=redacted)
    expected = ThinkingPart(
        text="hm", signature="s", origin="anthropic_messages", redacted=redacted
    )

    assert thinking_of("hm", "rs", kept) == expected


def test_reasoning_that_is_not_encrypted_is_its_words() -> None:
    assert thinking_of("hm", "rs", "") == ThinkingPart(text="hm")


FLAT = Raw(b'{"type":"grammar","syntax":"lark","definition":"x"}')
NESTED = Raw(b'{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}')


def test_a_grammar_is_spelled_in_two_ways() -> None:
    assert json.loads(bytes(nested_format(FLAT))) == json.loads(bytes(NESTED))
    assert json.loads(msgspec.json.encode(flat_format(NESTED))) == json.loads(bytes(FLAT))


@pytest.mark.parametrize(
    "other", [b'{"type":"text"}', b'{"type":"grammar"}', b"7", b'{"type":"grammar","grammar":7}']
)
def test_any_other_format_stays(other: bytes) -> None:
    assert bytes(nested_format(Raw(other))) == other
    assert msgspec.json.encode(flat_format(Raw(other))) == other
