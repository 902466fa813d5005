"""``llm-proxy mock``: the mock provider as a server of its own."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import uvloop

from proxy.config.address import parse_listen
from proxy.mock import MockSettings, start_mock
from proxy.mock.settings import parse_integer

T = TypeVar("T")

_DEFAULTS = MockSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb; their values are read by :func:`run`, which says what is wrong."""
    add = parser.add_argument
    add("--listen", metavar="HOST:PORT", default="127.0.0.1:8000", help="default: %(default)s")
    add(
        "--ttft",
        metavar="DELAY",
        default=_DEFAULTS.ttft,
        help='time until a response begins, such as "200ms" or "normal:200ms,50ms"',
    )
    add("--itl", metavar="DELAY", default=_DEFAULTS.itl, help="time between two tokens")
    add(
        "--output-tokens",
        metavar="N",
        default=str(_DEFAULTS.output_tokens),
        help="length of an answer (default: %(default)s)",
    )
    add(
        "--seed",
        metavar="N",
        default=str(_DEFAULTS.seed),
        help="what all answers follow from (default: %(default)s)",
    )
    add("--fail-after-requests", metavar="N", help="answer 503 after N requests")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0, 1 if it cannot listen, 2 bad usage."""
    try:
        host, port = _flag("--listen", _parse_host_port, args.listen)
        settings = _settings(args)
    except ValueError as error:
        print(f"llm-proxy: {error}", file=sys.stderr)
        return 2
    try:
        uvloop.run(_serve(settings, host, port))
    except OSError as error:
        print(f"llm-proxy: --listen: cannot listen on {args.listen}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: MockSettings, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    mock = await start_mock(settings, host=host, port=port)
    print(f"ready: mock provider on {mock.url}", file=sys.stderr, flush=True)
    await stop.wait()
    await mock.close()


def _settings(args: argparse.Namespace) -> MockSettings:
    count = args.fail_after_requests
    output_tokens = _flag("--output-tokens", parse_integer, args.output_tokens)
    seed = _flag("--seed", parse_integer, args.seed)
    fail_after = None if count is None else _flag("--fail-after-requests", parse_integer, count)
    try:
        return MockSettings(
            ttft=args.ttft,
            itl=args.itl,
            output_tokens=output_tokens,
            seed=seed,
            fail_after_requests=fail_after,
        )
    except ValueError as error:
        key, _, reason = str(error).partition(": ")
        raise ValueError(f"--{key.replace('_', '-')}: {reason}") from None


def _flag(flag: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def _parse_host_port(text: str) -> tuple[str, int]:
    address = parse_listen(text)
    if not address.host:
        raise ValueError(f"expected HOST:PORT or [V6]:PORT, not {text!r}")
    return address.host, address.port
