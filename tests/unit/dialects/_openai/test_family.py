"""Hints that OpenAI's endpoints spell alike."""

from proxy.chat import Chat
from proxy.dialects._openai.family import family_extra
from proxy.exchange import Raw

EXTRA = {"store": Raw(b"true"), "min_p": Raw(b"1"), "include": Raw(b"[]")}


def chat(origin: str) -> Chat:
    return Chat(model="m", messages=[], extra=dict(EXTRA), origin=origin)


def test_in_its_own_dialect_a_chat_keeps_all_of_its_hints() -> None:
    own = chat("openai_chat")

    assert family_extra(own, "openai_chat") == (EXTRA, own)


def test_in_the_family_the_shared_ones_go_on() -> None:
    asked = chat("openai_responses")
    shared, rest = family_extra(asked, "openai_chat")

    assert (list(shared), list(rest.extra)) == (["store", "min_p"], ["include"])
    assert asked.extra == EXTRA


def test_others_share_none() -> None:
    foreign = chat("gemini")

    assert family_extra(foreign, "openai_chat") == ({}, foreign)
