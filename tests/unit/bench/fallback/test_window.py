"""The Python load generator's latencies."""

import pytest

from bench.fallback.window import Latencies


def test_latencies_are_told_in_microseconds() -> None:
    latencies = Latencies()
    for thousandth in range(1, 101):
        latencies.add(thousandth / 1000)
    reply = latencies.reply(pushed=5)
    assert (reply.state, reply.units, reply.pushed) == ("done", 100, 5)
    assert reply.p50 == pytest.approx(51_000)
    assert reply.p99 == pytest.approx(100_000)
    assert reply.max == pytest.approx(100_000)
    assert reply.mean == pytest.approx(50_500)
    assert reply.seconds > 0


def test_an_event_before_its_time_took_no_time() -> None:
    latencies = Latencies()
    latencies.add(-0.5)
    assert latencies.reply().max == 0.0


def test_a_window_begins_empty() -> None:
    latencies = Latencies()
    latencies.add(1.0)
    latencies.start()
    assert latencies.reply().units == 0
