from typing import Any

import msgspec
import pytest

from proxy.mock import chat
from proxy.mock.errors import MockError
from proxy.mock.reply import Event, Streamed, Whole
from proxy.mock.settings import MockSettings

SETTINGS = MockSettings(output_tokens=3)
USER = {"role": "user", "content": "Hello, how are you?"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "messages": [USER], **fields})


def whole(settings: MockSettings = SETTINGS, **fields: Any) -> Any:
    reply = chat.reply(body(**fields), settings)
    assert isinstance(reply, Whole)
    return msgspec.json.decode(reply.body)


def events(settings: MockSettings = SETTINGS, **fields: Any) -> list[Event]:
    reply = chat.reply(body(stream=True, **fields), settings)
    assert isinstance(reply, Streamed)
    return list(reply.events)


def chunks(**fields: Any) -> list[Any]:
    *sent, done = [event.data for event in events(**fields)]
    assert done == b"data: [DONE]\n\n"
    assert all(data.startswith(b"data: ") and data.endswith(b"}\n\n") for data in sent)
    return [msgspec.json.decode(data[6:]) for data in sent]


def test_a_response_has_the_shape_of_a_chat_completion() -> None:
    response = whole(model="gpt-4o")
    [choice] = response["choices"]
    assert response["object"] == "chat.completion"
    assert response["id"].startswith("chatcmpl-")
    assert response["model"] == "gpt-4o"
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert len(choice["message"]["content"].split()) == 3
    usage = response["usage"]
    assert usage["prompt_tokens"] == len(msgspec.json.encode([USER])) // 4
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3


def test_a_stream_is_role_content_finish_and_done() -> None:
    sent = chunks()
    deltas = [chunk["choices"][0]["delta"] for chunk in sent]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [list(delta) for delta in deltas[1:]] == [["content"]] * 3 + [[]]
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in sent]
    assert finishes == [None] * 4 + ["stop"]
    assert {chunk["object"] for chunk in sent} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in sent)


def test_a_stream_says_what_the_whole_response_says() -> None:
    said = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks()]
    assert "".join(said) == whole()["choices"][0]["message"]["content"]
    assert chunks()[0]["id"] == whole()["id"]


def test_usage_comes_last_without_choices_if_it_is_wished() -> None:
    *others, last = chunks(stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == whole()["usage"]


def test_continuous_usage_counts_along() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks(stream_options=options)]
    assert counts == [0, 1, 2, 3, 3, 3]


def test_time_passes_between_two_tokens_and_nowhere_else() -> None:
    assert [event.paced for event in events()] == [False, False, True, True, False, False]


def test_choices_interleave_and_usage_is_of_all() -> None:
    sent = chunks(n=2, stream_options={"include_usage": True})
    indices = [chunk["choices"][0]["index"] for chunk in sent[:-1]]
    assert indices == [0, 1] * 5
    assert sent[-1]["usage"]["completion_tokens"] == 6
    assert whole(n=2)["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_limits_are_kept(field: str) -> None:
    two: dict[str, Any] = {field: 2}
    nine: dict[str, Any] = {field: 9}
    response = whole(**two)
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 2
    assert whole(ignore_eos=True, **nine)["usage"]["completion_tokens"] == 9


def test_a_tool_is_called_with_arguments_that_fit() -> None:
    [choice] = whole(tools=[WEATHER])["choices"]
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert list(msgspec.json.decode(call["function"]["arguments"])) == ["city"]


def test_a_streamed_call_has_id_and_name_once_and_then_its_arguments() -> None:
    sent = [chunk["choices"][0] for chunk in chunks(tools=[WEATHER])]
    [call] = whole(tools=[WEATHER])["choices"][0]["message"]["tool_calls"]
    assert sent[0]["delta"] == {"role": "assistant", "content": None}
    [first] = sent[1]["delta"]["tool_calls"]
    assert first == {"index": 0, **call, "function": {"name": "weather", "arguments": ""}}
    rest = [choice["delta"]["tool_calls"][0] for choice in sent[2:-1]]
    assert all(list(piece) == ["index", "function"] for piece in rest)
    assert (
        "".join(piece["function"]["arguments"] for piece in rest) == call["function"]["arguments"]
    )
    assert sent[-1]["finish_reason"] == "tool_calls"


def test_the_named_tool_is_called() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {"type": "function", "function": {"name": "other"}}
    [call] = whole(tools=[WEATHER, other], tool_choice=choice)["choices"][0]["message"][
        "tool_calls"
    ]
    assert call["function"] == {"name": "other", "arguments": "{}"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "none"},
        {"messages": [USER, {"role": "tool", "tool_call_id": "call_1", "content": "Rain"}]},
        {"tools": [{"type": "custom", "custom": {"name": "anything"}}]},
        {"tools": []},
    ],
)
def test_no_tool_is_called_where_words_are_the_answer(fields: dict[str, Any]) -> None:
    message = whole(**{"tools": [WEATHER], **fields})["choices"][0]["message"]
    assert "tool_calls" not in message
    assert message["content"]


def test_a_response_format_gets_json() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    content = whole(response_format=wanted)["choices"][0]["message"]["content"]
    assert isinstance(msgspec.json.decode(content)["n"], int)
    content = whole(response_format={"type": "json_object"})["choices"][0]["message"]["content"]
    assert isinstance(msgspec.json.decode(content), dict)
    content = whole(response_format={"type": "text"})["choices"][0]["message"]["content"]
    assert content == whole()["choices"][0]["message"]["content"]


def test_fields_that_are_null_are_absent() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ["n", "max_tokens", "stream", "stream_options", "tools", "tool_choice", "response_format"]
    )
    assert whole(**nothing) == whole()


def test_another_seed_gives_another_response() -> None:
    assert whole() == whole()
    assert whole(MockSettings(output_tokens=3, seed=1)) != whole()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": "x"}}}, "tool_choice"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(MockError) as caught:
        chat.reply(body(**fields), SETTINGS)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_failure_is_an_error_event() -> None:
    reply = chat.reply(body(stream=True), SETTINGS)
    assert isinstance(reply, Streamed)
    data = reply.failure(5)
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    error = msgspec.json.decode(data[6:])["error"]
    assert error["type"] == "server_error"
    assert "after 5 events" in error["message"]
