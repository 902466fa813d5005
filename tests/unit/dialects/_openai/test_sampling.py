"""Parameters that Chat and Completions spell alike."""

from typing import Any

import pytest

from proxy.chat import Chat
from proxy.dialects._openai.fields import Fields, spelled
from proxy.dialects._openai.sampling import (
    read_sampling,
    read_stream_options,
    sampling,
    streaming,
)
from proxy.errors import BadRequest

GIVEN: dict[str, Any] = {
    **{"temperature": 0.5, "top_p": 0.25, "top_k": 3, "seed": 7, "n": 2, "stop": ["a"]},
    **{"presence_penalty": 0.5, "frequency_penalty": 1.5, "logit_bias": {"1": 2}},
}


def fields(given: dict[str, Any]) -> Fields:
    return Fields({name: spelled(value) for name, value in given.items()})


def chat() -> Chat:
    return Chat(model="m", messages=[])


def test_what_is_read_is_wanted_again() -> None:
    read = chat()
    read_sampling(fields(GIVEN), read)
    wanted = sampling(read, "max_completion_tokens")

    assert bytes(wanted.pop("logit_bias")[1]) == b'{"1":2}'
    assert wanted.pop("max_tokens") == ("max_completion_tokens", None)
    assert wanted == {n: (n, v) for n, v in GIVEN.items() if n != "logit_bias"}


def test_who_says_nothing_wants_nothing() -> None:
    read = chat()
    read_sampling(fields({"stop": None, "n": 1}), read)

    assert {value for _, value in sampling(read, "max_tokens").values()} == {None}


def test_nobody_wants_no_answer() -> None:
    with pytest.raises(BadRequest, match="`n` must be 1 or more"):
        read_sampling(fields({"n": 0}), chat())


@pytest.mark.parametrize(
    ("options", "usage", "extra"),
    [
        (None, False, {}),
        ({"include_usage": True}, True, {}),
        ({"include_usage": None, "x": 1}, False, {"stream_options": b'{"x":1}'}),
    ],
)
def test_options_of_streams(options: Any, usage: bool, extra: dict[str, bytes]) -> None:
    read = chat()
    read_stream_options(fields({"stream_options": options}), read)

    spelt = {name: bytes(raw) for name, raw in read.extra.items()}
    assert (read.include_usage, spelt) == (usage, extra)


def test_only_streams_are_asked_to_report() -> None:
    streamed = Chat(model="m", messages=[], stream=True)

    assert streaming(chat(), usage=True) == {}
    assert streaming(streamed, usage=False) == {"stream": True}
    assert streaming(streamed, usage=True)["stream_options"] == {"include_usage": True}
