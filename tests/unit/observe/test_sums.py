"""Sums over processes, read back as Prometheus reads them."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy.observe.sums import Family, Sums, families

NOWHERE = Path("/nowhere")


def counter(value: float, name: str = "llm_proxy_requests", **labels: str) -> Metric:
    family = CounterMetricFamily(name, "Counted.", labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def gauge(value: float, name: str = "llm_proxy_open_streams") -> Metric:
    return GaugeMetricFamily(name, "So it is.", value)


def read(sums: Sums) -> dict[str, float]:
    """What a scrape says, by name with labels."""
    registry = CollectorRegistry()
    registry.register(sums)
    text = generate_latest(registry).decode()
    return {
        sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def said(*metrics: Metric) -> list[Family]:
    """What a process says, after its way to another."""
    encoded = msgspec.msgpack.encode(families(metrics, NOWHERE))
    return msgspec.msgpack.decode(encoded, type=list[Family])


def test_counters_are_added_up_by_their_labels() -> None:
    sums = Sums(0)
    sums.put(1, said(counter(3.0, route="a")))
    sums.put(2, said(counter(4.0, route="a")))
    sums.put(2, said(counter(5.0, route="a")))
    sums.put(3, said(counter(7.0, route="b")))

    assert read(sums) == {"llm_proxy_requests_total|a": 8.0, "llm_proxy_requests_total|b": 7.0}


def test_a_process_takes_its_gauges_along_and_leaves_its_counters() -> None:
    sums = Sums(0)
    sums.put(1, said(counter(3.0), gauge(2.0)))
    sums.put(2, said(counter(4.0), gauge(5.0)))
    assert read(sums) == {"llm_proxy_requests_total": 7.0, "llm_proxy_open_streams": 7.0}
    sums.retire(1)
    assert read(sums) == {"llm_proxy_requests_total": 7.0, "llm_proxy_open_streams": 5.0}
    sums.put(3, said(counter(1.0), gauge(1.0)))
    sums.retire(2)
    sums.retire(9)

    assert read(sums) == {"llm_proxy_requests_total": 8.0, "llm_proxy_open_streams": 1.0}


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    sums = Sums(0)
    for process, values in ((1, (0.5, 5.0)), (2, (0.5,))):
        registry = CollectorRegistry()
        histogram = Histogram("seconds", "Spent.", registry=registry, buckets=(1.0, 10.0))
        for value in values:
            histogram.observe(value)
        sums.put(process, said(*registry.collect()))
    expected = {
        "seconds_bucket|1.0": 2.0,
        "seconds_bucket|10.0": 3.0,
        "seconds_bucket|+Inf": 3.0,
        "seconds_count": 3.0,
        "seconds_sum": 6.0,
    }
    now = read(sums)
    made = now.pop("seconds_created")
    assert now == expected
    sums.retire(1)
    sums.retire(2)
    then = read(sums)

    assert then.pop("seconds_created") == made
    assert then == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llm_proxy_event_loop_lag_seconds", 5.0),
        ("process_start_time_seconds", 2.0),
        ("process_open_fds", 7.0),
    ],
)
def test_gauges_go_by_what_they_mean(name: str, expected: float) -> None:
    sums = Sums(0)
    sums.put(1, said(gauge(2.0, name)))
    sums.put(2, said(gauge(5.0, name)))

    assert read(sums) == {name: expected}


def test_what_all_do_together_counts_once() -> None:
    sums = Sums(0)
    for process in (1, 0, 2):
        sums.put(process, said(counter(4.0 + process, "llm_proxy_reloads", outcome="changed")))

    assert read(sums) == {"llm_proxy_reloads_total|changed": 4.0}


def test_of_shared_memory_a_process_counts_its_share(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("5581-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 40000 kB\nPss: 17000 kB\n")
    resident = gauge(40_960_000.0, "process_resident_memory_bytes")

    [family] = families([resident], rollup)
    assert family.samples == [("process_resident_memory_bytes", (), 17000.0 * 1024)]
    [family] = families([resident], NOWHERE)
    assert family.samples == [("process_resident_memory_bytes", (), 40_960_000.0)]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["put", "retire"]), st.integers(0, 5)),
        max_size=30,
    )
)
def test_what_is_counted_never_goes_backwards(steps: Iterable[tuple[int, str, int]]) -> None:
    """A place is filled by one process after the other, each with a number of its own."""
    sums, counts, follower = Sums(0), dict.fromkeys(range(5), 0), dict.fromkeys(range(5), 0)
    before = total = 0.0
    for place, step, more in steps:
        process = place + 10 * follower[place]
        if step == "put":
            counts[place] += more
            total += more
            sums.put(process, said(counter(counts[place])))
        else:
            sums.retire(process)
            follower[place] += 1
            counts[place] = 0
        now = read(sums).get("llm_proxy_requests_total", 0.0)
        assert now == total >= before
        before = now
