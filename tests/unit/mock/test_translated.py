"""The mock in dialects that it speaks by their codecs."""

from typing import Any

import msgspec
import pytest

from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.framing.sse import parse_frame
from proxy.mock.errors import MockError
from proxy.mock.reply import Streamed, Whole
from proxy.mock.settings import MockSettings
from proxy.mock.translated import error_body, reply

MESSAGES = AnthropicMessages()
SETTINGS = MockSettings(output_tokens=3)
TOOL = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def body(**fields: Any) -> bytes:
    messages = [{"role": "user", "content": "Hello"}]
    return msgspec.json.encode({"model": "m", "max_tokens": 50, "messages": messages, **fields})


def whole(**fields: Any) -> Any:
    made = reply(MESSAGES, body(**fields), "/v1/messages", "", SETTINGS)
    assert isinstance(made, Whole)
    return msgspec.json.decode(made.body)


def test_an_answer_has_as_many_words_as_are_asked_for() -> None:
    answer = whole()

    assert len(answer["content"][0]["text"].split()) == 3
    assert answer["usage"]["output_tokens"] == 3
    assert answer["stop_reason"] == "end_turn"
    assert whole(max_tokens=2)["stop_reason"] == "max_tokens"


def test_the_same_request_has_the_same_answer() -> None:
    assert whole() == whole()


def test_a_tool_is_called_with_arguments_that_fit() -> None:
    [call] = whole(tools=[TOOL])["content"]

    assert (call["type"], call["name"]) == ("tool_use", "weather")
    assert isinstance(call["input"]["city"], str)


def test_no_tool_is_called_where_none_may_be_or_one_has_been() -> None:
    called = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "x"}}
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [called]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "y"}]},
    ]

    assert whole(tools=[TOOL], tool_choice={"type": "none"})["stop_reason"] == "end_turn"
    assert whole(tools=[TOOL], messages=history)["stop_reason"] == "end_turn"


def test_json_fits_the_schema_that_is_asked_for() -> None:
    wanted = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    text = whole(output_config=wanted)["content"][0]["text"]

    assert set(msgspec.json.decode(text)) == {"city"}


def test_completions_are_said_by_their_codec_as_well() -> None:
    asked = b'{"model":"m","prompt":"Hello","n":2}'
    made = reply(OpenAICompletions(), asked, "/v1/completions", "", SETTINGS)
    assert isinstance(made, Whole)
    answer = msgspec.json.decode(made.body)

    assert [len(choice["text"].split()) for choice in answer["choices"]] == [3, 3]
    assert answer["usage"]["completion_tokens"] == 6


def test_a_stream_says_the_same_event_by_event() -> None:
    made = reply(MESSAGES, body(stream=True), "/v1/messages", "", SETTINGS)
    assert isinstance(made, Streamed)
    events = list(made.events)
    kinds = [
        msgspec.json.decode(parse_frame(frame + b"\n\n").data)["type"]
        for event in events
        for frame in event.data.split(b"\n\n")[:-1]
    ]

    assert kinds[0] == "message_start"
    assert kinds.count("content_block_delta") == 3
    assert kinds[-1] == "message_stop"
    assert [event.paced for event in events].count(True) == 2
    assert b"event: error" in made.failure(2)


def test_tokens_are_counted() -> None:
    made = reply(AnthropicCountTokens(), body(), "/v1/messages/count_tokens", "", SETTINGS)
    assert isinstance(made, Whole)

    assert msgspec.json.decode(made.body)["input_tokens"] > 0


def test_what_is_wrong_is_told_by_its_field() -> None:
    with pytest.raises(MockError) as caught:
        reply(MESSAGES, b'{"model":"m","messages":1}', "/v1/messages", "", SETTINGS)

    assert caught.value.status == 400
    assert caught.value.param == "messages"


def test_an_error_is_spelled_as_the_dialect_does() -> None:
    spelled = msgspec.json.decode(error_body(MESSAGES, MockError(529, "too busy")))

    assert spelled["type"] == "error"
    assert spelled["error"]["message"] == "too busy"
