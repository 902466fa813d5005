"""Usage as OpenAI's endpoints spell it."""

import msgspec
import pytest

from proxy.dialects._openai.usage import in_chat, in_responses
from proxy.event import Usage
from proxy.framing.usage import decode_usage

USAGE = Usage(9, 5, 4, 3, 2)


@pytest.mark.parametrize("spell", [in_chat, in_responses])
def test_it_is_read_as_it_was(spell: object) -> None:
    assert callable(spell)
    spelled = spell(USAGE)

    assert decode_usage(msgspec.json.encode(spelled)) == USAGE
    assert spelled["total_tokens"] == 14
