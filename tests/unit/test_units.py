"""Durations and sizes: what the configuration may say, and what it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.units import (
    Duration,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("7us", 7e-6),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
    ],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    duration = parse_duration(text)

    assert duration == pytest.approx(seconds)
    assert isinstance(duration, Duration)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1 s", "1S", "1.s", ".5s", "1e3s", "1m30s", "1s\n"]
)
def test_what_is_no_duration_is_told_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r'expected a duration such as "250ms", "30s" or "5m"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("17B", 17),
        ("64KiB", 65536),
        ("32MiB", 33554432),
        ("1GiB", 1073741824),
        ("64KB", 64000),
        ("3MB", 3000000),
        ("1GB", 1000000000),
    ],
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    parsed = parse_size(text)

    assert parsed == size
    assert isinstance(parsed, Size)


@pytest.mark.parametrize("text", ["", "64", "KiB", "-1B", "1.5MiB", "1 KiB", "1kib", "1K", "1B\n"])
def test_what_is_no_size_is_told_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r'expected a size such as "64KiB" or "32MiB"'):
        parse_size(text)


@pytest.mark.parametrize("text", ["0s", "7us", "250ms", "30s", "5m", "2h", "1d", "36h", "90s"])
def test_a_duration_is_spelled_as_it_was_written(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


def test_a_duration_that_is_no_whole_number_of_any_unit_is_spelled_in_seconds() -> None:
    assert format_duration(1 / 3) == "0.333333s"


@given(st.integers(1, 10**9), st.sampled_from(["us", "ms", "s", "m", "h", "d"]))
def test_a_spelled_duration_means_the_same(count: int, unit: str) -> None:
    seconds = parse_duration(f"{count}{unit}")
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=0)


@given(st.integers(0, 2**60))
def test_a_spelled_size_means_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_a_size_is_spelled_in_the_largest_unit_that_fits() -> None:
    sizes = [0, 1023, 1024, 1536, 2048, 33554432, 1 << 30]

    assert [format_size(size) for size in sizes] == [
        *("0B", "1023B", "1KiB", "1536B", "2KiB", "32MiB", "1GiB")
    ]
