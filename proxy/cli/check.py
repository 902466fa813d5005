"""``llm-proxy check``: everything that `serve` does before it listens, and what came of it."""

import sys
from argparse import ArgumentParser, Namespace

import msgspec

from proxy.cli.arguments import add_config, loaded
from proxy.config.effective import as_tree, render


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``check``."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of TOML")
    parser.add_argument("--strict", action="store_true", help="fail on warnings, too")


def run(args: Namespace) -> int:
    """Print the effective configuration; 2 if there is a problem, or a warning and ``--strict``."""
    configuration = loaded(args)
    # After the file is known to be right: what it assembles takes long to import.
    from proxy.assembly import assemble

    assemble(configuration)
    for warning in configuration.warnings:
        print(f"llm-proxy: warning: {warning}", file=sys.stderr)
    settings = configuration.settings
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(as_tree(settings))).decode())
    else:
        print(render(settings), end="")
    return 2 if args.strict and configuration.warnings else 0
