"""A stream of the Python load generator: what must arrive is what was sent, but for the usage."""

import pytest

from bench.fallback.stream import FRAMES, Stream
from bench.generator import WorkloadFailed
from bench.payloads import CONTENT_EVENTS


def received(stream: Stream) -> list[bytes]:
    found = []
    while stream.seen < stream.sent:
        found.append(stream.expected())
        stream.seen += 1
    return found


@pytest.mark.parametrize("variant", ["plain", "usage"])
def test_the_client_sees_all_frames_but_the_usage(variant: str) -> None:
    stream = Stream(0)
    stream.variant = variant
    contents = CONTENT_EVENTS + 3  # once round, and on
    stream.sent = 1 + contents
    role, *middle = received(stream)
    stream.tail_at = stream.sent
    stream.sent += 2
    finish, done = received(stream)
    frames = FRAMES[variant]
    assert role == frames[0]
    assert middle[:CONTENT_EVENTS] == frames[1 : 1 + CONTENT_EVENTS]
    assert middle[CONTENT_EVENTS:] == frames[1:4]
    assert finish == frames[1 + CONTENT_EVENTS]
    assert done == b"data: [DONE]\n\n"


def test_nothing_may_arrive_that_was_not_sent() -> None:
    with pytest.raises(WorkloadFailed, match="more than the provider sent"):
        Stream(0).expected()


def test_a_stream_that_the_proxy_left_cannot_go_on() -> None:
    with pytest.raises(WorkloadFailed, match="left a stream"):
        Stream(0).send()
