"""What is read of a chunk of Completions."""

from proxy.dialects.openai_completions.chunk import Tokens, decode_first
from proxy.event import Logprob


def test_what_is_not_there_is_nothing() -> None:
    chunk = decode_first.decode(b'{"choices":[{}]}')

    assert (len(chunk.usage), len(chunk.error), chunk.id) == (0, 0, None)
    assert chunk.choices is not None
    assert (chunk.choices[0].index, chunk.choices[0].text) == (0, None)


def test_tokens_may_have_fewer_alternatives_than_there_are_of_them() -> None:
    tokens = Tokens(["a", "b"], [-1, -2], [{"a": -1}])

    assert tokens.neutral() == [Logprob("a", -1, None, [Logprob("a", -1)]), Logprob("b", -2)]
