"""A histogram of our own says what Prometheus' says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from proxy.observe import buckets
from proxy.observe.buckets import Buckets

ALL = {name: value for name, value in vars(buckets).items() if name.isupper()}


@given(st.lists(st.floats(0, 20, width=32) | st.sampled_from([1.0, 2.5, 10.0]), max_size=30))
def test_it_counts_as_prometheus_counts(values: list[float]) -> None:
    """A value that is a bound falls into that bound's bucket (le: less or equal)."""
    bounds = (1.0, 2.5, 10.0)
    registry = CollectorRegistry()
    histogram = Histogram("x", "x", buckets=bounds, registry=registry)
    ours = Buckets(bounds)
    for value in values:
        histogram.observe(value)
        ours.observe(value)

    [metric] = registry.collect()
    expected = [(s.labels["le"], s.value) for s in metric.samples if s.name == "x_bucket"]
    counts, total = ours.rendered()
    assert counts == expected
    assert total == pytest.approx(sum(values))


def test_counts_that_were_made_elsewhere_are_added_by_bucket() -> None:
    ours = Buckets((1.0, 2.0))
    ours.observe(1.5)
    ours.add([3, 0, 1], 9.0)

    assert ours.rendered() == ([("1.0", 3.0), ("2.0", 4.0), ("+Inf", 5.0)], 10.5)


def test_counts_of_other_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Buckets((1.0, 2.0)).add([1, 2], 1.0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_bounds_grow(name: str) -> None:
    assert len(ALL[name]) > 5
    assert list(ALL[name]) == sorted(set(ALL[name]))
    assert all(bound > 0 for bound in ALL[name])
