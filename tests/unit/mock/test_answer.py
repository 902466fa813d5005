import msgspec
import pytest

from proxy.mock.answer import (
    Answer,
    Function,
    Named,
    ToolChoice,
    choose,
    compose,
    interleave,
    schema_for,
    steps,
)
from proxy.mock.errors import MockError
from proxy.mock.schema import Schema
from proxy.mock.settings import MAX_TOKENS, MockSettings

SETTINGS = MockSettings(output_tokens=10)
SEEDS = [(b"key", 0)]
FUNCTIONS = [Function("first"), Function("second")]
POINT = Schema(
    type="object",
    properties={"x": Schema(type="integer"), "y": Schema(type="integer")},
    required=["x", "y"],
)


def answer(*pieces: str) -> Answer:
    return Answer(list(pieces), "stop", None, "call_1")


@pytest.mark.parametrize(
    ("limit", "ignore_eos", "tokens", "finish"),
    [
        (None, False, 10, "stop"),
        (10, False, 10, "stop"),
        (50, False, 10, "stop"),
        (3, False, 3, "length"),
        (50, True, 50, "length"),
        (None, True, 10, "stop"),
    ],
)
def test_an_answer_has_as_many_tokens_as_it_may(
    limit: int | None, ignore_eos: bool, tokens: int, finish: str
) -> None:
    [made] = compose(SETTINGS, SEEDS, limit=limit, ignore_eos=ignore_eos)
    assert (len(made.pieces), made.finish) == (tokens, finish)


def test_a_shorter_answer_is_the_beginning_of_the_longer_one() -> None:
    [long] = compose(SETTINGS, SEEDS)
    [short] = compose(SETTINGS, SEEDS, limit=4)
    assert long.text.startswith(short.text)


def test_a_call_has_arguments_that_fit() -> None:
    [made] = compose(SETTINGS, SEEDS, function=Function("f", POINT))
    assert (made.function, made.finish) == ("f", "tool_calls")
    assert list(msgspec.json.decode(made.text)) == ["x", "y"]
    assert len(made.pieces) > 1


def test_a_function_without_parameters_is_called_with_none() -> None:
    [made] = compose(SETTINGS, SEEDS, function=Function("f"))
    assert made.text == "{}"


def test_a_schema_gets_json_that_fits() -> None:
    [made] = compose(SETTINGS, SEEDS, schema=POINT)
    assert (made.function, made.finish) == (None, "stop")
    assert list(msgspec.json.decode(made.text)) == ["x", "y"]


def test_a_call_that_the_limit_cuts_short_says_so() -> None:
    [made] = compose(SETTINGS, SEEDS, function=Function("f", POINT), limit=1)
    assert (len(made.pieces), made.finish, made.function) == (1, "length", "f")


def test_choices_differ_and_so_do_their_calls() -> None:
    first, second = compose(SETTINGS, [(b"key", 0), (b"key", 1)])
    assert first.text != second.text
    assert first.call_id != second.call_id


def test_more_tokens_than_memory_is_meant_for_are_refused() -> None:
    with pytest.raises(MockError, match=f"at most {MAX_TOKENS} tokens in all"):
        compose(SETTINGS, SEEDS, limit=MAX_TOKENS + 1, ignore_eos=True)
    with pytest.raises(MockError, match=f"at most {MAX_TOKENS} tokens in all"):
        compose(MockSettings(output_tokens=MAX_TOKENS), SEEDS * 2)


@pytest.mark.parametrize(
    ("functions", "choice", "chosen"),
    [
        ([], None, None),
        (FUNCTIONS, None, "first"),
        (FUNCTIONS, "auto", "first"),
        (FUNCTIONS, "required", "first"),
        (FUNCTIONS, "none", None),
        (FUNCTIONS, ToolChoice(function=Named("second")), "second"),
        (FUNCTIONS, ToolChoice(name="second"), "second"),
        (FUNCTIONS, ToolChoice(), "first"),
    ],
)
def test_the_function_that_is_named_is_called_else_the_first(
    functions: list[Function], choice: str | ToolChoice | None, chosen: str | None
) -> None:
    function = choose(functions, choice)
    assert (function.name if function else None) == chosen


def test_a_choice_that_is_no_tool_is_refused() -> None:
    with pytest.raises(MockError, match=r"^tool_choice: .*'third'") as caught:
        choose(FUNCTIONS, ToolChoice(name="third"))
    assert (caught.value.status, caught.value.param) == (400, "tool_choice")


def test_a_schema_without_end_is_refused_by_the_name_of_its_field() -> None:
    endless = Schema(ref="#")
    with pytest.raises(MockError, match=r"^tools: expected a schema") as caught:
        compose(SETTINGS, SEEDS, function=Function("f", endless))
    assert caught.value.status == 400
    with pytest.raises(MockError, match=r"^response_format: expected a schema"):
        compose(SETTINGS, SEEDS, schema=endless)


def test_formats_have_the_schema_that_they_say() -> None:
    assert schema_for("text", None) is None
    assert schema_for("json_schema", POINT) is POINT
    assert schema_for("json_object", None) is schema_for("json_schema", None) is not None


def test_the_choices_of_a_stream_take_turns() -> None:
    answers = [answer("a", "b", "c"), answer("x")]
    assert list(interleave(answers)) == [
        (0, "a", False),
        (1, "x", False),
        (0, "b", True),
        (0, "c", True),
    ]
    assert steps(answers) == 3


def test_each_token_is_waited_for_once_whichever_choice_has_it() -> None:
    answers = [answer("a"), answer("x", "y")]
    assert [turn.paced for turn in interleave(answers)] == [False, False, True]
