from typing import Any

import msgspec
import pytest

from proxy.mock import responses
from proxy.mock.errors import MockError
from proxy.mock.reply import Streamed, Whole
from proxy.mock.settings import MockSettings

SETTINGS = MockSettings(output_tokens=3)
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "input": "Hello", **fields})


def whole(**fields: Any) -> Any:
    reply = responses.reply(body(**fields), SETTINGS)
    assert isinstance(reply, Whole)
    return msgspec.json.decode(reply.body)


def events(**fields: Any) -> list[Any]:
    """The payloads of a stream whose framing is right."""
    reply = responses.reply(body(stream=True, **fields), SETTINGS)
    assert isinstance(reply, Streamed)
    payloads = []
    for event in reply.events:
        name, data, *rest = event.data.split(b"\n")
        assert rest == [b"", b""]
        payload = msgspec.json.decode(data.removeprefix(b"data: "))
        assert name == b"event: " + payload["type"].encode()
        payloads.append(payload)
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    return payloads


def test_a_response_is_one_message() -> None:
    response = whole(instructions="Be brief", max_output_tokens=50)
    [message] = response["output"]
    [part] = message["content"]
    assert (response["object"], response["status"]) == ("response", "completed")
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert part["type"] == "output_text"
    assert len(part["text"].split()) == 3
    assert (response["instructions"], response["max_output_tokens"]) == ("Be brief", 50)
    usage = response["usage"]
    assert usage["output_tokens"] == 3
    assert usage["total_tokens"] == usage["input_tokens"] + 3


def test_a_stream_of_text_has_its_events_in_their_order() -> None:
    assert [event["type"] for event in events()] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_stream_of_a_call_has_its_events_in_their_order() -> None:
    sent = events(tools=[WEATHER])
    deltas = [event["delta"] for event in sent if "delta" in event]
    assert [event["type"] for event in sent] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        *["response.function_call_arguments.delta"] * len(deltas),
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    started, ended = sent[2]["item"], sent[-2]["item"]
    assert started == {**ended, "arguments": "", "status": "in_progress"}
    assert "".join(deltas) == sent[-3]["arguments"] == ended["arguments"]
    assert list(msgspec.json.decode(ended["arguments"])) == ["city"]


@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER]}, {"max_output_tokens": 2}])
def test_a_stream_ends_with_the_whole_response(fields: dict[str, Any]) -> None:
    sent = events(**fields)
    assert sent[-1]["response"] == whole(**fields)
    assert sent[0]["response"]["output"] == []
    assert sent[0]["response"]["usage"] is None


def test_a_limit_leaves_the_response_incomplete() -> None:
    response = whole(max_output_tokens=2)
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 2
    assert events(max_output_tokens=2)[-1]["type"] == "response.incomplete"


def test_time_passes_between_two_tokens_and_nowhere_else() -> None:
    reply = responses.reply(body(stream=True), SETTINGS)
    assert isinstance(reply, Streamed)
    paced = [b'"delta"' in event.data for event in reply.events if event.paced]
    assert paced == [True, True]


def test_a_tool_is_called_unless_its_result_is_there() -> None:
    [item] = whole(tools=[WEATHER])["output"]
    assert (item["type"], item["name"]) == ("function_call", "weather")
    done = [{"type": "function_call_output", "call_id": item["call_id"], "output": "Rain"}]
    for fields in ({"tool_choice": "none"}, {"input": done}, {"tools": [{"type": "web_search"}]}):
        assert whole(**{"tools": [WEATHER], **fields})["output"][0]["type"] == "message"


def test_the_named_tool_is_called() -> None:
    other = {"type": "function", "name": "other"}
    response = whole(tools=[WEATHER, other], tool_choice={"type": "function", "name": "other"})
    assert response["output"][0]["name"] == "other"
    assert response["tools"] == [WEATHER, other]
    assert response["tool_choice"] == {"type": "function", "name": "other"}


def test_a_format_gets_json() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for wanted in ({"type": "json_schema", "name": "n", "schema": schema}, {"type": "json_object"}):
        text = whole(text={"format": wanted})["output"][0]["content"][0]["text"]
        assert isinstance(msgspec.json.decode(text), dict)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": 3}]}, "input[0].type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [WEATHER], "tool_choice": {"name": "x"}}, "tool_choice"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(MockError) as caught:
        responses.reply(body(**fields), SETTINGS)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_failure_is_an_error_event_that_counts_on() -> None:
    name, data, *rest = responses.failure(5).split(b"\n")
    assert (name, rest) == (b"event: error", [b"", b""])
    payload = msgspec.json.decode(data.removeprefix(b"data: "))
    assert (payload["type"], payload["sequence_number"]) == ("error", 5)
    assert "after 5 events" in payload["message"]
