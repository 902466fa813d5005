import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mock.delay import parse_delay


def draw(text: str, count: int = 4000) -> list[float]:
    rng = random.Random(1)
    delay = parse_delay(text)
    return [delay.sample(rng) for _ in range(count)]


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("0s", 0.0), ("1.5s", 1.5)])
def test_a_duration_is_a_delay_that_does_not_vary(text: str, seconds: float) -> None:
    assert draw(text, 5) == pytest.approx([seconds] * 5)


def test_a_normal_delay_has_its_mean_and_its_deviation() -> None:
    samples = draw("normal:20ms,5ms")
    assert statistics.mean(samples) == pytest.approx(0.020, rel=0.05)
    assert statistics.stdev(samples) == pytest.approx(0.005, rel=0.05)


def test_a_lognormal_delay_has_its_median_and_a_long_tail() -> None:
    samples = draw("lognormal:20ms,0.5")
    assert statistics.median(samples) == pytest.approx(0.020, rel=0.05)
    assert statistics.mean(samples) > statistics.median(samples)


def test_a_gamma_delay_has_its_mean_and_the_deviation_of_its_shape() -> None:
    samples = draw("gamma:20ms,4")
    assert statistics.mean(samples) == pytest.approx(0.020, rel=0.05)
    assert statistics.stdev(samples) == pytest.approx(0.010, rel=0.05)


@given(
    st.sampled_from(["normal:1ms,50ms", "lognormal:1ms,3", "gamma:1ms,0.1", "gamma:0s,2"]),
    st.integers(),
)
def test_a_delay_is_never_negative(text: str, seed: int) -> None:
    assert parse_delay(text).sample(random.Random(seed)) >= 0


def test_the_same_seed_draws_the_same_delays() -> None:
    assert draw("gamma:20ms,4", 10) == draw("gamma:20ms,4", 10)


@pytest.mark.parametrize("text", ["20ms", "normal:20ms,5ms"])
def test_a_total_is_the_sum_of_its_delays(text: str) -> None:
    delay = parse_delay(text)
    alone = random.Random(7)
    one_by_one = sum(delay.sample(alone) for _ in range(20))
    assert delay.total(random.Random(7), 20) == pytest.approx(one_by_one)


def test_no_delays_take_no_time() -> None:
    assert parse_delay("20ms").total(random.Random(1), 0) == 0
    assert parse_delay("20ms").total(random.Random(1), -1) == 0


@pytest.mark.parametrize(
    "text",
    [
        *("", "20", "-1s", "20 ms", "nan"),
        *("normal:20ms", "normal:20ms,", "normal:20ms,0.5", "normal:20ms,5ms,5ms"),
        *("lognormal:20ms,5ms", "lognormal:20ms,-1", "lognormal:20ms,11", "lognormal:20ms,inf"),
        *("gamma:20ms,0", "gamma:20ms,nan", "uniform:1ms,2ms", "constant:20ms,1"),
    ],
)
def test_what_is_no_delay_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a delay such as .*, not "):
        parse_delay(text)
