"""Bedrock's Converse: what botocore sends and reads, and recorded traffic."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proxy.chat import (
    CallPart,
    Chat,
    FilePart,
    Format,
    ImagePart,
    Message,
    Omissions,
    Raw,
    Reasoning,
    Rendering,
    ResultPart,
    TextPart,
    Tool,
    ToolChoice,
)
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

Boto = Callable[[bytes, str], tuple[Any, list[Any]]]

DIALECT = BedrockConverse()
CHAT = Chat(model="m", messages=[], stream=True)
SCHEMA = Raw(b'{"type":"object"}')
MODEL = "us.anthropic.claude-sonnet-5"

EVENTS: list[Event] = [
    Begin(),
    Thinking("hm"),
    Signature("sig", DIALECT.name),
    Text("a"),
    Text("b"),
    Citation(url="https://x", title="t", quote="q"),
    Call(0, "call_1", "f"),
    Arguments(0, '{"a":'),
    Arguments(0, "1}"),
    Call(1, "call_2", "g"),
    Arguments(1, "{}"),
    Stop("tool_calls", "tool_use"),
    Used(Usage(9, 5, cached_tokens=4)),
    End(),
]


def test_it_is_converse_and_nobody_speaks_it_to_us() -> None:
    assert (DIALECT.name, DIALECT.family, DIALECT.path, DIALECT.stream_path) == (
        *("bedrock_converse", "bedrock", "/model/{model}/converse"),
        "/model/{model}/converse-stream",
    )
    assert (DIALECT.form, DIALECT.model_in_path, DIALECT.client_facing) == ("chat", True, False)


def _params(value: Any, name: str = "") -> Any:
    """A body as botocore wants it: bytes where base64 stands for them."""
    if isinstance(value, dict):
        return {key: _params(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_params(each) for each in value]
    return base64.b64decode(value) if name in ("bytes", "redactedContent") else value


def test_botocore_would_send_what_is_rendered(bedrock_sdk: Boto) -> None:
    """It checks names, types and lengths before it does."""
    chat = Chat(
        model="asked",
        messages=[
            Message("system", [TextPart(text="be brief", cache="")]),
            Message(
                "user",
                [
                    TextPart(text="what?", cache="1h"),
                    ImagePart(data="AAAA", media_type="image/png"),
                    FilePart(data="AAAA", media_type="application/pdf", name="a.pdf"),
                    FilePart(text="words"),
                ],
            ),
            Message(
                "assistant",
                [
                    *(TextPart(text="so"), CallPart(id="c/1", name="f", arguments='{"n": 1}')),
                    CallPart(id="x" * 80, name="g", arguments=""),
                ],
            ),
            Message("tool", [ResultPart(id="c/1", content=[TextPart(text="1")], error=True)]),
            Message("tool", [ResultPart(id="x" * 80, content=[])]),
        ],
        tools=[
            Tool(
                name="f", description="d", schema=Raw(b'{"type":"object"}'), strict=True, cache=""
            ),
            Tool(name="g"),
        ],
        tool_choice=ToolChoice("auto"),
        format=Format(schema=SCHEMA, name="n", description="d"),
        reasoning=Reasoning(effort="low", show=True),
        max_tokens=100,
        stop=["###"],
        service_tier="flex",
        metadata={"team": "a"},
        origin="openai_chat",
    )
    rendering = Rendering(model=MODEL, omissions=Omissions(DIALECT.name, reject=True))
    body = json.loads(DIALECT.render(chat, rendering))
    client, sent = bedrock_sdk(DIALECT.encode(CHAT, EVENTS), "application/json")
    client.converse(modelId=MODEL, **_params(body))

    assert json.loads(sent[0].body) == body
    assert sent[0].url.endswith(DIALECT.path.replace("{model}", MODEL))


def _read(client: Any) -> dict[str, Any]:
    """What botocore makes of a stream, put together."""
    answer = client.converse_stream(modelId=MODEL, messages=[])
    content: dict[int, dict[str, Any]] = {}
    message: dict[str, Any] = {}
    for event in answer["stream"]:
        ((kind, said),) = event.items()
        block = content.setdefault(said.get("contentBlockIndex", -1), {})
        match kind:
            case "contentBlockStart":
                block.update(said["start"]["toolUse"], input="")
            case "contentBlockDelta":
                for name, value in said["delta"].items():
                    if name == "text":
                        block["text"] = block.get("text", "") + value
                    elif name == "toolUse":
                        block["input"] += value["input"]
                    elif name == "citation":
                        block.setdefault("citations", []).append(value)
                    else:
                        for part, more in value.items():
                            block[part] = block.get(part, type(more)()) + more
            case "messageStop" | "metadata":
                message.update(said)
    content.pop(-1, None)
    message["content"] = _joined(list(content.values()))
    return message


def _joined(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of text that follow each other as one: where one ends says nothing."""
    found: list[dict[str, Any]] = []
    for block in blocks:
        if block.keys() == {"text"} and found and found[-1].keys() == {"text"}:
            block = {"text": found.pop()["text"] + block["text"]}
        found.append(block)
    return found


def encode(events: list[Event]) -> bytes:
    encoder = DIALECT.encoder(CHAT)
    return encoder.feed(events) + encoder.close()


STREAM = "application/vnd.amazon.eventstream"


def test_botocore_reads_streams_of_ours(bedrock_sdk: Boto) -> None:
    message = _read(bedrock_sdk(encode(EVENTS), STREAM)[0])
    thinking, text, first, second = message["content"]

    assert (thinking["text"], thinking["signature"]) == ("hm", "sig")
    assert (text["text"], text["citations"][0]["location"]["web"]["url"]) == ("ab", "https://x")
    assert (first["toolUseId"], json.loads(first["input"])) == ("call_1", {"a": 1})
    assert (second["name"], json.loads(second["input"])) == ("g", {})
    assert (message["stopReason"], message["usage"]["cacheReadInputTokens"]) == ("tool_use", 4)


def test_botocore_reads_answers_of_ours(bedrock_sdk: Boto) -> None:
    client, _ = bedrock_sdk(DIALECT.encode(CHAT, EVENTS), "application/json")
    answer = client.converse(modelId=MODEL, messages=[])
    thinking, cited, first, second = answer["output"]["message"]["content"]

    assert thinking["reasoningContent"]["reasoningText"] == {"text": "hm", "signature": "sig"}
    assert cited["citationsContent"]["content"] == [{"text": "ab"}]
    assert (first["toolUse"]["input"], second["toolUse"]["input"]) == ({"a": 1}, {})
    assert (answer["stopReason"], answer["usage"]["inputTokens"]) == ("tool_use", 5)


def recorded(folder: Path, form: str) -> Iterator[tuple[str, bytes, bytes]]:
    for line in (folder / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if (row["kind"], row["stream"], row["status"]) == ("converse", form, 200):
            bodies = ((folder / "bodies" / row[name]) for name in ("req_body", "resp_body"))
            request, response = (body.read_bytes() for body in bodies)
            yield row["id"], request, response


_TOLD = ("content", "stopReason")
_COUNTS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")


def test_botocore_reads_recorded_streams_and_what_we_make_of_them_alike(
    cassettes: Path, bedrock_sdk: Boto
) -> None:
    streams = list(recorded(cassettes, "aws-eventstream"))
    assert len(streams) > 10
    for id, _, response in streams:
        decoder = DIALECT.decoder()
        events = decoder.feed(response) + decoder.close()
        theirs = _read(bedrock_sdk(response, STREAM)[0])
        ours = _read(bedrock_sdk(encode(events), STREAM)[0])
        for block in theirs["content"]:
            if block.get("input") == "":
                # Arguments that nobody sent are none.
                block["input"] = "{}"
        assert [ours[name] for name in _TOLD] == [theirs[name] for name in _TOLD], id
        counts = [[each["usage"].get(name, 0) for name in _COUNTS] for each in (ours, theirs)]
        assert counts[0] == counts[1], id


def test_botocore_reads_recorded_answers_and_what_we_make_of_them_alike(
    cassettes: Path, bedrock_sdk: Boto
) -> None:
    answers = list(recorded(cassettes, "none"))
    assert answers
    for id, _, response in answers:
        again = DIALECT.encode(CHAT, DIALECT.decode(response))
        read = [
            bedrock_sdk(body, "application/json")[0].converse(modelId=MODEL, messages=[])
            for body in (response, again)
        ]
        theirs, ours = (_summed(each["output"]["message"]["content"]) for each in read)
        assert ours == theirs, id
        assert read[0]["stopReason"] == read[1]["stopReason"], id


def _summed(content: list[dict[str, Any]]) -> tuple[str, list[Any], list[Any]]:
    """The text, the citations, and the other blocks of an answer."""
    text, cited, others = "", [], []
    for block in content:
        if "text" in block:
            text += block["text"]
        elif "citationsContent" in block:
            text += "".join(each["text"] for each in block["citationsContent"]["content"])
            cited += block["citationsContent"].get("citations", [])
        else:
            others.append(block)
    return text, cited, others


def test_recorded_requests_are_rendered_as_they_were(cassettes: Path) -> None:
    """Those that say what the mock provider reads; what else there is has no neutral form."""
    known = {"messages", "system", "inferenceConfig", "toolConfig"}
    compared = 0
    for form in ("none", "aws-eventstream"):
        for id, body, _ in recorded(cassettes, form):
            asked = {name: value for name, value in json.loads(body).items() if value}
            if asked.keys() - known:
                continue
            chat = DIALECT.read(DIALECT.parse(body, "/model/m/converse"))
            rendering = Rendering(model="m", omissions=Omissions(DIALECT.name, reject=True))
            again = json.loads(DIALECT.render(chat, rendering))
            asked.get("inferenceConfig", {}).pop("stopSequences", None)
            again.get("inferenceConfig", {}).pop("stopSequences", None)
            for name in ("inferenceConfig", "toolConfig"):
                assert again.get(name, {}) == asked.get(name, {}), id
            said, told = (
                [message["role"] for message in each["messages"]] for each in (asked, again)
            )
            assert said == told, id
            compared += 1
    assert compared > 5
