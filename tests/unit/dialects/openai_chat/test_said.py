"""What an answer says besides text."""

from proxy.chat import Chat
from proxy.dialects.openai_chat import said
from proxy.dialects.openai_chat.wire import NAME
from proxy.event import Call, Citation, Stop

ASK = Chat(model="asked", messages=[])


def test_a_call_keeps_its_own_signature_as_it_is() -> None:
    call = said.call(Call(0, "c", "f", signature="s", origin=NAME), "r")

    assert call["extra_content"] == {"google": {"thought_signature": "s"}}


def test_a_citation_that_says_where_is_there() -> None:
    cited = said.annotation(Citation("u", start=1, end=3), 9)["url_citation"]

    assert (cited["start_index"], cited["end_index"]) == (1, 3)


def test_a_finish_is_openais_word() -> None:
    assert said.finish(Stop("context"), ASK) == {"finish_reason": "length"}
    assert said.finish(Stop("tool_calls"), ASK) == {"finish_reason": "tool_calls"}


def test_who_knows_functions_only_is_told_of_them() -> None:
    ask = Chat(model="m", messages=[], legacy_functions=True)

    assert said.finish(Stop("tool_calls"), ask) == {"finish_reason": "function_call"}
