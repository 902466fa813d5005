"""One of several: the rules, and the rests of those that failed."""

import math
from collections import Counter
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.selection import LATENCY_SECONDS, Rest, Select, Selection

REST = Rest(1.0, 60.0)
RULES = get_args(Select)
WEIGHTED = [rule for rule in RULES if rule != "ordered"]

weights_of = st.lists(st.integers(1, 9), min_size=2, max_size=6)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Value:
    """Something to select, told apart by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


A, B, C = (Value(name) for name in "ABC")


def selection(
    *values: Value, clock: Clock | None = None, seed: int = 0, **keys: Any
) -> Selection[Value]:
    keys.setdefault("select", "ordered")
    return Selection(values or (A, B, C), clock=clock or Clock(), random=Random(seed), **keys)


def picked(one: Selection[Value], times: int, key: bytes = b"") -> str:
    return "".join(one.pick(key).name for _ in range(times))


# The rules.


def test_ordered_is_the_first() -> None:
    assert picked(selection(), 3) == "AAA"


@given(weights_of, st.integers(0, 100))
def test_by_chance_each_has_its_share(weights: list[int], seed: int) -> None:
    values = [Value(str(position)) for position in range(len(weights))]
    one = selection(*values, select="weighted", weights=weights, seed=seed)
    number = 4000
    counts = Counter(one.pick() for _ in range(number))
    for value, weight in zip(values, weights, strict=True):
        share = weight / sum(weights)
        # Six deviations: what chance leaves over does not fail a test in a lifetime.
        deviation = math.sqrt(number * share * (1 - share))
        assert abs(counts[value] - number * share) < 6 * deviation + 1


@given(weights_of, st.integers(1, 200))
def test_in_turn_nobody_is_ever_more_than_a_turn_from_its_share(
    weights: list[int], number: int
) -> None:
    values = [Value(str(position)) for position in range(len(weights))]
    one = selection(*values, select="round_robin", weights=weights)
    counts = Counter(one.pick() for _ in range(number))
    for value, weight in zip(values, weights, strict=True):
        assert abs(counts[value] - number * weight / sum(weights)) < len(weights)


def test_in_turn_those_with_weight_are_spread() -> None:
    assert picked(selection(A, B, C, select="round_robin", weights=(5, 1, 1)), 7) == "AABACAA"


@given(weights_of, st.lists(st.integers(0, 5), max_size=60))
def test_the_least_busy_has_the_fewest_under_way_for_its_weight(
    weights: list[int], ends: list[int]
) -> None:
    values = [Value(str(position)) for position in range(len(weights))]
    one = selection(*values, select="least_busy", weights=weights)
    busy = dict.fromkeys(values, 0)
    for end in ends:
        load = {v: busy[v] / w for v, w in zip(values, weights, strict=True)}
        chosen = one.pick()
        assert load[chosen] == min(load.values())
        busy[chosen] += 1
        ending = values[end % len(values)]
        if busy[ending]:
            busy[ending] -= 1
            one.release(ending)


def test_those_that_are_equally_busy_have_their_turns() -> None:
    one = selection(select="least_busy")
    for _ in range(2):
        assert [one.pick() for _ in range(3)] == [A, B, C]
        for value in (A, B, C):
            one.release(value)


def test_what_was_not_picked_cannot_become_less_than_idle() -> None:
    one = selection(A, B, select="least_busy")
    for _ in range(3):
        one.release(A)

    assert sorted(picked(one, 4)) == ["A", "A", "B", "B"]


def test_the_quickest_is_found_out_and_then_used() -> None:
    one = selection(select="least_latency")
    for seconds in (0.3, 0.1, 0.2):
        value = one.pick()
        one.release(value)
        one.succeeded(value, seconds)

    assert one.pick() is B
    assert one.pick() is B or C, "what is under way counts, too"


def test_of_one_that_is_not_known_yet_one_request_finds_out() -> None:
    one = selection(A, B, select="least_latency")
    assert {one.pick(), one.pick()} == {A, B}
    one.release(A)
    one.succeeded(A, 1.0)

    assert picked(one, 5) == "AAAAA"


def test_one_that_was_slow_long_ago_is_tried_again() -> None:
    clock = Clock()
    one = selection(A, B, select="least_latency", clock=clock)
    one.succeeded(A, 30.0)
    for _ in range(2):
        one.succeeded(B, 1.0)
        assert one.pick() is B
        one.release(B)
        clock.now += 2 * LATENCY_SECONDS
    one.succeeded(B, 1.0)

    assert one.pick() is A


def test_a_latency_that_gets_worse_counts_at_once_and_one_that_gets_better_slowly() -> None:
    clock = Clock()
    one = selection(A, B, select="least_latency", clock=clock)
    for seconds in (1.0, 9.0):
        one.succeeded(A, seconds)
    one.succeeded(B, 5.0)
    assert one.pick() is B
    one.release(B)
    one.succeeded(A, 1.0)
    assert one.pick() is B
    one.release(B)
    clock.now += LATENCY_SECONDS
    one.succeeded(A, 1.0)
    one.succeeded(B, 5.0)

    assert one.pick() is A


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), weights_of)
def test_like_goes_to_like_and_who_leaves_takes_only_its_own_share(
    keys: list[bytes], weights: list[int]
) -> None:
    values = [Value(str(position)) for position in range(len(weights))]
    names = [value.name for value in values]
    whole = selection(*values, select="hash", weights=weights, names=names)
    fewer = selection(*values[1:], select="hash", weights=weights[1:], names=names[1:])
    for key in keys:
        found = whole.pick(key)
        assert whole.pick(key) is found
        assert found is values[0] or len(values) == 2 or fewer.pick(key) is found


def test_hashes_share_out_by_weight_in_every_process_alike() -> None:
    one = selection(A, B, select="hash", weights=(3, 1), names=["a", "b"])
    counts = Counter(one.pick(str(key).encode()) for key in range(4000))

    assert 2800 < counts[A] < 3200
    one = selection(A, B, select="hash", names=["a", "b"])
    assert "".join(one.pick(str(key).encode()).name for key in range(12)) == "AAAABBAABAAA"


# Rests.


@pytest.mark.parametrize("select", RULES)
def test_one_that_failed_rests_then_one_try_tells(select: Select) -> None:
    clock = Clock()
    one = selection(A, B, select=select, clock=clock)
    one.failed(A, REST)
    assert 0.8 <= one.rests(A) <= 1.2
    assert picked(one, 20) == "B" * 20
    clock.now += 1.2
    for _ in range(20):
        one.release(B)
    tries = [one.pick(str(key).encode()) for key in range(40)]
    assert tries.count(A) == 1, "the others wait for how it went"
    one.succeeded(A)
    assert one.rests(A) == 0.0


def test_a_try_that_nobody_hears_of_is_followed_by_another() -> None:
    clock = Clock()
    one = selection(A, B, clock=clock)
    one.failed(A, REST)
    for _ in range(3):
        clock.now += 1.2
        assert picked(one, 3) == "ABB"


def test_each_failure_doubles_the_rest_up_to_the_longest() -> None:
    clock = Clock()
    one = selection(A, B, clock=clock)
    rests = []
    for _ in range(9):
        rests.append(one.failed(A, REST))
        clock.now += rests[-1]
        assert one.pick() is A
    for seconds, expected in zip(rests, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert 0.8 * expected <= seconds <= 1.2 * expected
    one.succeeded(A)
    assert one.failed(A, REST) <= 1.2


def test_what_was_under_way_when_it_began_to_rest_is_no_further_failure() -> None:
    clock = Clock()
    one = selection(A, B, clock=clock)
    assert one.failed(A, REST) > 0
    assert one.failed(A, REST) == 0.0
    assert one.failed(A, REST, at_least=5.0) == 0.0
    assert one.rests(A) == 5.0
    clock.now += 5.0
    assert one.pick() is A
    assert one.failed(A, REST) <= 2.4, "the second failure, not the fourth"


def test_an_answer_to_what_was_under_way_ends_no_rest() -> None:
    one = selection(A, B)
    one.failed(A, REST)
    one.succeeded(A)

    assert one.pick() is B


def test_one_may_be_asked_to_rest_for_longer() -> None:
    one = selection(A, B)

    assert one.failed(A, REST, at_least=30.0) == 30.0


def test_where_all_rest_the_one_whose_rest_ends_first_serves() -> None:
    clock = Clock()
    one = selection(clock=clock)
    for value, seconds in ((A, 30.0), (B, 10.0), (C, 20.0)):
        one.failed(value, REST, at_least=seconds)
    assert one.pick() is B
    one.succeeded(B)
    assert picked(one, 3) == "BBB"


def test_what_is_to_be_avoided_is_not_picked_while_there_is_another() -> None:
    one = selection()
    assert one.pick(avoid=[A]) is B
    assert one.pick(avoid=[B, A]) is C
    assert one.pick(avoid=[A, B, C]) is A
    one.failed(B, REST)
    assert one.pick(avoid=[A, C]) is B


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"select": "random"}, "'random' is no way to select"),
        ({"weights": (1, 2, 3)}, '`weights` mean nothing where `select` is "ordered"'),
        ({"select": "weighted", "weights": (1, 2)}, "there are 2 `weights` for 3"),
        ({"select": "weighted", "weights": (1, 2, 0)}, "a weight is a number above 0"),
        ({"select": "weighted", "weights": (1, 2, math.inf)}, "a weight is a number above 0"),
        ({"select": "weighted", "weights": (1, 2, math.nan)}, "a weight is a number above 0"),
    ],
)
def test_what_cannot_be_selected_from_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        selection(**keys)


def test_there_must_be_something_and_each_once() -> None:
    with pytest.raises(ValueError, match="there is nothing to select from"):
        Selection((), select="ordered")
    with pytest.raises(ValueError, match="one of them stands there twice"):
        selection(A, B, A)


class Life(RuleBasedStateMachine):
    """Whatever happens: one that rests is not picked while another is awake, nor tried in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.values = [Value(str(position)) for position in range(3)]
        self.one: Selection[Value] = Selection(
            self.values, select="least_busy", clock=self.clock, random=Random(1)
        )
        self.under_way: list[Value] = []

    @rule(avoid=st.sets(st.integers(0, 2)))
    def pick(self, avoid: set[int]) -> None:
        avoided = [self.values[position] for position in avoid]
        rests = {value: self.one.rests(value) for value in self.values}
        value = self.one.pick(avoid=avoided)
        among = [each for each in self.values if each not in avoided] or self.values
        assert value in among
        if any(not rests[each] for each in among):
            assert not rests[value]
        else:
            assert rests[value] == min(rests[each] for each in among)
        self.under_way.append(value)

    @rule(which=st.integers(0, 99), outcome=st.integers(0, 3), asked=st.sampled_from([0.0, 9.0]))
    def end(self, which: int, outcome: int, asked: float) -> None:
        if not self.under_way:
            return
        value = self.under_way.pop(which % len(self.under_way))
        if outcome == 0:
            before = self.one.rests(value)
            self.one.failed(value, REST, at_least=asked)
            assert self.one.rests(value) >= max(before, asked) - 1e-9
            assert self.one.rests(value) > 0
        elif outcome == 1:
            self.one.succeeded(value, 0.5)
        self.one.release(value)

    @rule(seconds=st.sampled_from([0.1, 1.3, 80.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def nothing_rests_for_longer_than_it_may(self) -> None:
        assert all(self.one.rests(value) <= REST.longest * 1.2 for value in self.values)


TestLife = Life.TestCase
