"""Which parts events are."""

import pytest

from proxy.chat import Chat
from proxy.dialects._gemini.spell import Choice, Held, Speller, add_logprobs, spell_candidate
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Logprob,
    Logprobs,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

CHAT = Chat(model="asked", messages=[])


def held(arguments: str) -> Held:
    call = Held(Call(0, "a", "f"))
    call.arguments = arguments
    return call


@pytest.mark.parametrize(("arguments", "whole"), [("", True), (" {} ", True), ('{"a":', False)])
def test_a_call_is_a_part_once_its_arguments_are_an_object(arguments: str, whole: bool) -> None:
    assert (held(arguments).part() is not None) is whole


def test_calls_are_settled_in_their_order() -> None:
    choice = Choice()
    choice.calls = {0: held('{"a":1}'), 1: held(""), 2: held("{}")}

    assert len(choice.settle(last=False)) == 1
    assert list(choice.calls) == [1, 2]
    assert len(choice.settle(last=True)) == 2


def test_what_no_part_is_is_noted() -> None:
    speller = Speller(CHAT)
    noted: list[Event] = [
        Begin("r", "m"),
        Used(Usage(1)),
        Call(0, "a", "f"),
        Arguments(0, "{}"),
        Arguments(7, "of no call"),
        Citation(url="u"),
        Citation(url="v", origin="gemini"),
        Stop("stop"),
    ]

    assert all(speller.note(event) for event in noted)
    assert not speller.note(Text("a"))
    assert not speller.note(End())
    choice = speller.choice(0)
    assert (speller.usage, choice.citations) == (Usage(1), [Citation(url="u")])
    assert choice.calls[0].arguments == "{}"
    assert speller.envelope() == {"modelVersion": "m", "responseId": "r"}
    assert Speller(CHAT).envelope() == {"modelVersion": "asked"}


def test_a_signature_is_a_thoughts_where_it_follows_one() -> None:
    speller = Speller(CHAT)

    assert speller.part(Signature("QQ==", "gemini")) == (
        0,
        {"text": "", "thoughtSignature": "QQ=="},
    )
    assert speller.part(Thinking("hm", 1)) == (1, {"text": "hm", "thought": True})
    assert speller.part(Signature("QQ==", "gemini", 1)) == (
        1,
        {"text": "", "thought": True, "thoughtSignature": "QQ=="},
    )
    assert speller.part(End()) is None


def test_a_candidate_without_parts_has_no_content() -> None:
    assert spell_candidate(1, [], {"finishReason": "STOP"}) == {"index": 1, "finishReason": "STOP"}


def test_logprobs_of_a_candidate_add_up() -> None:
    candidate: dict[str, object] = {}
    for token in ("a", "b"):
        add_logprobs(candidate, Logprobs([Logprob(token, -1.0)]))

    assert candidate == {
        "logprobsResult": {
            "chosenCandidates": [
                {"token": "a", "logProbability": -1.0},
                {"token": "b", "logProbability": -1.0},
            ],
            "topCandidates": [{"candidates": []}, {"candidates": []}],
        }
    }
