"""The usage of a response that passes by."""

import json

import pytest

from proxy.dialects._gemini.watch import MetadataWatch
from proxy.event import Usage
from proxy.testing.cuts import cuts

DETAILS = [{"modality": "TEXT", "tokenCount": 3}, {"modality": "IMAGE", "tokenCount": 2}]
CHUNKS = [
    {"candidates": [], "usageMetadata": {"promptTokenCount": 5, "promptTokensDetails": DETAILS}},
    {"candidates": [{"content": {"parts": [{"text": '"usageMetadata":{"promptTokenCount":9}'}]}}]},
    {
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 14,
            "promptTokensDetails": DETAILS,
        },
        "modelVersion": "m",
    },
    {"usageMetadata": {"trafficType": "ON_DEMAND"}},
]


@pytest.mark.parametrize(
    "data",
    [
        "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in CHUNKS).encode(),
        json.dumps(CHUNKS, indent=2).encode(),
    ],
)
def test_the_last_usage_counts_wherever_it_is_cut(data: bytes) -> None:
    for pieces in cuts(data):
        watch = MetadataWatch()
        passed = b"".join(watch.feed(piece) for piece in pieces) + watch.close()
        assert (passed, watch.usage) == (data, Usage(5, 9, 0, 2))


def test_a_response_without_one_has_none() -> None:
    watch = MetadataWatch()
    watch.feed(b'data: {"candidates":[],"usage":{"prompt_tokens":3}}\r\n\r\n')

    assert watch.usage is None
