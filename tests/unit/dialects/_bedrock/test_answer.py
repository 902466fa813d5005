"""Converse's whole answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.chat import Chat
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.errors import BadResponse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Failure,
    Media,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

DIALECT = BedrockConverse()
CHAT = Chat(model="m", messages=[])
ORIGIN = DIALECT.name
EVENTS: list[Event] = [
    Begin(),
    Thinking("why"),
    Signature("s", ORIGIN),
    Signature("hidden", ORIGIN, redacted=True),
    Text("so"),
    Call(0, "a", "f"),
    Arguments(0, '{"n":1.50}'),
    Call(1, "b", "g"),
    Arguments(1, "{}"),
    Media("image/png", "AA=="),
    Used(Usage(9, 5, cached_tokens=4, cache_write_tokens=2)),
    Stop("tool_calls", "tool_use"),
    End(),
]


def test_what_is_encoded_is_decoded_to_the_same() -> None:
    assert DIALECT.decode(DIALECT.encode(CHAT, EVENTS)) == EVENTS


def test_arguments_that_a_model_left_broken_are_wrapped() -> None:
    events: list[Event] = [Call(0, "a", "f"), Arguments(0, '{"n":')]
    body = json.loads(DIALECT.encode(CHAT, events))

    [block] = body["output"]["message"]["content"]
    assert block["toolUse"]["input"] == {"INVALID_JSON": '{"n":'}


def test_citations_come_with_their_text() -> None:
    cited = {
        "content": [{"text": "fact"}],
        "citations": [{"title": "T", "location": {"web": {"url": "https://a"}}}],
    }
    content = [{"citationsContent": cited}, {"new": 1}]
    body = {"output": {"message": {"content": content}}, "stopReason": "end_turn"}

    assert DIALECT.decode(json.dumps(body).encode())[1:3] == [
        Text("fact"),
        Citation(
            url="https://a",
            title="T",
            raw=b'{"title": "T", "location": {"web": {"url": "https://a"}}}',
            origin=ORIGIN,
        ),
    ]


def test_what_an_answer_says_of_itself_is_told() -> None:
    body = (
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"s","name":"w","input":{},'
        b'"type":"server_tool_use"}},{"reasoningContent":{"reasoningText":{"text":"h"}}}]}},'
        b'"stopReason":"stop_sequence","serviceTier":{"type":"flex"},'
        b'"additionalModelResponseFields":{"stop_sequence":"###"}}'
    )

    assert DIALECT.decode(body) == [
        Begin(service_tier="flex"),
        Thinking("h"),
        Stop("stop_sequence", "stop_sequence", "###"),
        End(),
    ]


def test_a_malformed_end_is_a_failure() -> None:
    body = b'{"output":{"message":{"content":[]}},"stopReason":"malformed_tool_use"}'

    assert any(isinstance(event, Failure) for event in DIALECT.decode(body))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'{"output":1}', b"\xff"),
        b'{"output":{"message":{"content":[{"citationsContent":{"citations":[1]}}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"name":"f","input":"\xff"}}]}}}',
    ],
)
def test_what_is_no_answer_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse):
        DIALECT.decode(body)


def recorded(cassettes: Path) -> Iterator[tuple[str, bytes]]:
    for line in (cassettes / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if (row["kind"], row["stream"], row["status"]) == ("converse", "none", 200):
            yield row["id"], (cassettes / "bodies" / row["resp_body"]).read_bytes()


def _joined(events: list[Event]) -> list[Event]:
    """The events, with texts that follow each other as one."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, Text) and found and isinstance(found[-1], Text):
            event = Text(found.pop().text + event.text)  # type: ignore[attr-defined]
        found.append(event)
    return found


def test_recorded_answers_are_told_again(cassettes: Path) -> None:
    answers = list(recorded(cassettes))
    assert answers
    for id, body in answers:
        events = DIALECT.decode(body)
        assert _joined(DIALECT.decode(DIALECT.encode(CHAT, events))) == _joined(events), id
