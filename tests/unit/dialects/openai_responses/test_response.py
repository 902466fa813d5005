"""The response object."""

import json

import msgspec
import pytest
from openai.types.responses import Response

from proxy.chat import Chat, Format, Reasoning, Tool, ToolChoice
from proxy.dialects.openai_responses.response import begun, ended, incomplete, item_id, tokens
from proxy.event import Begin, Logprob, Stop, StopReason, Usage
from proxy.exchange import Raw

ASK = Chat(
    model="asked",
    messages=[],
    tools=[Tool(name="f"), Tool(name="g", custom=True)],
    tool_choice=ToolChoice("named", ["f"]),
    format=Format(schema=Raw(b"{}"), name="n"),
    reasoning=Reasoning(effort="low", show=True),
    extra={"verbosity": Raw(b'"low"')},
)


def test_it_is_what_the_sdk_says_that_it_is() -> None:
    response = begun(Begin(), ASK)
    Response.model_validate(json.loads(msgspec.json.encode(response)))
    over = ended(response, [], Stop("stop"), Usage(3, 4))
    Response.model_validate(json.loads(msgspec.json.encode(over)))

    assert response["id"].startswith("resp_")
    assert (response["model"], response["status"]) == ("asked", "in_progress")
    assert response["created_at"] > 1_700_000_000
    assert over["status"] == "completed"


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("length", "max_output_tokens"),
        ("context", "max_output_tokens"),
        ("filter", "content_filter"),
        ("stop", None),
        ("tool_calls", None),
        ("refusal", None),
        ("pause", None),
    ],
)
def test_why_a_response_is_incomplete(reason: StopReason, why: str | None) -> None:
    assert incomplete(Stop(reason)) == why


def test_usage_that_was_not_counted_is_null() -> None:
    assert ended({}, [], None, None)["usage"] is None


def test_bytes_of_tokens_are_never_null() -> None:
    [token] = tokens([Logprob("é", -1.0, None, [Logprob("b", -2.0)])])

    assert token["bytes"] == [195, 169]
    assert token["top_logprobs"] == [{"token": "b", "logprob": -2.0, "bytes": [98]}]


def test_items_have_ids_of_their_own() -> None:
    assert item_id("msg", "r", 0) == item_id("msg", "r", 0)
    assert len({item_id("msg", response, place) for response in "ab" for place in (0, 1)}) == 4
