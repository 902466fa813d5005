"""What the mock says, before a dialect spells it: words, a tool call, or JSON for a schema."""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from proxy.mock.errors import MockError
from proxy.mock.schema import Schema, example
from proxy.mock.settings import MAX_TOKENS, MockSettings
from proxy.mock.text import generator, identifier, words

# About what a token of a real tokenizer holds of JSON.
_LETTERS = 4

_NOTHING = Schema(type="object")
_ANY_OBJECT = Schema(properties={"answer": Schema(type="string")}, required=["answer"])


class Function(msgspec.Struct):
    """A function that a request's tools offer."""

    name: str
    parameters: Schema | None = None


class Named(msgspec.Struct):
    """A function that a request's tool choice names."""

    name: str


class ToolChoice(msgspec.Struct):
    """A tool choice that is not a word: Chat names the function inside, Responses beside."""

    name: str | None = None
    function: Named | None = None


class Answer(NamedTuple):
    """One choice. Each of `pieces` is a token; joined they are the text or the arguments."""

    pieces: list[str]
    finish: Literal["stop", "length", "tool_calls"]
    function: str | None
    call_id: str

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


class Turn(NamedTuple):
    """One piece of one choice, in the order in which a stream sends them."""

    choice: int
    piece: str
    paced: bool


def compose(
    settings: MockSettings,
    seeds: Sequence[tuple[bytes, int]],
    *,
    limit: int | None = None,
    ignore_eos: bool = False,
    function: Function | None = None,
    schema: Schema | None = None,
) -> list[Answer]:
    """An answer for each of `seeds`: a call of `function`, JSON for `schema`, or words.

    A seed is what stands for the prompt, and the index of the choice. No answer has more than
    `limit` tokens; with `ignore_eos` words are exactly so many.
    """
    count = settings.output_tokens
    if limit is not None:
        count = limit if ignore_eos else min(count, limit)
    if count * len(seeds) > MAX_TOKENS:
        raise MockError(400, f"expected at most {MAX_TOKENS} tokens in all", param="max_tokens")
    cut_short = limit is not None and (ignore_eos or limit < settings.output_tokens)

    answers = []
    for key, index in seeds:
        rng = generator(key, index)
        name = None
        finish: Literal["stop", "length", "tool_calls"] = "stop"
        if function is not None:
            pieces = _split(example_json(function.parameters or _NOTHING, rng, "tools"))
            name, finish = function.name, "tool_calls"
        elif schema is not None:
            pieces = _split(example_json(schema, rng, "response_format"))
        else:
            pieces = words(rng, count)
            finish = "length" if cut_short else "stop"
        if limit is not None and len(pieces) > limit:
            pieces, finish = pieces[:limit], "length"
        answers.append(Answer(pieces, finish, name, identifier("call_", key, index)))
    return answers


def interleave(answers: Sequence[Answer]) -> Iterator[Turn]:
    """The pieces of all answers, token by token; `paced` where the next token begins."""
    for step in range(steps(answers)):
        paced = step > 0
        for index, answer in enumerate(answers):
            if step < len(answer.pieces):
                yield Turn(index, answer.pieces[step], paced)
                paced = False


def steps(answers: Sequence[Answer]) -> int:
    """How many tokens were made one after another: the choices are made side by side."""
    return max(len(answer.pieces) for answer in answers)


def choose(functions: Sequence[Function], choice: str | ToolChoice | None) -> Function | None:
    """The function to call: the one that `choice` names, else the first; None for no call."""
    if not functions or choice == "none":
        return None
    if isinstance(choice, ToolChoice):
        name = choice.function.name if choice.function else choice.name
        if name is not None:
            for function in functions:
                if function.name == name:
                    return function
            raise MockError(
                400,
                f"tool_choice: expected the name of one of the tools, not {name!r}",
                param="tool_choice",
            )
    return functions[0]


def schema_for(kind: str, schema: Schema | None) -> Schema | None:
    """What an answer in the format `kind` (text, json_object or json_schema) has to fit."""
    if kind == "json_schema":
        return schema or _ANY_OBJECT
    return _ANY_OBJECT if kind == "json_object" else None


def example_json(schema: Schema, rng: random.Random, param: str) -> str:
    """JSON that fits; MockError names the field that has the schema where there is none."""
    try:
        value: Any = example(schema, rng)
    except ValueError as error:
        raise MockError(400, f"{param}: {error}", param=param) from None
    return msgspec.json.encode(value).decode()


def _split(text: str) -> list[str]:
    return [text[start : start + _LETTERS] for start in range(0, len(text), _LETTERS)]
