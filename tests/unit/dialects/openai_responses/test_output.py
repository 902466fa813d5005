"""Items of the output, while they are written."""

import json
from typing import Any

from proxy.dialects.openai_responses.output import (
    CallItem,
    Frames,
    MessageItem,
    ReasoningItem,
    delta_begin,
)


def read(frames: Frames) -> list[dict[str, Any]]:
    return [
        json.loads(frame.partition(b"\ndata: ")[2]) for frame in frames.take().split(b"\n\n")[:-1]
    ]


def test_frames_are_numbered_as_they_come() -> None:
    frames = Frames()
    frames.write("a", {"x": 1})
    frames.write_delta(delta_begin("b", {"y": 2}), 'q"\n', b',"z":3')

    assert frames.take() == (
        b'event: a\ndata: {"type":"a","sequence_number":0,"x":1}\n\n'
        b'event: b\ndata: {"type":"b","y":2,"delta":"q\\"\\n","z":3,"sequence_number":1}\n\n'
    )
    assert frames.take() == b""
    frames.write_last(b"as it is")
    assert frames.take() == b"as it is"


def test_a_call_is_told_as_it_was_at_its_end() -> None:
    frames = Frames()
    call = CallItem(frames, "r", 2)
    call.begin("c", "f", custom=False)
    call.add("{")
    call.add("}")
    body = call.close()
    added, *_, arguments, done = read(frames)

    assert added["item"]["status"] == "in_progress"
    assert added["item"]["arguments"] == ""
    assert (arguments["arguments"], arguments["name"]) == ("{}", "f")
    assert done["item"] == body
    assert (body["status"], body["arguments"], done["output_index"]) == ("completed", "{}", 2)


def test_reasoning_may_have_nothing_to_see() -> None:
    frames = Frames()
    reasoning = ReasoningItem(frames, "r", 0)
    reasoning.begin()
    body = reasoning.close("e")

    assert [event["type"] for event in read(frames)] == [
        *("response.output_item.added", "response.output_item.done"),
    ]
    assert body == {"id": body["id"], "type": "reasoning", "summary": [], "encrypted_content": "e"}


def test_a_message_counts_the_characters_of_the_text_that_is_open() -> None:
    message = MessageItem(Frames(), "r", 0)
    message.begin()
    message.add("abc")
    assert message.length == 3
    message.refuse("no")
    message.add("d")
    assert message.length == 1
    body = message.close("completed")
    assert [part["type"] for part in body["content"]] == ["output_text", "refusal", "output_text"]
