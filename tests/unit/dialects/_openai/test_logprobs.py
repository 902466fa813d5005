"""Log-probabilities of tokens."""

from proxy.dialects._openai.logprobs import Token, spelled
from proxy.event import Logprob


def test_there_and_back() -> None:
    token = Token("a", -1.0, [97], [Token("b", -2.0)])
    neutral = Logprob("a", -1.0, [97], [Logprob("b", -2.0)])

    assert token.neutral() == neutral
    assert Token("a", -1.0).neutral() == Logprob("a", -1.0)
    assert spelled(neutral) == {
        **{"token": "a", "logprob": -1.0, "bytes": [97]},
        "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": None}],
    }
