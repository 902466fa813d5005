"""What can be set of the mock provider: for the whole server, or by one request's headers."""

import re
from collections.abc import Callable, Mapping

import msgspec

from proxy.mock.delay import parse_delay
from proxy.mock.errors import MockError

MAX_TOKENS = 1_000_000
"""The longest answer, over all its choices: what a process can hold without noticing."""

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


class MockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the mock answers. Raises ValueError naming the key that is wrong.

    `ttft` is the time until a response begins, `itl` the time between two tokens (a response that
    is not streamed takes as long as its stream would); each is a delay as
    :func:`~proxy.mock.delay.parse_delay` reads it. After `fail_after_requests` answers, every
    further one is a 503.
    """

    ttft: str = "0s"
    itl: str = "0s"
    output_tokens: int = 16
    seed: int = 0
    fail_after_requests: int | None = None

    def __post_init__(self) -> None:
        for key, text in (("ttft", self.ttft), ("itl", self.itl)):
            try:
                parse_delay(text)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        if not 0 <= self.output_tokens <= MAX_TOKENS:
            raise ValueError(f"output_tokens: expected 0 to {MAX_TOKENS}, not {self.output_tokens}")
        if self.fail_after_requests is not None and self.fail_after_requests < 0:
            raise ValueError(
                f"fail_after_requests: expected 0 or more, not {self.fail_after_requests}"
            )


def parse_integer(text: str) -> int:
    """A whole number; raises ValueError that says what was expected."""
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"expected a whole number, not {text!r}")
    return int(text)


_HEADERS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("x-mock-ttft", "ttft", str),
    ("x-mock-itl", "itl", str),
    ("x-mock-output-tokens", "output_tokens", parse_integer),
    ("x-mock-seed", "seed", parse_integer),
)


def for_request(settings: MockSettings, headers: Mapping[str, str]) -> MockSettings:
    """The settings with what this request's headers say instead; MockError names a bad one."""
    for header, key, convert in _HEADERS:
        if (text := headers.get(header)) is None:
            continue
        try:
            settings = msgspec.structs.replace(settings, **{key: convert(text)})
        except ValueError as error:
            reason = str(error).removeprefix(f"{key}: ")
            raise MockError(400, f"{header}: {reason}", param=header) from None
    return settings
