"""Durations, sizes and the clock: how the configuration spells them, and what they become.

A bare number is refused where a unit is needed: nobody has to guess whether ``30`` is seconds
or milliseconds, bytes or kilobytes.
"""

import re
import time

clock = time.perf_counter
"""Monotonic seconds, for every duration in the process."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB|KB|MB|GB)")
_BYTES = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}

DURATION_HINT = 'a duration such as "250ms", "30s" or "5m"'
SIZE_HINT = 'a size such as "64KiB" or "32MiB"'


class Duration(float):
    """Seconds. Written ``"250ms"``, ``"30s"``, ``"5m"``; ``"0s"`` stands for "none"."""


class Size(int):
    """Bytes. Written ``"64KiB"``, ``"32MiB"``."""


def parse_duration(text: str) -> Duration:
    """Seconds from ``"250ms"``; raises ValueError that says what was expected."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {DURATION_HINT}, not {text!r}")
    return Duration(float(match[1]) * _SECONDS[match[2]])


def parse_size(text: str) -> Size:
    """Bytes from ``"32MiB"``; raises ValueError that says what was expected."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {SIZE_HINT}, not {text!r}")
    return Size(int(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest spelling that :func:`parse_duration` reads back to the same value."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def format_size(size: int) -> str:
    """The shortest spelling that :func:`parse_size` reads back to the same value."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
