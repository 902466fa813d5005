"""``llm-proxy init``: a configuration to begin with, every key in it, explained, commented out."""

from argparse import ArgumentParser, Namespace

from proxy.config.load import DEFAULT_FILE
from proxy.config.starter import starter
from proxy.errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    """The argument of ``init``."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=DEFAULT_FILE,
        help="where to write it (default: %(default)s); a file that exists is not overwritten",
    )


def run(args: Namespace) -> int:
    """Write the file, and say what to do with it."""
    try:
        with open(args.file, "x", encoding="utf-8") as stream:
            stream.write(starter())
    except FileExistsError:
        raise ConfigError([f"{args.file}: exists already, and is not overwritten"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([f"{args.file}: cannot be written: {reason}"]) from None
    print(f"wrote {args.file}: change it, then llm-proxy check -c {args.file}")
    return 0
