"""The arguments that several verbs share, and the configuration that they lead to."""

import os
from argparse import ArgumentParser, Namespace

from proxy.config.load import Loaded, Overrides, load


def add_config(parser: ArgumentParser) -> None:
    """``-c FILE``."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="the configuration (default: $LLM_PROXY_CONFIG, else $LLM_PROXY_CONFIG_TOML as its "
        "text, else ./config.toml, else none)",
    )


def add_overrides(parser: ArgumentParser) -> None:
    """The flags that win over the configuration."""
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        action="append",
        default=[],
        help="where clients connect: HOST:PORT, [V6]:PORT or unix:/path; may be repeated",
    )
    parser.add_argument(
        "--admin", metavar="ADDR", help='where operators find health and metrics, or "none"'
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, help="how many processes; 0 is one per core"
    )
    parser.add_argument(
        "--log-level", metavar="LEVEL", help="debug, info, warning or error: the least that is said"
    )


def loaded(args: Namespace) -> Loaded:
    """The configuration that `args` and the environment lead to; ConfigError if it is wrong."""
    overrides = Overrides(
        listen=tuple(getattr(args, "listen", ())),
        admin=getattr(args, "admin", None),
        log_level=getattr(args, "log_level", None),
        workers=getattr(args, "workers", None),
    )
    return load(args.config, environ=os.environ, overrides=overrides)
