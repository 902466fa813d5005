"""What endpoints that count tokens share."""

import msgspec
import pytest

from proxy.dialects._counting import counted, read_count
from proxy.errors import BadResponse
from proxy.event import End, Usage, Used

decode = msgspec.json.Decoder(int).decode


def test_an_answer_is_read() -> None:
    assert read_count(decode, b"7") == 7


@pytest.mark.parametrize("body", [b"", b'"7"', b"\xff", b"["])
def test_an_answer_that_counts_nothing_is_none(body: bytes) -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        read_count(decode, body)


def test_what_was_counted_last_counts() -> None:
    assert counted([Used(Usage(1)), Used(Usage(2)), End()]) == Usage(2)
    with pytest.raises(BadResponse, match="counts no tokens"):
        counted([End()])
