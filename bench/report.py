"""The report: a table for each workload, one of all ratios, and everything as JSON."""

import os
import platform
import statistics
import subprocess
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.figures import Failure, Sample, Spread, Summary, ratios, spread
from bench.workloads import RELATIVE, Workload

SATURATED = 0.95
"""From this share of its core on, the load generator may be what bounds the throughput."""

DISTURBED = 0.05
"""From this share of the cores on, what else ran on the machine may bend the figures."""

WIDTH = 100


class Machine(msgspec.Struct, frozen=True):
    """Where it ran."""

    cpu: str
    cores: int
    kernel: str
    python: str
    pinned: bool


class Report(msgspec.Struct, frozen=True):
    """All there is to say about one pass; this is the JSON."""

    date: str
    commit: str
    """Of this repository, with a `+` where files differ from it; empty where git does not say."""
    full: bool
    machine: Machine
    versions: dict[str, str]
    baseline: str | None
    """Whose cost is 1."""
    notes: list[str]
    definitions: dict[str, str]
    summaries: list[Summary]
    failures: list[Failure]
    samples: list[Sample]


def machine(*, pinned: bool) -> Machine:
    """This machine."""
    cpu = platform.machine()
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return Machine(cpu, os.cpu_count() or 1, platform.release(), platform.python_version(), pinned)


def machine_line(machine: Machine) -> str:
    """The machine in a few words."""
    cores = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    pinned = "proxy and load pinned apart" if machine.pinned else "nothing pinned"
    return f"{machine.cpu}, {cores}, Linux {machine.kernel}, {pinned}"


def commit() -> str:
    """The commit that is measured."""
    told = []
    for command in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "proxy"]):
        try:
            result = subprocess.run(
                ["git", *command], cwd=Path(__file__).parent.parent, capture_output=True, text=True
            )
        except OSError:
            return ""
        if result.returncode != 0:
            return ""
        told.append(result.stdout.strip())
    return told[0] + "+" * bool(told[1])


def today() -> str:
    """The date in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned; the first row is the header, the first column is text, others numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same as a table for Markdown, readable as it stands."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def range_of(spread: Spread) -> str:
    """From the least to the greatest."""
    return f"{number(spread.low)}-{number(spread.high)}"


_DETAILS = (
    ("user_share", "user", lambda value: f"{value:.0%}"),
    ("per_second", "per s", lambda value: f"{value:.0f}"),
    ("p50_us", "p50 ms", lambda value: number(value / 1000)),
    ("p99_us", "p99 ms", lambda value: number(value / 1000)),
    ("load_cpu", "load CPU", lambda value: f"{value:.0%}" + "*" * (value >= SATURATED)),
    ("elsewhere", "others", lambda value: f"{value:.0%}"),
    ("base_mb", "before MB", number),
    ("open_seconds", "to open s", number),
    ("read_mb", "read MB", number),
    ("pushed_mb", "taken MB", number),
    ("idle_mb", "idle MB", number),
    ("share_mb", "Pss MB", number),
)


def workload_table(workload: Workload, summaries: Sequence[Summary], baseline: str | None) -> str:
    """What each contender's samples of one workload come to, and how the figure is defined."""
    if workload.unit not in RELATIVE:
        baseline = None
    details = [one for one in _DETAILS if any(one[0] in summary.detail for summary in summaries)]
    header = [workload.name, f"{workload.unit}/{workload.per}", "range"]
    header += [f"x {baseline}", "range"] if baseline else []
    rows = [[*header, *(title for _, title, _ in details)]]
    for summary in summaries:
        cost, ratio = summary.cost, summary.ratio
        row = [summary.contender]
        row += ["-", "-"] if cost is None else [number(cost.median), range_of(cost)]
        if baseline:
            row += ["-", "-"] if ratio is None else [number(ratio.median), range_of(ratio)]
        row += [
            show(summary.detail[name]) if name in summary.detail else "-"
            for name, _, show in details
        ]
        rows.append(row)
    definition = textwrap.fill(
        workload.definition, WIDTH, initial_indent="  ", subsequent_indent="  "
    )
    return f"{workload.title}\n{table(rows)}\n{definition}"


def overview(
    workloads: Sequence[Workload], summaries: Sequence[Summary], contenders: Sequence[str]
) -> str:
    """Costs of all workloads in one table; ratios to the baseline in brackets."""
    found = {(summary.workload, summary.contender): summary for summary in summaries}
    names = [name for name in contenders if any(s.contender == name and s.cost for s in summaries)]
    rows = [["workload", *names]]
    for workload in workloads:
        cells = [_cell(workload, found.get((workload.name, name))) for name in names]
        if any(cell != "-" for cell in cells):
            rows.append([f"{workload.title}: {workload.unit}/{workload.per}", *cells])
            if workload.kind == "start":
                idle = [_idle_cell(found.get((workload.name, name))) for name in names]
                rows.append(["idle process: MB", *idle])
    return markdown(rows)


def disturbed(samples: Sequence[Sample]) -> dict[str, float]:
    """Workload -> the mean share of the cores that others took, where it was too much."""
    shares: dict[str, list[float]] = {}
    for sample in samples:
        if "elsewhere" in sample.detail:
            shares.setdefault(sample.workload, []).append(sample.detail["elsewhere"])
    means = {workload: statistics.fmean(values) for workload, values in shares.items()}
    return {workload: mean for workload, mean in means.items() if mean >= DISTURBED}


_COMPARED = (
    ("lockstep", "translating", "An event that is translated (Anthropic to OpenAI)", "that passes"),
    ("unary-2k", "ours-2", "A request to two workers", "to one"),
)
"""Of a workload, one of our contenders beside `ours`, and what the two differ in."""


def comparisons(samples: Sequence[Sample]) -> list[str]:
    """What our own contenders cost beside each other, as far as both were measured."""
    told = []
    for workload, contender, one, other in _COMPARED:
        mine = [sample for sample in samples if sample.workload == workload]
        found = ratios(
            [sample for sample in mine if sample.contender == contender],
            [sample for sample in mine if sample.contender == "ours"],
        )
        if found:
            times = spread(found)
            told.append(
                f"{one} costs {number(times.median)} times one {other} ({range_of(times)}, in the "
                "same rounds)."
            )
    return told


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Each failure once, however many rounds had it."""
    counts = Counter((one.workload, one.contender, one.reason) for one in failures)
    return [
        f"{workload}, {contender}: {reason}" + (f" ({count} times)" if count > 1 else "")
        for (workload, contender, reason), count in counts.items()
    ]


def _cell(workload: Workload, summary: Summary | None) -> str:
    if summary is None or summary.cost is None:
        return "-"
    if workload.unit not in RELATIVE or summary.ratio is None:
        return number(summary.cost.median)
    return f"{number(summary.cost.median)} ({number(summary.ratio.median)})"


def _idle_cell(summary: Summary | None) -> str:
    return "-" if summary is None else number(summary.detail["idle_mb"])
