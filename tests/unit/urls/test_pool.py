"""Several base URLs: who is picked, who rests, and what is asked next."""

from typing import Any

import pytest

from proxy.errors import ConnectFailed, ProviderBroke, ProviderTimeout, ProxyError
from proxy.exchange import Exchange, Outcome
from proxy.urls.pool import Pool
from tests.unit.conftest import Request, exchange_of

ONE, TWO, THREE = (f"http://{host}:1/v1" for host in ("one", "two", "three"))
DOWN = Outcome(error=ConnectFailed("refused"))


def pool(*urls: str, **keys: Any) -> Pool:
    made = Pool(urls=urls or (ONE, TWO, THREE), **keys)
    made.resolve(str)
    return made


def picked(url: Pool, times: int, exchange: Exchange | None = None) -> list[str]:
    return [str(url.pick(exchange or exchange_of())) for _ in range(times)]


def test_each_serves_in_turn_unless_said_otherwise() -> None:
    assert picked(pool(), 6) == [ONE, TWO, THREE] * 2
    assert picked(pool(select="ordered"), 3) == [ONE] * 3


def test_weights_share_the_requests_out() -> None:
    assert sorted(picked(pool(ONE, TWO, weights=(3, 1)), 8)) == [ONE] * 6 + [TWO] * 2


def test_the_least_busy_serves_until_it_is_released() -> None:
    url = pool(ONE, TWO, select="least_busy")
    first, second = url.pick(exchange_of()), url.pick(exchange_of())
    assert first is not second
    for _ in range(3):
        url.release(second)
        assert url.pick(exchange_of()) is second


def test_the_quickest_to_begin_serves() -> None:
    url = pool(ONE, TWO, select="least_latency")
    for seconds in (0.5, 0.1):
        address = url.pick(exchange_of())
        url.report(address, Outcome(status=200, seconds=seconds))
        url.release(address)

    assert picked(url, 1) == [TWO]


@pytest.mark.parametrize("error", [ConnectFailed("refused"), ProviderBroke("reset")])
def test_one_whose_connections_fail_rests(error: ProxyError) -> None:
    url = pool(select="ordered")
    url.report(url.pick(exchange_of()), Outcome(error=error))

    assert picked(url, 3) == [TWO] * 3


@pytest.mark.parametrize(
    "outcome", [Outcome(status=503), Outcome(error=ProviderTimeout("slow")), Outcome(status=200)]
)
def test_one_that_answers_or_thinks_does_not_rest(outcome: Outcome) -> None:
    url = pool(select="ordered")
    url.report(url.pick(exchange_of()), outcome)

    assert picked(url, 3) == [ONE] * 3


def test_one_that_was_down_and_answers_is_used_again() -> None:
    url = pool(ONE, TWO, select="ordered")
    for _ in range(2):
        url.report(url.pick(exchange_of()), DOWN)
    one = url.pick(exchange_of())
    url.report(one, Outcome(status=200))

    assert picked(url, 2) == [str(one)] * 2


def test_after_one_another_is_tried_and_each_once() -> None:
    url, exchange = pool(), exchange_of()
    tried = [url.pick(exchange)]
    while (another := url.again(exchange, tried)) is not None:
        tried.append(another)

    assert {str(address) for address in tried} == {ONE, TWO, THREE}
    assert len(tried) == 3
    assert set(tried) == set(url.addresses())


def test_like_goes_to_like() -> None:
    url = pool(select="hash", hash_by="header:x-session-id")
    sessions = {
        name: set(picked(url, 3, exchange_of(Request(headers={"x-session-id": name}))))
        for name in "abcdefgh"
    }

    assert all(len(found) == 1 for found in sessions.values())
    assert len(set.union(*sessions.values())) > 1


@pytest.mark.parametrize(
    ("urls", "keys", "problem"),
    [
        ((ONE, TWO, "http://ONE:1/v1/"), {}, "http://one:1/v1 is listed twice"),
        ((ONE, "x"), {}, "is not an HTTP URL"),
        ((ONE, TWO), {"weights": (1,)}, "there are 1 `weights` for 2"),
        ((ONE, TWO), {"weights": (1, 0)}, "a weight is a number above 0"),
        ((ONE, TWO), {"weights": (1, 2), "select": "ordered"}, "`weights` mean nothing where"),
        ((ONE, TWO), {"hash_by": "cookie"}, 'expected "client", "header:NAME" or "field:NAME"'),
    ],
)
def test_what_cannot_be_is_refused(
    urls: tuple[str, ...], keys: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        pool(*urls, **keys)
