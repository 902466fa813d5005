"""What a framing error says of the bytes at fault."""

import pytest

from proxy.framing import FramingError, excerpt


@pytest.mark.parametrize(
    ("raw", "quoted"),
    [
        (b"", "''"),
        (b"a b", "'a b'"),
        (b"a\r\n\x00\xff", "'a\\r\\n\\x00\\xff'"),
        (b"x" * 60, "'" + "x" * 60 + "'"),
        (b"x" * 61, "'" + "x" * 60 + "'…"),
        (b"\x00" * 16, "'" + "\\x00" * 15 + "'…"),
    ],
)
def test_an_excerpt_is_short_and_on_one_line(raw: bytes, quoted: str) -> None:
    assert excerpt(raw) == excerpt(bytearray(raw)) == quoted


def test_an_error_hands_out_what_was_decoded_before_it() -> None:
    assert FramingError("bad", b"good").decoded == b"good"
    assert (str(FramingError("bad")), FramingError("bad").decoded) == ("bad", b"")
