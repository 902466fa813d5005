"""Requests of Completions, in the neutral form."""

import json
from typing import Any

import pytest

from proxy.chat import Chat, Message, Omissions, Part, Rendering, TextPart
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.errors import BadRequest, Unsupported

COMPLETIONS = OpenAICompletions()


def read(**fields: Any) -> Chat:
    body = {"model": "m", "prompt": "Say"} | fields
    chat = COMPLETIONS.read(COMPLETIONS.parse(json.dumps(body).encode()))
    assert isinstance(chat, Chat)
    return chat


@pytest.mark.parametrize("prompt", ["Say", ["Say"]])
def test_one_text_is_what_the_user_says(prompt: Any) -> None:
    chat = read(prompt=prompt)

    assert chat.messages == [Message("user", [TextPart(text="Say")])]
    assert (chat.native, chat.extra, chat.origin) == ([], {}, "openai_completions")


def test_an_empty_text_is_a_turn_without_any() -> None:
    nothing: list[Part] = []
    assert read(prompt="").messages == [Message("user", nothing)]


@pytest.mark.parametrize(
    ("prompt", "native"),
    [
        (["a", "b"], "prompt: several texts"),
        ([1, 2], "prompt: tokens"),
        ([[1, 2]], "prompt: tokens"),
        ([7], "prompt: tokens"),
    ],
)
def test_several_texts_and_tokens_stay_as_they_are(prompt: Any, native: str) -> None:
    chat = read(prompt=prompt)

    assert chat.native == [native]
    assert json.loads(bytes(chat.extra["prompt"])) == prompt


@pytest.mark.parametrize(
    ("fields", "native"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 3, "n": 2}, "best_of"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"prompt_embeds": "QQ==", "prompt": None}, "prompt_embeds"),
        ({"prompt": ["a", "b"]}, "prompt: several texts"),
    ],
)
def test_what_nobody_else_can_do_is_refused_by_its_name(
    fields: dict[str, Any], native: str
) -> None:
    chat = read(**fields)
    assert chat.native == [native]
    omissions = Omissions("anthropic_messages", reject=False)

    with pytest.raises(Unsupported, match=f"^`{native}` cannot be carried to a provider") as raised:
        AnthropicMessages().render(chat, Rendering(model="m", omissions=omissions))
    assert raised.value.param == native.partition(":")[0]


@pytest.mark.parametrize(
    "fields",
    [
        *({"suffix": ""}, {"suffix": None}, {"echo": False}),
        *({"best_of": 1}, {"best_of": 2, "n": 2}),
    ],
)
def test_what_changes_nothing_is_nothing(fields: dict[str, Any]) -> None:
    chat = read(**fields)

    assert (chat.native, chat.extra) == ([], {})


def test_parameters() -> None:
    chat = read(
        max_tokens=7,
        temperature=0.5,
        top_p=0.25,
        seed=3,
        stop="x",
        n=2,
        presence_penalty=0.5,
        frequency_penalty=-1,
        logit_bias={"50256": -100},
        user="u",
        stream=True,
        stream_options={"include_usage": True},
        min_p=0.1,
    )

    assert (chat.max_tokens, chat.temperature, chat.top_p, chat.seed) == (7, 0.5, 0.25, 3)
    assert (chat.stop, chat.n, chat.presence_penalty, chat.frequency_penalty) == (["x"], 2, 0.5, -1)
    assert bytes(chat.logit_bias or b"") == b'{"50256": -100}'
    assert (chat.user, chat.stream, chat.include_usage) == ("u", True, True)
    assert {name: bytes(raw) for name, raw in chat.extra.items()} == {"min_p": b"0.1"}


@pytest.mark.parametrize(
    ("logprobs", "wanted", "top"),
    [(None, None, None), (0, True, 0), (5, True, 5), (True, True, None), (False, False, None)],
)
def test_log_probabilities_are_asked_for_by_a_number(
    logprobs: Any, wanted: bool | None, top: int | None
) -> None:
    chat = read(logprobs=logprobs)

    assert (chat.logprobs, chat.top_logprobs) == (wanted, top)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": [{"a": 1}]}, "prompt[0]"),
        ({"n": 0}, "n"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"logprobs": "x"}, "logprobs"),
        ({"best_of": "x"}, "best_of"),
        ({"stop": 7}, "stop"),
        ({"stream_options": 7}, "stream_options"),
    ],
)
def test_what_nobody_would_take_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert raised.value.param == param
