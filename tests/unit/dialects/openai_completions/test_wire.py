"""What streams and whole answers of Completions say alike."""

from proxy.dialects.openai_completions.wire import Offsets, finish
from proxy.event import Logprob, Logprobs, Stop


def test_each_choice_has_its_own_places() -> None:
    offsets = Offsets()
    made = [
        offsets.logprobs(Logprobs([Logprob(token, -1)], choice))["text_offset"]
        for token, choice in (("ab", 0), ("c", 1), ("d", 0))
    ]

    assert made == [[0], [0], [2]]


def test_nobody_is_told_of_calls() -> None:
    assert finish(Stop("tool_calls")) == {"finish_reason": "stop"}
