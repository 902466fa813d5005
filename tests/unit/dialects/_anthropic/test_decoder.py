"""Streams of server-sent events, cut anywhere and framed in any way."""

import pytest

from proxy.dialects._anthropic.decoder import SSEDecoder
from proxy.errors import BadResponse
from proxy.event import End, Event, Failure, Text
from proxy.framing.sse import MAX_FRAME
from proxy.testing import cuts


def text(words: str) -> bytes:
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n' % words.encode()
    )


START = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STREAM = START + PING + text("h\xe9") + b": a comment\n\n" + text("\U0001f600!") + STOP
EVENTS = [Text("h\xe9"), Text("\U0001f600!"), End()]


def decode(*pieces: bytes) -> list[Event]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_it_does_not_matter_where_it_is_cut(ending: bytes) -> None:
    for pieces in cuts(STREAM.replace(b"\n", ending), random_ways=30):
        assert decode(*pieces) == EVENTS


def test_events_need_no_names_and_may_come_in_several_lines() -> None:
    lines = text("a").split(b"\n")[1].replace(b',"delta"', b'\ndata: ,"delta"')

    assert decode(START, lines + b"\n\n") == [Text("a")]


def test_the_name_of_an_event_serves_where_its_data_has_none() -> None:
    assert decode(b"event: message_stop\ndata: {}\n\n") == [End()]


def test_a_last_event_may_lack_its_blank_line() -> None:
    assert decode(START + text("a") + STOP.rstrip()) == [Text("a"), End()]


def test_a_stream_that_is_cut_has_the_events_before_the_cut_and_no_end() -> None:
    whole = len(STREAM.rstrip())
    for length in range(whole):
        events = decode(STREAM[:length])
        assert events == EVENTS[: len(events)]
        assert len(events) < len(EVENTS)
    assert decode(STREAM[:whole]) == EVENTS


def test_an_event_without_end_is_given_up() -> None:
    decoder = SSEDecoder()
    events = decoder.feed(START + text("a"))
    piece = b"data: " + b"x" * (MAX_FRAME // 4)
    for _ in range(5):
        events += decoder.feed(piece)

    assert [type(event) for event in events] == [Text, Failure]
    assert isinstance(events[-1], Failure)
    assert type(events[-1].error) is BadResponse
    assert decoder.close() == []


def test_what_came_before_an_event_without_end_is_not_lost() -> None:
    events = SSEDecoder().feed(START + text("a") + b"data: " + b"x" * MAX_FRAME)

    assert [type(event) for event in events] == [Text, Failure]
