"""Tables, as they are printed."""

import msgspec
import pytest

from bench import report
from bench.figures import Failure, Sample, Spread, Summary
from bench.workloads import CPU, GROWTH, START, Workload

UNARY = Workload("unary", "unary", "unary, small", CPU, "request", "what it is")
SLOW = Workload("slow", "slow", "slow reader", GROWTH, "run", "what it is")
READY = Workload("start", "start", "start to ready", START, "start", "what it is")


def summary(
    workload: str, contender: str, cost: float | None, ratio: float | None, **detail: float
) -> Summary:
    def around(value: float | None) -> Spread | None:
        return None if value is None else Spread(value, value / 2, value * 2)

    return Summary(workload, contender, 3, around(cost), around(ratio), detail)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (0.5, "0.500"),
        (1.0, "1.00"),
        (9.876, "9.88"),
        (21.34, "21.3"),
        (99.96, "100"),
        (197.4, "197"),
        (12345.6, "12346"),
    ],
)
def test_numbers_have_three_digits_that_mean_something(value: float, text: str) -> None:
    assert report.number(value) == text


def test_the_columns_of_a_table_are_aligned() -> None:
    rows = [["name", "cost"], ["nginx", "21.3"], ["a", "7"]]
    assert report.table(rows).splitlines() == ["  name   cost", "  nginx  21.3", "  a         7"]


def test_a_markdown_table_has_a_rule_and_as_many_cells_in_each_line() -> None:
    lines = report.markdown([["name", "cost"], ["nginx", "21.3"]]).splitlines()
    assert lines == ["| name  | cost |", "| ----- | ---: |", "| nginx | 21.3 |"]


def test_a_workloads_table_shows_cost_ratio_and_what_was_measured_beside_it() -> None:
    text = report.workload_table(
        UNARY,
        [
            summary("unary", "direct", None, None, load_cpu=0.97),
            summary("unary", "nginx", 20.0, 1.0, load_cpu=0.5, per_second=45000.4),
        ],
        "nginx",
    )
    title, header, direct, nginx, definition = text.splitlines()
    assert title == "unary, small"
    assert header.split("  ")[1] == "unary"
    assert ["x nginx" in header, "per s" in header, "load CPU" in header] == [True] * 3
    assert direct.split() == ["direct", "-", "-", "-", "-", "-", "97%*"]
    assert nginx.split() == [
        *["nginx", "20.0", "10.0-40.0", "1.00", "0.500-2.00", "45000", "50%"],
    ]
    assert definition.strip() == "what it is"


def test_memory_growth_is_not_shown_as_a_ratio() -> None:
    found = [summary("slow", "nginx", 0.1, 1.0), summary("slow", "ours", 1.5, 15.0)]
    assert "x nginx" not in report.workload_table(SLOW, found, "nginx")
    assert report.overview([SLOW], found, ["nginx", "ours"]).splitlines()[-1].split("|")[2:4] == [
        " 0.100 ",
        " 1.50 ",
    ]


def test_the_overview_has_a_line_for_each_workload_and_one_for_the_idle_process() -> None:
    found = [
        summary("unary", "nginx", 20.0, 1.0),
        summary("unary", "direct", None, None),
        summary("unary", "ours", 60.0, 3.0),
        summary("start", "ours", 0.25, None, idle_mb=46.0),
    ]
    lines = report.overview([UNARY, SLOW, READY], found, ["direct", "nginx", "ours"]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["workload", "nginx", "ours"]
    assert cells[2:] == [
        ["unary, small: CPU µs/request", "20.0 (1.00)", "60.0 (3.00)"],
        ["start to ready: s/start", "-", "0.250"],
        ["idle process: MB", "-", "46.0"],
    ]


def test_workloads_that_others_disturbed_are_named() -> None:
    samples = [
        Sample("quiet", "ours", 0, 1.0, {"elsewhere": 0.01}),
        Sample("noisy", "ours", 0, 1.0, {"elsewhere": 0.5}),
        Sample("noisy", "ours", 1, 1.0, {"elsewhere": 0.1}),
        Sample("memory", "ours", 1, 1.0, {"base_mb": 1.0}),
    ]
    assert report.disturbed(samples) == {"noisy": pytest.approx(0.3)}


def test_a_failure_of_many_rounds_is_one_line() -> None:
    failures = [Failure("unary", "x", round_, "status 500") for round_ in range(3)]
    failures.append(Failure("unary", "y", 0, "it ended"))
    assert report.failure_lines(failures) == [
        "unary, x: status 500 (3 times)",
        "unary, y: it ended",
    ]


def test_the_report_is_json_that_reads_back() -> None:
    document = report.Report(
        date=report.today(),
        commit="abc123+",
        full=False,
        machine=report.machine(pinned=True),
        versions={"nginx": "1"},
        baseline="nginx",
        notes=["a"],
        definitions={"unary": "what it is"},
        summaries=[summary("unary", "nginx", 20.0, 1.0)],
        failures=[Failure("unary", "x", 0, "status 500")],
        samples=[Sample("unary", "nginx", 0, 20.0, {"per_second": 1.0})],
    )
    assert msgspec.json.decode(msgspec.json.encode(document), type=report.Report) == document
    assert "2 cores" in report.machine_line(msgspec.structs.replace(document.machine, cores=2))


def test_our_own_contenders_are_told_beside_each_other() -> None:
    samples = [
        Sample("lockstep", "ours", 0, 10.0, {}),
        Sample("lockstep", "translating", 0, 25.0, {}),
        Sample("lockstep", "ours", 1, 10.0, {}),
        Sample("lockstep", "translating", 1, 35.0, {}),
        Sample("paced", "translating", 1, 99.0, {}),
        Sample("unary-2k", "ours", 1, 100.0, {}),
        Sample("unary-2k", "ours-2", 1, 105.0, {}),
    ]
    translated, workers = report.comparisons(samples)
    assert "costs 3.00 times one that passes (2.50-3.50" in translated
    assert "two workers costs 1.05 times one to one" in workers
    assert report.comparisons(samples[:1]) == []
