"""Turns that alternate, with results first."""

import pytest

from proxy.chat import CallPart, Chat, Message, Part, ResultPart, Role, TextPart, ThinkingPart
from proxy.dialects._turns import Turn, arrange, check_results, says
from proxy.errors import BadRequest


def text(words: str) -> Part:
    return TextPart(text=words)


def call(id: str) -> Part:
    return CallPart(id=id, name="f", arguments="")


def result(id: str) -> Part:
    return ResultPart(id=id, content=[])


def turns(*said: tuple[Role, list[Part]], system_turns: bool = False) -> list[Turn]:
    messages = [Message(role, parts) for role, parts in said]
    chat = Chat(model="m", messages=messages)
    _, found = arrange(
        chat, lambda part: not isinstance(part, ThinkingPart), system_turns=system_turns
    )
    return found


def test_what_the_system_says_first_is_apart_and_the_rest_in_its_place() -> None:
    chat = Chat(
        model="m",
        messages=[
            Message("system", [text("a"), text("")]),
            Message("system", [text("b")]),
            Message("user", [text("c")]),
            Message("system", [text("d")]),
        ],
    )

    assert arrange(chat, lambda _: True, system_turns=False) == (
        [text("a"), text("b")],
        [Turn("user", [text("c"), text("d")])],
    )
    assert arrange(chat, lambda _: True, system_turns=True)[1] == [
        Turn("user", [text("c")]),
        Turn("system", [text("d")]),
    ]


def test_turns_of_nothing_are_none_and_their_neighbours_meet() -> None:
    assert turns(
        ("user", [text("a")]),
        ("assistant", [text(""), ThinkingPart(text="hm")]),
        ("user", [text("b")]),
        ("user", []),
    ) == [Turn("user", [text("a"), text("b")])]


def test_results_stand_first_however_late_they_come() -> None:
    assert turns(
        ("assistant", [call("a"), call("b")]),
        ("tool", [result("b")]),
        ("user", [text("and?")]),
        ("tool", [result("a")]),
    )[1] == Turn("user", [result("b"), result("a"), text("and?")])


def test_each_call_has_its_result_and_each_result_its_call() -> None:
    check_results(
        turns(("assistant", [call("a"), call("b")]), ("tool", [result("b"), result("a")]))
    )
    check_results(turns(("user", [text("a")]), ("assistant", [text("b")])))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([("assistant", [call("a")])], "the tool call `a` has no result"),
        ([("assistant", [call("a")]), ("user", [text("x")])], "the tool call `a` has no result"),
        ([("tool", [result("a")])], "the tool result for `a` follows no tool call"),
    ],
)
def test_what_lacks_its_other_half_is_refused(
    said: list[tuple[Role, list[Part]]], words: str
) -> None:
    with pytest.raises(BadRequest, match=words) as raised:
        check_results(turns(*said))
    assert raised.value.param == "messages"


def test_only_empty_texts_say_nothing() -> None:
    assert not says(text(""))
    assert says(text("a"))
    assert says(ThinkingPart(signature="s"))
