"""What dialects ask of the neutral form of a request."""

import pytest

from proxy.chat import (
    CallPart,
    Chat,
    Message,
    NativePart,
    Omissions,
    Raw,
    ResultPart,
    TextPart,
    Tool,
    call_names,
    data_url,
    merged,
    omit_foreign,
    seal,
    split_data_url,
    unseal,
)
from proxy.errors import Unsupported


def text(role: str, *words: str, name: str | None = None) -> Message:
    return Message(role, [TextPart(text=word) for word in words], name)  # type: ignore[arg-type]


def test_neighbours_of_one_role_are_merged_and_the_originals_stay() -> None:
    messages = [text("user", "a"), text("user", "b"), text("assistant", "c"), text("user", "d")]
    assert list(merged(messages)) == [
        text("user", "a", "b"),
        text("assistant", "c"),
        text("user", "d"),
    ]
    assert messages[0] == text("user", "a")


def test_neighbours_with_different_names_stay_apart() -> None:
    messages = [text("user", "a", name="x"), text("user", "b", name="y")]
    assert list(merged(messages)) == messages


def test_nothing_merged_is_nothing() -> None:
    assert list(merged([])) == []


def test_call_names_are_found_by_id() -> None:
    call = CallPart(id="c1", name="f", arguments="{}")
    assert call_names([text("user", "a"), Message("assistant", [call])]) == {"c1": "f"}


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:image/png;charset=x;BASE64,AAAA", ("image/png", "AAAA")),
        ("data:;base64,AAAA", ("text/plain", "AAAA")),
        ("data:image/png,AAAA", None),
        ("data:image/png;base64", None),
        ("https://example.com/a.png", None),
    ],
)
def test_data_urls_are_taken_apart(url: str, parts: tuple[str, str] | None) -> None:
    assert split_data_url(url) == parts


def test_a_data_url_survives_the_way_there_and_back() -> None:
    assert split_data_url(data_url("image/png", "AA==")) == ("image/png", "AA==")


def test_a_signature_keeps_its_origin_through_another_dialect() -> None:
    kept = seal("s", "anthropic_messages", "openai_chat")
    assert kept != "s"
    assert unseal(kept, "openai_chat") == ("s", "anthropic_messages")


def test_a_signature_stays_as_it_is_in_its_own_dialect() -> None:
    assert seal("s", "gemini", "gemini") == "s"
    assert unseal("s", "gemini") == ("s", "gemini")


def test_hints_that_were_given_are_named_once() -> None:
    omissions = Omissions("anthropic_messages", reject=False)
    omissions.hint("seed", 1)
    omissions.hint("seed", 2)
    omissions.hint("top_k", None)
    omissions.hint("tools", [])
    omissions.hint("logit_bias", {})
    assert omissions.names == ["seed"]


def test_a_hint_of_zero_was_given() -> None:
    omissions = Omissions("anthropic_messages", reject=False)
    omissions.hint("temperature", 0.0)
    assert omissions.names == ["temperature"]


def test_hints_are_refused_where_the_route_says_so() -> None:
    with pytest.raises(Unsupported) as caught:
        Omissions("anthropic_messages", reject=True).hint("seed", 1)
    assert caught.value.param == "seed"
    assert "anthropic_messages" in str(caught.value)


def test_content_is_refused_always() -> None:
    with pytest.raises(Unsupported, match="audio cannot be carried"):
        Omissions("anthropic_messages", reject=False).refuse("audio", param="messages")


TRUE = Raw(b"true")


def test_hints_of_another_dialect_are_left_out_and_named() -> None:
    inner = TextPart(text="b", extra={"shade": TRUE})
    part = ResultPart(id="c", content=[inner], extra={"tint": TRUE})
    chat = Chat(
        model="m",
        messages=[Message("tool", [part])],
        tools=[Tool(name="f", extra={"lazy": TRUE})],
        extra={"speed": TRUE},
        origin="ours",
    )
    omissions = Omissions("theirs", reject=False)
    omit_foreign(chat, "theirs", omissions)
    assert omissions.names == ["speed", "tools.lazy", "messages.tint", "messages.shade"]

    own = Omissions("ours", reject=True)
    omit_foreign(chat, "ours", own)
    assert own.names == []


@pytest.mark.parametrize(
    ("chat", "words", "param"),
    [
        (Chat(model="m", messages=[], native=["container"]), "`container`", "container"),
        (Chat(model="m", messages=[], native=["max_tokens: 0"]), "`max_tokens: 0`", "max_tokens"),
        (
            Chat(model="m", messages=[], tools=[Tool(name="web", native=TRUE, origin="ours")]),
            "the tool `web`",
            "tools",
        ),
        (
            Chat(
                model="m",
                messages=[
                    Message(
                        "tool",
                        [ResultPart(id="c", content=[NativePart(TRUE, "ours", "browser_state")])],
                    )
                ],
            ),
            "content of the type `browser_state`",
            "messages",
        ),
    ],
)
def test_what_only_another_dialect_can_say_is_refused(chat: Chat, words: str, param: str) -> None:
    chat.origin = "ours"
    with pytest.raises(Unsupported, match=words) as raised:
        omit_foreign(chat, "theirs", Omissions("theirs", reject=False))
    assert raised.value.param == param
    omit_foreign(chat, "ours", Omissions("ours", reject=False))
