"""The inputs of embeddings and legacy completions: a text, tokens, or a list of either."""

from typing import NamedTuple

import msgspec

from proxy.mock.errors import MockError
from proxy.mock.text import estimate_tokens

MAX_INPUTS = 2048
"""Inputs in one request (platform.openai.com/docs/api-reference/embeddings/create)."""

Inputs = str | list[str | int | list[int]]
"""How a request spells them."""


class Input(NamedTuple):
    """One of them: what stands for it as a seed, and how many tokens it is."""

    data: bytes
    tokens: int


def read_inputs(value: Inputs, param: str) -> list[Input]:
    """What is in field `param`; raises MockError naming it."""
    if isinstance(value, str):
        return [_text(value)]
    if not value or len(value) > MAX_INPUTS:
        raise MockError(
            400, f"{param}: expected 1 to {MAX_INPUTS} inputs, not {len(value)}", param=param
        )
    tokens = [item for item in value if isinstance(item, int)]
    if len(tokens) == len(value):
        return [_tokens(tokens)]
    texts = [_text(item) for item in value if isinstance(item, str)]
    lists = [_tokens(item) for item in value if isinstance(item, list)]
    if len(value) in (len(texts), len(lists)):
        return texts or lists
    raise MockError(400, f"{param}: expected texts, tokens or lists of tokens", param=param)


def _text(text: str) -> Input:
    data = text.encode()
    return Input(data, estimate_tokens(data))


def _tokens(tokens: list[int]) -> Input:
    return Input(msgspec.json.encode(tokens), len(tokens))
