"""What is read of a chunk."""

from proxy.dialects.openai_chat.chunk import Token, decode_first
from proxy.event import Logprob


def test_a_token_is_neutral_with_all_that_might_have_stood_there() -> None:
    token = Token("a", -1.0, [97], [Token("b", -2.0)])

    assert token.neutral() == Logprob("a", -1.0, [97], [Logprob("b", -2.0)])
    assert Token("a", -1.0).neutral() == Logprob("a", -1.0)


def test_what_is_not_there_is_nothing() -> None:
    chunk = decode_first.decode(b'{"choices":[{}]}')

    assert (len(chunk.usage), len(chunk.error), chunk.id) == (0, 0, None)
    assert chunk.choices is not None
    assert (chunk.choices[0].index, chunk.choices[0].delta) == (0, None)
