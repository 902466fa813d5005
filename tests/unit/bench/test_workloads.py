"""The workloads."""

from bench.workloads import WORKLOADS


def test_names_are_unique_and_every_figure_is_defined() -> None:
    assert len({one.name for one in WORKLOADS}) == len(WORKLOADS)
    assert all(one.title and one.definition for one in WORKLOADS)


def test_what_is_paced_has_a_rate() -> None:
    assert all((one.rate > 0) == (one.kind in ("open", "paced", "slow")) for one in WORKLOADS)
