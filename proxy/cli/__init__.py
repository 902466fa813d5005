"""The command line: one file a verb, and only the file of the verb that is asked for is imported.

A verb's module has ``add_arguments(parser)`` and ``run(args) -> int``, the exit status: 0 fine,
1 it failed while running, 2 usage or configuration error.
"""

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

VERBS = {
    "serve": "run the proxy",
    "check": "check a configuration and print what it comes to",
    "explain": "say what would happen to a request, and why; send nothing",
    "schema": "print the configuration's JSON Schema, for editors",
    "init": "write a configuration to begin with",
    "healthcheck": "exit 0 if a running proxy is ready",
    "mock": "run the mock provider as a server of its own",
    "version": "print the version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that `argv` (without the program's name) begins with; its exit status."""
    from proxy.errors import ConfigError

    verb, *rest = list(sys.argv[1:] if argv is None else argv) or [""]
    if verb in ("-h", "--help"):
        print(_usage())
        return 0
    if not verb:
        print(_usage(), file=sys.stderr)
        return 2
    if verb == "--version":
        verb = "version"
    if verb not in VERBS:
        from proxy.registry import suggest

        print(f'llm-proxy: unknown command "{verb}" ({suggest(verb, VERBS)})', file=sys.stderr)
        return 2
    module = importlib.import_module(f"proxy.cli.{verb}")
    parser = _Parser(prog=f"llm-proxy {verb}", description=VERBS[verb], allow_abbrev=False)
    module.add_arguments(parser)
    try:
        status: int = module.run(parser.parse_args(rest))
    except ConfigError as error:
        for problem in error.problems:
            print(f"llm-proxy: {problem}", file=sys.stderr)
        return 2
    return status


class _Parser(ArgumentParser):
    """Says what is wrong in the words of every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"llm-proxy: {message} (see {self.prog} --help)\n")


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {about}" for verb, about in VERBS.items())
    return f"usage: llm-proxy COMMAND …\n\n{verbs}\n\nllm-proxy COMMAND --help says more."
