import argparse

import pytest

from proxy.cli import mock


def run(*flags: str) -> int:
    parser = argparse.ArgumentParser()
    mock.add_arguments(parser)
    return mock.run(parser.parse_args(flags))


@pytest.mark.parametrize(
    ("flag", "value", "problem"),
    [
        ("--listen", "8000", "expected "),
        ("--listen", "localhost:65536", "a port is at most 65535"),
        ("--listen", "unix:/run/mock.sock", "expected HOST:PORT or [V6]:PORT, not "),
        ("--ttft", "20", "expected a delay such as "),
        ("--itl", "normal:20ms", "expected a delay such as "),
        ("--output-tokens", "few", "expected a whole number, not 'few'"),
        ("--output-tokens", "-1", "expected 0 to 1000000, not -1"),
        ("--seed", "0x1", "expected a whole number, not '0x1'"),
        ("--fail-after-requests", "never", "expected a whole number, not 'never'"),
        ("--fail-after-requests", "-1", "expected 0 or more, not -1"),
    ],
)
def test_a_bad_flag_is_named_and_exits_2(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, problem: str
) -> None:
    assert run(flag, value) == 2
    assert capsys.readouterr().err.startswith(f"llm-proxy: {flag}: {problem}")
