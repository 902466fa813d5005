"""Usage of a response that passes by, whatever is cut where."""

import json

import pytest

from proxy.dialects._anthropic.watch import CumulativeWatch
from proxy.event import Usage
from proxy.testing import cuts


def frame(kind: str, **members: object) -> bytes:
    data = json.dumps({"type": kind, **members}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


START = frame(
    "message_start",
    message={
        "content": [],
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 1143,
            "cache_read_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 1143},
            "output_tokens": 1,
        },
    },
)
TEXT = frame("content_block_delta", index=0, delta={"type": "text_delta", "text": '"usage":{}'})
ITERATION = {"output_tokens": 50, "cache_creation": {"ephemeral_5m_input_tokens": 1143}}
DELTA = frame("message_delta", delta={}, usage={"output_tokens": 101})
LATER = frame(
    "message_delta",
    delta={},
    usage={
        "iterations": [ITERATION, ITERATION],
        "output_tokens": 110,
        "output_tokens_details": {"thinking_tokens": 22},
    },
)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b"", None),
        (START, Usage(1153, 1, 7, 0, 1143)),
        (START + TEXT + DELTA, Usage(1153, 101, 7, 0, 1143)),
        (START + TEXT + DELTA + LATER, Usage(1153, 110, 7, 22, 1143)),
        (START + TEXT + LATER.replace(b"\n", b"\r\n"), Usage(1153, 110, 7, 22, 1143)),
        (DELTA, Usage(0, 101)),
        # An answer whose call has an argument of that name; what counts comes last.
        (
            b'{"content":[{"input":{"usage":{"input_tokens":9}}}],'
            b'"usage":{"input_tokens":4,"output_tokens":2}}',
            Usage(4, 2),
        ),
    ],
)
def test_what_each_object_says_is_put_together(body: bytes, usage: Usage | None) -> None:
    for pieces in cuts(body, random_ways=30):
        watch = CumulativeWatch()
        assert b"".join(map(watch.feed, pieces)) + watch.close() == body
        assert watch.usage == usage
