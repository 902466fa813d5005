"""Streams of Converse's, made of events."""

import json

from botocore.eventstream import EventStreamBuffer

from proxy.chat import Chat
from proxy.dialects._bedrock.frames import event_frame as message
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    Event,
    Media,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)

DIALECT = BedrockConverse()
CHAT = Chat(model="m", messages=[], stream=True)
ORIGIN = DIALECT.name


def decode(data: bytes) -> list[Event]:
    decoder = DIALECT.decoder()
    return decoder.feed(data) + decoder.close()


def encode(events: list[Event]) -> bytes:
    encoder = DIALECT.encoder(CHAT)
    return encoder.feed(events) + encoder.close()


STREAM = encode(
    [
        *(Begin(), Thinking("h"), Signature("sig", ORIGIN), Text("a"), Call(0, "c", "f")),
        *(Arguments(0, "{}"), Call(1, "d", "g"), Arguments(1, "{}"), Stop("tool_calls")),
        Used(Usage(9, 5)),
    ]
)


def test_botocore_reads_blocks_that_stand_one_after_the_other() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    kinds = []
    indices = []
    for each in buffer:
        kinds.append(each.headers[":event-type"])
        payload = json.loads(each.payload)
        if "contentBlockIndex" in payload:
            indices.append(payload["contentBlockIndex"])

    assert kinds[0] == "messageStart"
    assert kinds[-2:] == ["messageStop", "metadata"]
    assert kinds.count("contentBlockStart") == 2
    assert indices == sorted(indices)
    assert kinds.count("contentBlockStop") == 4


def test_interleaved_calls_come_one_after_the_other() -> None:
    events: list[Event] = [
        Call(0, "a", "f"),
        Call(1, "b", "g"),
        Arguments(0, '{"x":'),
        Arguments(1, '{"y":'),
        Arguments(0, "1}"),
        Arguments(1, "2}"),
        Stop("tool_calls"),
    ]
    found = [event for event in decode(encode(events)) if isinstance(event, Call | Arguments)]

    assert found == [
        Call(0, "a", "f"),
        Arguments(0, '{"x":'),
        Arguments(0, "1}"),
        Call(1, "b", "g"),
        Arguments(1, '{"y":'),
        Arguments(1, "2}"),
    ]


def test_an_event_goes_out_at_once() -> None:
    encoder = DIALECT.encoder(CHAT)

    assert encoder.feed([Begin()])
    for _ in range(3):
        assert encoder.feed([Text("a")])


def test_images_refusals_and_citations_are_told_again() -> None:
    events: list[Event] = [
        *(Begin(), Text("a"), Citation(url="https://x", title="t", quote="q")),
        *(Media("image/png", "AA=="), Refusal("no"), Stop("stop", "end_turn")),
    ]

    begin, text, cited, *rest = decode(encode(events))[:-2]
    assert (begin, text) == (Begin(), Text("a"))
    assert isinstance(cited, Citation)
    assert (cited.url, cited.title, cited.quote) == ("https://x", "t", "q")
    assert encode([Text("a"), cited, Stop("stop")]) == encode(
        [Text("a"), Citation(url="https://x", title="t", quote="q"), Stop("stop")]
    )
    assert rest == [
        *(Media("image/png", "AA=="), Text("no"), Stop("stop", "end_turn")),
    ]


def test_other_choices_are_not_theirs() -> None:
    assert encode([Text("a", choice=1)]) == encode([])
    assert message("messageStart", {"role": "assistant"}) in encode([])
