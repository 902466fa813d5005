"""What is read of a chunk."""

from proxy.dialects.openai_chat.chunk import decode_first


def test_what_is_not_there_is_nothing() -> None:
    chunk = decode_first.decode(b'{"choices":[{}]}')

    assert (len(chunk.usage), len(chunk.error), chunk.id) == (0, 0, None)
    assert chunk.choices is not None
    assert (chunk.choices[0].index, chunk.choices[0].delta) == (0, None)
