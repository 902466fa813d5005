"""Claude on Bedrock: Anthropic's bodies in AWS's frames."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.chat import (
    Chat,
    Message,
    NativePart,
    Omissions,
    Quirks,
    Raw,
    Rendering,
    TextPart,
)
from proxy.dialects._bedrock.frames import event_frame, exception_frame
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.bedrock_messages import VERSION, BedrockMessages
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Other,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.testing import cuts

Boto = Callable[[bytes, str], tuple[Any, list[Any]]]

DIALECT = BedrockMessages()
ANTHROPIC = AnthropicMessages()
CHAT = Chat(model="m", messages=[], stream=True)
STREAM_TYPE = "application/vnd.amazon.eventstream"
EVENTS: list[Event] = [
    Begin(id="msg_1", model="m"),
    Used(Usage(9, 1)),
    Thinking("h\xe9"),
    Signature("sig", ANTHROPIC.name),
    Text("\U0001f600 "),
    Call(0, "c", "f"),
    Arguments(0, '{"n":'),
    Arguments(0, "1}"),
    Used(Usage(9, 5)),
    Stop("tool_calls", native="tool_use"),
    End(),
]


def decode(*pieces: bytes) -> list[Event]:
    decoder = DIALECT.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if type(event) is not Other]


def encode(events: list[Event]) -> bytes:
    encoder = DIALECT.encoder(CHAT)
    return encoder.feed(events) + encoder.close()


STREAM = encode(EVENTS)


def test_it_is_claudes_own_api_on_bedrock() -> None:
    assert (DIALECT.name, DIALECT.family, DIALECT.path, DIALECT.stream_path) == (
        *("bedrock_messages", "bedrock", "/model/{model}/invoke"),
        "/model/{model}/invoke-with-response-stream",
    )
    assert (DIALECT.form, DIALECT.model_in_path, DIALECT.client_facing) == ("chat", True, False)


def test_the_body_says_neither_model_nor_stream_but_a_version() -> None:
    chat = Chat(
        model="asked",
        messages=[Message("user", [TextPart(text="hi")])],
        stream=True,
        max_tokens=9,
        origin="openai_chat",
    )
    rendering = Rendering(model="theirs", omissions=Omissions(DIALECT.name, reject=True))

    assert json.loads(DIALECT.render(chat, rendering)) == {
        "anthropic_version": VERSION,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
    }


def test_what_clients_of_anthropic_say_goes_along_as_they_said_it() -> None:
    native = b'{"type":"search_result", "n": 1.0}'
    body = (
        b'{"model":"m","max_tokens":9,"thinking":{"type":"between_tools"},"messages":'
        b'[{"role":"user","content":[%b]}],"container":"c"}' % native
    )
    chat = ANTHROPIC.read(ANTHROPIC.parse(body))
    rendering = Rendering(model="theirs", omissions=Omissions(DIALECT.name, reject=True))
    again = DIALECT.render(chat, rendering)

    assert native in again
    assert json.loads(again) == {
        **{name: value for name, value in json.loads(body).items() if name != "model"},
        "anthropic_version": VERSION,
    }


TAKEN = Quirks(betas=("interleaved-thinking-2025-05-14", "context-1m-2025-08-07"))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (b"", ["context-1m-2025-08-07"]),
        (b',"anthropic_beta":["mine"]', ["mine", "context-1m-2025-08-07"]),
        (b',"anthropic_beta":["context-1m-2025-08-07"]', ["context-1m-2025-08-07"]),
        (b',"anthropic_beta":"odd"', "odd"),
    ],
)
def test_features_that_the_head_asks_for_stand_in_the_body_if_bedrock_knows_them(
    own: bytes, expected: object
) -> None:
    """Trap 19: they are added to what the body asks for; what Bedrock does not know is a 400."""
    request = ANTHROPIC.parse(b'{"model":"m","max_tokens":9,"messages":[]%b}' % own)
    request.headers = (
        (b"anthropic-beta", b"claude-code-20250219"),
        (b"Anthropic-Beta", b"oauth-2025-04-20, context-1m-2025-08-07"),
    )
    omissions = Omissions(DIALECT.name, reject=True)
    rendering = Rendering(model="theirs", omissions=omissions, quirks=TAKEN)

    body = json.loads(DIALECT.render(ANTHROPIC.read(request), rendering))
    assert body["anthropic_beta"] == expected


def test_no_feature_is_asked_for_that_nobody_asked_for() -> None:
    request = ANTHROPIC.parse(b'{"model":"m","max_tokens":9,"messages":[]}')
    rendering = Rendering(
        model="theirs", omissions=Omissions(DIALECT.name, reject=True), quirks=TAKEN
    )

    assert "anthropic_beta" not in json.loads(DIALECT.render(ANTHROPIC.read(request), rendering))


def test_what_is_rendered_is_read_to_the_same() -> None:
    part = NativePart(Raw(b'{"type":"x"}'), ANTHROPIC.name, "x")
    chat = Chat(
        model="a:1",
        messages=[Message("user", [TextPart(text="hi"), part])],
        stream=True,
        max_tokens=9,
        origin=ANTHROPIC.name,
    )
    rendering = Rendering(model="a:1", omissions=Omissions(DIALECT.name, reject=True))
    path = "/model/a%3A1/invoke-with-response-stream"
    again = DIALECT.read(DIALECT.parse(DIALECT.render(chat, rendering), path))

    assert (again.model, again.stream, again.extra) == ("a:1", True, {})
    assert json.loads(DIALECT.render(again, rendering)) == json.loads(
        DIALECT.render(chat, rendering)
    )


def test_what_is_encoded_is_decoded_to_the_same_wherever_it_is_cut() -> None:
    for pieces in cuts(STREAM, random_ways=5):
        assert told(decode(*pieces)) == EVENTS


def test_a_stream_that_is_cut_off_is_a_prefix_without_an_end() -> None:
    events = decode(STREAM)
    for length in range(0, len(STREAM), 7):
        some = decode(STREAM[:length])
        assert some == events[: len(some)]
        assert End() not in some


def test_an_error_in_the_stream_is_told_in_either_way() -> None:
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    theirs = event_frame("chunk", {"bytes": base64.b64encode(error).decode()})
    aws = exception_frame(b'{"message":"broke"}')

    for frame, words in ((theirs, "busy"), (aws, "broke")):
        (failure,) = decode(frame + STREAM)
        assert isinstance(failure, Failure)
        assert str(failure.error) == words


@pytest.mark.parametrize("payload", [{}, {"bytes": "?"}, {"bytes": 1}, [], {"bytes": "e30"}])
def test_a_chunk_that_holds_nothing_readable_fails(payload: object) -> None:
    (failure,) = decode(event_frame("chunk", payload) + STREAM)

    assert isinstance(failure, Failure)
    assert failure.error.code == "provider.bad_response"


def test_events_of_other_kinds_are_passed_over() -> None:
    assert told(decode(event_frame("padding", {}) + STREAM)) == EVENTS


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_fail(data: bytes) -> None:
    decode(data)
    decode(event_frame("chunk", {"bytes": base64.b64encode(data).decode()}))


def _chunks(client: Any, model: str) -> Iterator[dict[str, Any]]:
    answer = client.invoke_model_with_response_stream(modelId=model, body=b"{}")
    for event in answer["body"]:
        yield json.loads(event["chunk"]["bytes"])


def test_botocore_reads_streams_of_ours(bedrock_sdk: Boto) -> None:
    kinds = [chunk["type"] for chunk in _chunks(bedrock_sdk(STREAM, STREAM_TYPE)[0], "m")]

    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("content_block_start") == 3


def recorded(folder: Path, form: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Exchanges with Claude in its own API, not in the older one of prompts."""
    for line in (folder / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if (row["kind"], row["stream"], row["status"]) == ("bedrock.invoke", form, 200):
            bodies = ((folder / "bodies" / row[name]) for name in ("req_body", "resp_body"))
            request, response = (body.read_bytes() for body in bodies)
            if b"anthropic_version" in request:
                yield row["id"], request, response


def test_recorded_streams_say_the_same_however_they_are_cut(cassettes: Path) -> None:
    streams = list(recorded(cassettes, "aws-eventstream"))
    assert len(streams) > 3
    for id, _, response in streams:
        events = decode(response)
        assert type(events[-1]) is End, id
        assert any(isinstance(event, Used) for event in events), id
        for pieces in cuts(response, random_ways=2):
            assert decode(*pieces) == events, id


def test_recorded_streams_are_told_again_as_botocore_reads_them(
    cassettes: Path, bedrock_sdk: Boto
) -> None:
    for id, _, response in recorded(cassettes, "aws-eventstream"):
        again = encode(decode(response))
        theirs, ours = (
            [chunk for chunk in _chunks(bedrock_sdk(body, STREAM_TYPE)[0], "m")]
            for body in (response, again)
        )
        # Empty pieces say nothing, and the times of the last event are the provider's own.
        said = [
            [_without_input(each) for each in chunks if not _says_nothing(each)][:-1]
            for chunks in (theirs, ours)
        ]
        assert said[0] == said[1], id


def _without_input(chunk: dict[str, Any]) -> dict[str, Any]:
    """A chunk without what its end says again of the input, or does not."""
    if chunk["type"] == "message_delta":
        chunk["usage"] = {"output_tokens": chunk["usage"]["output_tokens"]}
    return chunk


def _says_nothing(chunk: dict[str, Any]) -> bool:
    if chunk["type"] == "ping":
        return True
    delta = chunk.get("delta", {})
    return chunk["type"] == "content_block_delta" and "" in (
        *(delta.get("text"), delta.get("partial_json"), delta.get("thinking")),
    )


def test_recorded_answers_and_requests_are_told_again(cassettes: Path) -> None:
    answers = list(recorded(cassettes, "none"))
    assert answers
    for id, _, response in answers:
        assert json.loads(DIALECT.encode(CHAT, DIALECT.decode(response))) == json.loads(response), (
            id
        )
    for form in ("none", "aws-eventstream"):
        for id, request, _ in recorded(cassettes, form):
            chat = DIALECT.read(DIALECT.parse(request, "/model/m/invoke"))
            rendering = Rendering(model="m", omissions=Omissions(DIALECT.name, reject=True))
            told, asked = json.loads(DIALECT.render(chat, rendering)), json.loads(request)
            assert {name for name, value in asked.items() if value not in ([], None)} == set(told)
            assert told["anthropic_version"] == asked["anthropic_version"], id
