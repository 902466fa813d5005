"""``llm-proxy explain``: what would happen to a request, and why; nothing is sent."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import AsyncExitStack

import msgspec

from proxy.cli.arguments import add_config, loaded
from proxy.config.load import Loaded
from proxy.errors import ConfigError
from proxy.explain import DEFAULT_PATH, Asked, Change, Explainer, Explanation


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ``explain``."""
    add_config(parser)
    parser.add_argument("--path", default=DEFAULT_PATH, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help='the body of the request; "-", the default, is standard input',
    )


def run(args: Namespace) -> int:
    """Print what the request would come to, whether it would be answered or refused."""
    if not args.path.startswith("/") or "?" in args.path:
        raise ConfigError([f"--path: expected a path such as {DEFAULT_PATH}, not {args.path!r}"])
    configuration = loaded(args)
    from proxy.assembly import assemble

    explainer = Explainer(assemble(configuration).router, configuration.settings)
    body = b""
    if explainer.reads(args.path):
        # One byte too many is enough to be refused.
        body = _read(args.file, configuration.settings.server.max_body_size + 1)
    explanation = asyncio.run(_explain(explainer, configuration, args.path, body))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print("\n".join(_text(explanation)))
    return 0


async def _explain(
    explainer: Explainer, configuration: Loaded, path: str, body: bytes
) -> Explanation:
    async with AsyncExitStack() as stack:
        for processor in configuration.settings.processor.values():
            await processor.open()
            stack.push_async_callback(processor.close)
        return await explainer.explain(path, body)


def _read(file: str, limit: int) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(limit)
        with open(file, "rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([f"{file}: cannot be read: {reason}"]) from None


def _text(explanation: Explanation) -> Iterator[str]:
    what = [f"POST {explanation.path}"]
    if explanation.dialect is None:
        what.append("no endpoint of a dialect: what a route takes passes through unread")
    else:
        what += [explanation.dialect, f"model {explanation.model or '(none)'}"]
        what.append("stream" if explanation.stream else "no stream")
    yield ", ".join(what)
    if explanation.answer is not None:
        yield f"answered by {explanation.answer}"
    if explanation.routes:
        yield "routes, in order"
    for route in explanation.routes:
        yield f"  {'+' if route.takes else '-'} {route.route}: {route.why}"
    if explanation.processors:
        yield "processors, in order"
    for step in explanation.processors:
        yield f"  {step.processor}{'' if step.changes else ': changes nothing'}"
        yield from _changes(step.changes)
    if explanation.targets:
        yield "targets, in order"
    for position, target in enumerate(explanation.targets, 1):
        yield f"  {position}. {target.target}: {target.url or 'inside the proxy'}"
        yield from _target(target)
    limits = (f"{name} {spelled}" for name, spelled in explanation.limits.items())
    yield f"limits: {', '.join(limits)}"
    if (error := explanation.error) is not None:
        yield f"refused with {error.status} {error.code}: {error.message}"


def _target(target: Asked) -> Iterator[str]:
    yield from _changes(target.changes)
    if target.hides_usage:
        yield "     usage is asked for, and taken out of the stream again"
    timeouts = (f"{name} {spelled}" for name, spelled in target.timeouts.items())
    yield f"     timeouts: {', '.join(timeouts)}"


def _changes(changes: list[Change]) -> Iterator[str]:
    for change in changes:
        yield f"     {change.field}"
        for line in change.diff:
            yield f"       {line}"
