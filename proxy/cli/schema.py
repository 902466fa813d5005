"""``llm-proxy schema``: the configuration's JSON Schema, for editors."""

import json
from argparse import ArgumentParser, Namespace

from proxy.config.schema import schema


def add_arguments(parser: ArgumentParser) -> None:
    """``schema`` takes none."""


def run(args: Namespace) -> int:
    """Print the schema, with every component that is installed here."""
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0
