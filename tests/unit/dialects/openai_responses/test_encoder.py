"""Events as a stream of OpenAI's Responses."""

import json
from typing import Any

from proxy.chat import Chat, Reasoning, Tool
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.encoder import ResponsesEncoder
from proxy.dialects.openai_responses.wire import NAME, pack
from proxy.errors import ProviderOverloaded
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Logprob,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

RESPONSES = OpenAIResponses()
BEGIN = Begin("r", "m", 7)


def encoder(**fields: Any) -> ResponsesEncoder:
    asked: dict[str, Any] = {"model": "asked", "messages": []}
    return ResponsesEncoder(Chat(**asked | fields), RESPONSES.error_event)


def read(made: bytes) -> list[dict[str, Any]]:
    found = []
    for frame in made.split(b"\n\n")[:-1]:
        name, data = frame.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


def encode(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    """What the frames say, after the two with which each response begins."""
    created, running, *said = read(encoder(**fields).feed([BEGIN, *events]))
    assert (created["type"], running["type"]) == ("response.created", "response.in_progress")
    return said


def kinds(*events: Event, **fields: Any) -> list[str]:
    return [event["type"].removeprefix("response.") for event in encode(*events, **fields)]


TEXT = ["output_item.added", "content_part.added", "output_text.delta"]
TEXT_DONE = ["output_text.done", "content_part.done", "output_item.done"]


def test_a_text() -> None:
    assert kinds(Text("a"), Text("b"), Stop("stop"), Used(Usage(3, 4)), End()) == [
        *TEXT,
        "output_text.delta",
        *TEXT_DONE,
        "completed",
    ]
    item, _, delta, *_, whole = encode(Text("a"), End())
    assert delta["item_id"] == item["item"]["id"]
    assert (delta["output_index"], delta["content_index"], delta["delta"]) == (0, 0, "a")
    assert delta["logprobs"] == []
    [message] = whole["response"]["output"]
    assert message["content"] == [
        {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    ]


def test_the_last_event_has_it_all() -> None:
    *_, last = encode(Text("a"), Stop("length"), Used(Usage(3, 4, 2, 1)), End())
    response = last["response"]

    assert last["type"] == "response.incomplete"
    assert (response["id"], response["model"], response["created_at"]) == ("r", "m", 7)
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["usage"] == {
        **{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 1},
    }


def test_a_refusal_is_another_part() -> None:
    said = encode(Text("a"), Refusal("no"), Refusal("!"), Stop("refusal"), End())
    names = [event["type"].removeprefix("response.") for event in said]

    assert names == [
        *(*TEXT, "output_text.done", "content_part.done"),
        *("content_part.added", "refusal.delta", "refusal.delta", "refusal.done"),
        *("content_part.done", "output_item.done", "completed"),
    ]
    assert [event.get("content_index") for event in said[5:10]] == [1] * 5
    [message] = said[-1]["response"]["output"]
    assert message["content"][1] == {"type": "refusal", "refusal": "no!"}


def test_calls_stay_open_side_by_side() -> None:
    said = encode(
        *(Call(0, "c", "f"), Call(1, "d", "g", custom=True), Arguments(1, "x")),
        *(Arguments(0, "{"), Arguments(0, "}"), Arguments(7, "never began"), Stop("tool_calls")),
        End(),
    )
    names = [event["type"].removeprefix("response.") for event in said]

    assert names == [
        *("output_item.added", "output_item.added", "custom_tool_call_input.delta"),
        *("function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("custom_tool_call_input.done", "output_item.done", "completed"),
    ]
    function, custom = said[-1]["response"]["output"]
    assert (function["call_id"], function["name"], function["arguments"]) == ("c", "f", "{}")
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "x")


def test_a_call_without_id_or_arguments() -> None:
    *_, done, last = encode(Call(0, "", "f"), End())

    assert done["item"]["call_id"].startswith("call_")
    assert last["response"]["output"][0]["arguments"] == "{}"


def test_items_follow_each_other() -> None:
    said = encode(Thinking("hm"), Text("a"), Call(0, "c", "f"), Text("b"), End())
    places = [
        (event["type"].rpartition(".")[2], event["output_index"])
        for event in said
        if "output_item" in event["type"]
    ]

    assert places == [
        *(("added", 0), ("done", 0), ("added", 1), ("done", 1), ("added", 2), ("added", 3)),
        *(("done", 3), ("done", 2)),
    ]
    output = said[-1]["response"]["output"]
    assert [item["type"] for item in output] == [
        *("reasoning", "message", "function_call", "message"),
    ]
    assert len({item["id"] for item in output}) == 4


def test_reasoning_is_what_it_is_or_the_summary_that_was_asked_for() -> None:
    events = [Thinking("h"), Thinking("m"), Thinking("so", summary=True), End()]
    own, summary = "reasoning_text", "reasoning_summary"

    assert kinds(*events) == [
        *("output_item.added", f"{own}.delta", f"{own}.delta", f"{own}.done"),
        *(f"{summary}_part.added", f"{summary}_text.delta", f"{summary}_text.done"),
        *(f"{summary}_part.done", "output_item.done", "completed"),
    ]
    *_, last = encode(*events)
    [item] = last["response"]["output"]
    assert item["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert item["summary"] == [{"type": "summary_text", "text": "so"}]
    *_, last = encode(*events, reasoning=Reasoning(show=True))
    [item] = last["response"]["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "hmso"}]
    assert "content" not in item


def test_reasoning_has_one_part_of_each_kind() -> None:
    words, summary = Thinking("hm"), Thinking("so", summary=True)
    *_, last = encode(words, summary, summary, words, End())
    first, second = last["response"]["output"]

    assert (len(first["content"]), first["summary"][0]["text"]) == (1, "soso")
    assert (len(second["content"]), second["summary"]) == (1, [])


def test_signatures() -> None:
    *_, last = encode(
        *(Thinking("a"), Signature("s", "gemini"), Thinking("b")),
        *(Signature("d", "gemini", redacted=True), Signature(pack("rs", "e"), NAME), End()),
    )
    kept = [item.get("encrypted_content") for item in last["response"]["output"]]

    assert kept == ["~gemini~s", None, "~gemini+redacted~d", "e"]


TOKENS = [Logprob("a", -1.0, None, [Logprob("b", -2.0, [98])])]
TOKEN = {
    **{"token": "a", "logprob": -1.0, "bytes": [97]},
    "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": [98]}],
}


def test_logprobs_stand_with_what_they_are_of() -> None:
    events = [Text("a"), Logprobs(TOKENS), Text("b"), Logprobs(TOKENS, refusal=True), End()]
    said = encode(*events, logprobs=True)
    deltas = [event for event in said if event["type"] == "response.output_text.delta"]

    assert [(event["delta"], event["logprobs"]) for event in deltas] == [("a", [TOKEN]), ("b", [])]
    assert said[-1]["response"]["output"][0]["content"][0]["logprobs"] == [TOKEN]
    late = encode(Text("a"), Logprobs(TOKENS))
    assert [event["delta"] for event in late if "delta" in event] == ["a", ""]


def test_order_stays_where_text_might_wait() -> None:
    events = [Call(0, "c", "f"), Text("a"), Arguments(0, "{"), Text("b"), Thinking("hm")]
    deltas = [event["delta"] for event in encode(*events, logprobs=True) if "delta" in event]

    assert deltas == ["a", "{", "b", "hm"]


def test_citations() -> None:
    raw = b'{"type":"file_citation","file_id":"f"}'
    said = encode(Text("four"), Citation("u", "t"), Citation(raw=raw, origin=NAME), End())
    first, second = (event for event in said if "annotation" in event)
    cited = {"type": "url_citation", "start_index": 4, "end_index": 4, "url": "u", "title": "t"}

    assert (first["annotation"], first["annotation_index"]) == (cited, 0)
    assert (second["annotation"], second["annotation_index"]) == (json.loads(raw), 1)
    content = said[-1]["response"]["output"][0]["content"][0]
    assert content["annotations"] == [cited, json.loads(raw)]


def test_media() -> None:
    *_, last = encode(Text("a"), Media("image/webp", "AA"), Media("audio/wav", "BB"), End())
    _, image = last["response"]["output"]

    assert (image["type"], image["result"], image["output_format"]) == (
        *("image_generation_call", "AA", "webp"),
    )


def test_other_events_take_their_place_here() -> None:
    def frame(kind: str, **fields: Any) -> Other:
        data = json.dumps({"type": kind, "sequence_number": 99, **fields}).encode()
        return Other(b"event: %b\ndata: %b\n\n" % (kind.encode(), data), NAME)

    search = {"type": "web_search_call", "id": "ws"}
    said = encode(
        Text("a"),
        frame("response.output_item.added", output_index=0, item=search),
        frame("response.web_search_call.searching", output_index=0, item_id="ws"),
        frame("response.output_item.done", output_index=0, item=search),
        frame("response.other"),
        Other(b"data: {", NAME),
        Other(b'data: {"type":"x"}\n\n', "gemini"),
        Text("b"),
        Other(b'{"type":"mcp_call","id":"mcp"}', NAME),
        End(),
    )
    assert [event["sequence_number"] for event in said] == list(range(2, len(said) + 2))
    search_events = [event for event in said if "search" in json.dumps(event)][:-1]
    assert [event["output_index"] for event in search_events] == [1, 1, 1]
    assert "response.other" in [event["type"] for event in said]
    assert [item["type"] for item in said[-1]["response"]["output"]] == [
        *("message", "web_search_call", "message", "mcp_call"),
    ]


def test_only_the_first_choice_is_said() -> None:
    *_, last = encode(Text("a"), Text("b", 1), Stop("stop"), Stop("length", choice=1), End())

    assert last["response"]["status"] == "completed"
    assert last["response"]["output"][0]["content"][0]["text"] == "a"


def test_the_end_comes_once() -> None:
    encoding = encoder()
    assert read(encoding.feed([BEGIN, End()]))[-1]["type"] == "response.completed"
    assert encoding.feed([Text("a")]) == encoding.close() == b""
    assert [event["type"].partition(".")[2] for event in read(encoder().close())] == [
        *("created", "in_progress", "completed"),
    ]
    assert read(encoder().feed([Text("a")]))[0]["type"] == "response.created"


def test_a_failure_is_the_last_frame() -> None:
    encoding = encoder()
    error = ProviderOverloaded("no")
    encoding.feed([BEGIN])

    assert encoding.feed([Failure(error), Text("a")]) == RESPONSES.error_event(error)
    assert encoding.close() == b""


def test_what_was_asked_is_repeated() -> None:
    [created, _] = read(encoder(tools=[Tool(name="f")], max_tokens=5, origin=NAME).feed([BEGIN]))
    response = created["response"]

    assert response["tools"][0]["name"] == "f"
    assert (response["max_output_tokens"], response["tool_choice"]) == (5, "auto")
