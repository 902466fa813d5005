"""Medians, and ratios within a round."""

from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Sample, Spread, ratios, spread, summarize


def sample(contender: str, round_: int, cost: float | None, **detail: float) -> Sample:
    return Sample("unary", contender, round_, cost, detail)


def test_a_spread_is_the_median_between_the_least_and_the_greatest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([1.0, 4.0]) == Spread(2.5, 1.0, 4.0)


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_a_median_lies_within_its_range(values: list[float]) -> None:
    found = spread(values)
    assert found.low <= found.median <= found.high


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was twice as slow in the second round: the ratio does not see it.
    nginx = [sample("nginx", 0, 10.0), sample("nginx", 1, 20.0)]
    ours = [sample("ours", 1, 60.0), sample("ours", 0, 30.0)]
    assert ratios(ours, nginx) == [3.0, 3.0]


def test_a_round_without_the_baseline_has_no_ratio() -> None:
    nginx = [sample("nginx", 0, 10.0), sample("nginx", 2, 0.0), sample("nginx", 3, None)]
    ours = [sample("ours", round_, 20.0) for round_ in range(5)]
    assert ratios(ours, nginx) == [2.0]


def test_a_summary_has_medians_of_cost_ratio_and_detail() -> None:
    samples = [
        sample("nginx", 0, 10.0, per_second=100.0),
        sample("ours", 0, 30.0, per_second=30.0),
        sample("nginx", 1, 20.0, per_second=50.0),
        sample("ours", 1, 40.0),
        sample("nginx", 2, 10.0, per_second=120.0),
        sample("ours", 2, 20.0, per_second=50.0),
    ]
    nginx, ours = summarize(samples, "nginx")
    assert (nginx.contender, nginx.rounds, nginx.cost) == ("nginx", 3, Spread(10.0, 10.0, 20.0))
    assert nginx.ratio == Spread(1.0, 1.0, 1.0)
    assert nginx.detail == {"per_second": 100.0}
    assert ours.cost == Spread(30.0, 20.0, 40.0)
    assert ours.ratio == Spread(2.0, 2.0, 3.0)
    assert ours.detail == {"per_second": 40.0}


def test_without_a_cost_or_a_baseline_there_is_no_figure() -> None:
    (direct,) = summarize([sample("direct", 0, None, per_second=9.0)], "nginx")
    assert (direct.cost, direct.ratio, direct.detail) == (None, None, {"per_second": 9.0})
    (ours,) = summarize([sample("ours", 0, 5.0)], None)
    assert ours.cost is not None
    assert ours.ratio is None


def test_each_workload_is_summarized_by_itself() -> None:
    samples = [Sample("a", "nginx", 0, 1.0), Sample("b", "nginx", 0, 2.0)]
    found = [(s.workload, s.cost.median) for s in summarize(samples, "nginx") if s.cost]
    assert found == [("a", 1.0), ("b", 2.0)]
