import msgspec
import pytest

from proxy.mock.errors import MockError
from proxy.mock.settings import MAX_TOKENS, MockSettings, for_request, parse_integer


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ttft": "20"}, "ttft: expected a delay"),
        ({"itl": "normal:1,2"}, "itl: expected a delay"),
        ({"output_tokens": -1}, "output_tokens: expected 0 to"),
        ({"output_tokens": MAX_TOKENS + 1}, "output_tokens: expected 0 to"),
        ({"fail_after_requests": -1}, "fail_after_requests: expected 0 or more, not -1"),
        ({"latency": "1s"}, "unknown field `latency`"),
    ],
)
def test_a_bad_setting_is_refused_by_name(given: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        msgspec.convert(given, MockSettings)


def test_headers_override_settings() -> None:
    settings = MockSettings(ttft="1s", fail_after_requests=3)
    headers = {
        "x-mock-ttft": "20ms",
        "x-mock-itl": "gamma:5ms,2",
        "x-mock-output-tokens": "7",
        "x-mock-seed": "-4",
    }
    assert for_request(settings, headers) == MockSettings(
        ttft="20ms", itl="gamma:5ms,2", output_tokens=7, seed=-4, fail_after_requests=3
    )


def test_without_headers_the_settings_stay() -> None:
    settings = MockSettings(ttft="1s")
    assert for_request(settings, {"accept": "*/*"}) is settings


@pytest.mark.parametrize(
    ("header", "text", "expected"),
    [
        ("x-mock-ttft", "soon", "expected a delay"),
        ("x-mock-itl", "5", "expected a delay"),
        ("x-mock-output-tokens", "many", "expected a whole number, not 'many'"),
        ("x-mock-output-tokens", "-1", "expected 0 to"),
        ("x-mock-seed", "1.5", "expected a whole number, not '1.5'"),
    ],
)
def test_a_bad_header_is_a_400_that_names_it(header: str, text: str, expected: str) -> None:
    with pytest.raises(MockError, match=f"^{header}: {expected}") as caught:
        for_request(MockSettings(), {header: text})
    assert (caught.value.status, caught.value.param) == (400, header)


@pytest.mark.parametrize("text", ["", "1_000", " 1", "1e3", "٣", "9" * 40])
def test_only_plain_whole_numbers_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number"):
        parse_integer(text)
