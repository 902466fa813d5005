"""Reasoning that is to be given back."""

import msgspec

from proxy.chat import ThinkingPart
from proxy.dialects.openai_chat.wire import NAME, Detail, detail_of, thinking_of


def spelled(text: str, value: str, origin: str, *, redacted: bool = False) -> dict[str, object]:
    detail = detail_of(text, value, origin, redacted=redacted, index=2)
    found: dict[str, object] = msgspec.to_builtins(detail)
    return found


def test_what_others_signed_says_whose_it_is() -> None:
    assert spelled("hm", "s", "gemini") == {
        "type": "reasoning.text",
        "text": "hm",
        "signature": "~gemini~s",
        "index": 2,
    }
    assert spelled("", "d", "gemini", redacted=True) == {
        "type": "reasoning.encrypted",
        "data": "~gemini~d",
        "index": 2,
    }


def test_what_was_signed_here_is_as_it_was() -> None:
    own = Detail("reasoning.summary", summary="hm", signature="s", id="i", format=None, index=7)
    expected = msgspec.to_builtins(own) | {"index": 2}

    assert own.words == "hm"
    assert spelled("hm", own.opaque(), NAME) == expected
    assert spelled("hm", "not ours", NAME)["signature"] == "not ours"


def test_what_nobody_signed_needs_no_keeping() -> None:
    assert Detail(text="hm", format="unknown", index=0).opaque() == ""


def test_there_and_back() -> None:
    foreign = ThinkingPart(text="hm", signature="s", origin="gemini")
    hidden = ThinkingPart(signature="d", origin="gemini", redacted=True)
    own = ThinkingPart(text="hm", signature=Detail(signature="s").opaque(), origin=NAME)

    for index, part in enumerate((foreign, hidden, own)):
        detail = detail_of(
            *(part.text, part.signature, part.origin), redacted=part.redacted, index=index
        )
        assert thinking_of(detail) == part
