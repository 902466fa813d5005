"""The command line: what is measured, and for how long."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from bench import contenders, workloads
from bench.contenders import Contender
from bench.measure import Length
from bench.workloads import Workload

T = TypeVar("T", Contender, Workload)

BUILD = Path(__file__).parent / "build"


class Options(msgspec.Struct, frozen=True):
    """What was asked for."""

    contenders: list[Contender]
    workloads: list[Workload]
    rounds: int
    memory_rounds: int
    """Of workloads that start each contender afresh."""
    length: Length
    budget: float
    """Seconds after which no further measurement is begun."""
    full: bool
    json: Path
    seed: int
    only_list: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; on a bad one it says so and exits with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what this proxy costs beside nginx, HAProxy and a naive aiohttp proxy:"
        " a quick pass of at most 3 minutes, or a full one of at most 20. Everything stays on"
        " 127.0.0.1.",
    )
    add = parser.add_argument
    add("--full", action="store_true", help="more rounds, longer, and all workloads")
    add("--only", metavar="NAME,…", help="these contenders")
    add("--workload", metavar="NAME,…", help="these workloads")
    add("--add", metavar="FILE", type=Path, action="append", default=[], help="a contender's TOML")
    add("--rounds", metavar="N", type=_at_least_one, help="of every workload")
    add("--seconds", metavar="S", type=_seconds, help="one measurement is so long (0.1 to 60)")
    add(
        "--json",
        metavar="FILE",
        type=Path,
        default=BUILD / "last.json",
        help="default: %(default)s",
    )
    add("--seed", metavar="N", type=int, default=1, help="of the order within a round")
    add("--list", action="store_true", help="list contenders and workloads, and exit")
    given = parser.parse_args(arguments)
    try:
        known = [*contenders.BUILT_IN, *map(contenders.load, given.add)]
        chosen = _chosen("contender", known, [one.name for one in known], given.only)
    except ValueError as error:
        parser.error(str(error))
    offered = [one for one in workloads.WORKLOADS if given.full or given.workload or one.quick]
    try:
        wanted = _chosen("workload", offered, [one.name for one in offered], given.workload)
    except ValueError as error:
        parser.error(str(error))
    length = Length(0.4, 2.0, 8.0) if given.full else Length(0.2, 0.9, 3.0)
    if given.seconds:
        length = Length(length.warm, given.seconds, given.seconds)
    return Options(
        contenders=chosen,
        workloads=wanted,
        rounds=given.rounds or (7 if given.full else 3),
        memory_rounds=given.rounds or (3 if given.full else 1),
        length=length,
        budget=1140.0 if given.full else 155.0,
        full=given.full,
        json=given.json,
        seed=given.seed,
        only_list=given.list,
    )


def _chosen(what: str, known: list[T], names: list[str], wanted: str | None) -> list[T]:
    if wanted is None:
        return known
    by_name = dict(zip(names, known, strict=True))
    found = []
    for name in wanted.split(","):
        if name not in by_name:
            raise ValueError(f"no {what} is called {name!r}; there are {', '.join(names)}")
        found.append(by_name[name])
    return found


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError("expected 0.1 to 60")
    return value
