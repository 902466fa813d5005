"""Chats as requests of Completions."""

import json
from typing import Any

import pytest

from proxy.chat import (
    Chat,
    Format,
    ImagePart,
    Message,
    Omissions,
    Part,
    Quirks,
    Raw,
    Reasoning,
    Rendering,
    TextPart,
    Tool,
)
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_completions.wire import NAME
from proxy.errors import Unsupported

COMPLETIONS = OpenAICompletions()


def said(*texts: str) -> Message:
    return Message("user", [TextPart(text=text) for text in texts])


def rendered(
    chat: Chat, *, usage: bool = False, reject: bool = False, **quirks: Any
) -> tuple[dict[str, Any], list[str]]:
    omissions = Omissions(NAME, reject=reject)
    rendering = Rendering(model="up", omissions=omissions, quirks=Quirks(**quirks), usage=usage)
    return json.loads(COMPLETIONS.render(chat, rendering)), omissions.names


def chat(*messages: Message, **fields: Any) -> Chat:
    return Chat(model="m", messages=list(messages), **{"origin": "openai_chat"} | fields)


def test_one_text_of_the_user_is_the_prompt() -> None:
    assert rendered(chat(said("Say"))) == ({"model": "up", "prompt": "Say"}, [])
    assert rendered(chat(said("Say", " it.")))[0]["prompt"] == "Say it."
    assert rendered(chat(said()))[0]["prompt"] == ""


def test_parameters() -> None:
    made, dropped = rendered(
        chat(
            said("Say"),
            max_tokens=7,
            temperature=0.5,
            top_p=0.25,
            top_k=4,
            seed=3,
            stop=["x", "y"],
            n=2,
            presence_penalty=0.5,
            frequency_penalty=1.5,
            logit_bias=Raw(b'{"7": 1}'),
            user="u",
            stream=True,
        ),
        usage=True,
        reject=True,
    )

    assert made == {
        **{"model": "up", "prompt": "Say", "max_tokens": 7, "temperature": 0.5, "top_p": 0.25},
        **{"top_k": 4, "seed": 3, "stop": ["x", "y"], "n": 2, "presence_penalty": 0.5},
        **{"frequency_penalty": 1.5, "logit_bias": {"7": 1}, "user": "u", "stream": True},
        "stream_options": {"include_usage": True},
    }
    assert dropped == []


def test_usage_is_asked_for_only_where_the_question_is_taken() -> None:
    assert "stream_options" not in rendered(chat(said("Say"), stream=True))[0]


@pytest.mark.parametrize(
    ("logprobs", "top", "number"), [(True, 3, 3), (True, None, 0), (None, None, None)]
)
def test_log_probabilities_are_a_number(
    logprobs: bool | None, top: int | None, number: int | None
) -> None:
    made, _ = rendered(chat(said("Say"), logprobs=logprobs, top_logprobs=top))

    assert made.get("logprobs") == number


def test_hints_that_it_does_not_know_are_left_out() -> None:
    asked = chat(
        Message("user", [TextPart(text="Say", cache="")], "Ann"),
        reasoning=Reasoning(effort="high"),
        metadata={"a": "b"},
        service_tier="flex",
        cache_key="k",
        extra={"min_p": Raw(b"0.1"), "prediction": Raw(b"{}")},
        seed=3,
    )
    made, dropped = rendered(asked, refuses=("seed",))

    assert made == {"model": "up", "prompt": "Say", "min_p": 0.1}
    assert sorted(dropped) == [
        *("cache_control", "cache_key", "metadata", "name", "prediction", "reasoning", "seed"),
        "service_tier",
    ]
    with pytest.raises(Unsupported, match="`service_tier`"):
        rendered(chat(said("Say"), service_tier="flex"), reject=True)


IMAGE: list[Part] = [TextPart(text="What?"), ImagePart(url="http://x/y")]


@pytest.mark.parametrize(
    ("asked", "what", "param"),
    [
        (chat(Message("system", [TextPart(text="s")]), said("a")), "a system prompt", "messages"),
        (chat(said("a"), Message("assistant", []), said("b")), "a conversation", "messages"),
        (chat(said("a"), said("b")), "a conversation of several turns", "messages"),
        (chat(Message("assistant", [TextPart(text="a")])), "a conversation", "messages"),
        (chat(Message("user", IMAGE)), r"content that is no text \(image\)", "messages"),
        (chat(said("a"), tools=[Tool(name="f")]), "tools", "tools"),
        (chat(said("a"), format=Format()), "a response format", "response_format"),
        (chat(said("a"), native=["audio"]), "`audio`", "audio"),
    ],
)
def test_what_one_text_cannot_say_is_refused(asked: Chat, what: str, param: str) -> None:
    with pytest.raises(
        Unsupported, match=f"^{what}.* cannot be carried to a provider of openai_completions"
    ) as raised:
        rendered(asked)
    assert raised.value.param == param


def test_what_came_in_this_dialect_is_said_again() -> None:
    body = {
        **{"model": "up", "prompt": [[1, 2], [3]], "suffix": "end", "echo": True, "best_of": 4},
        **{"logprobs": 2, "n": 2, "service_tier": "flex", "metadata": {"a": "b"}, "stream": True},
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    asked = COMPLETIONS.read(COMPLETIONS.parse(json.dumps(body).encode()))
    assert isinstance(asked, Chat)

    assert rendered(asked, usage=True, reject=True) == (body, [])
