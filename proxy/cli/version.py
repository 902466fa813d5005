"""``llm-proxy version``: which proxy this is, and what it runs on."""

import platform
from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``version``."""
    parser.add_argument("--verbose", action="store_true", help="say what it runs on, too")


def run(args: Namespace) -> int:
    """Print the version, and with ``--verbose`` those of Python and the libraries beneath."""
    print(f"llm-proxy {_version('llm-proxy')}")
    if args.verbose:
        print(f"python {platform.python_version()} ({platform.python_implementation()})")
        for library in ("uvloop", "aiohttp", "msgspec"):
            print(f"{library} {_version(library)}")
    return 0


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(not installed)"
