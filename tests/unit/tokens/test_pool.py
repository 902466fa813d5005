"""Several credentials: who is picked, who rests, and what is said of it."""

import logging
from typing import Any

import pytest

from proxy.errors import BadCredentials, ConfigError, ConnectFailed
from proxy.exchange import Outcome
from proxy.token import Token
from proxy.tokens.pool import Pool
from tests.unit.conftest import Request, exchange_of, key


def pool(*values: str, **keys: Any) -> Pool:
    return Pool(tokens=tuple(map(key, values or ("a", "b", "c"))), **keys)


def picked(tokens: Pool, times: int, **headers: str) -> str:
    exchange = exchange_of(Request(headers=headers))
    return "".join(tokens.pick(exchange).credential(Request()) for _ in range(times))


def test_each_serves_in_turn_unless_said_otherwise() -> None:
    assert picked(pool(), 6) == "abcabc"
    assert picked(pool(select="ordered"), 3) == "aaa"
    assert sorted(picked(pool("a", "b", weights=(3, 1)), 8)) == list("aaaaaabb")


def test_the_least_busy_serves_until_it_is_released() -> None:
    tokens = pool("a", "b", select="least_busy")
    assert picked(tokens, 2) == "ab"
    tokens.release(tokens.tokens[1])
    assert picked(tokens, 1) == "b"


def test_like_goes_to_like() -> None:
    tokens = pool(select="hash")
    found = {
        client: set(picked(tokens, 3, authorization=f"Bearer {client}")) for client in "abcdef"
    }

    assert all(len(values) == 1 for values in found.values())
    assert len(set.union(*found.values())) > 1


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_one_that_is_refused_or_limited_rests(status: int) -> None:
    tokens = pool(select="ordered")
    tokens.report(tokens.pick(exchange_of()), Outcome(status=status))

    assert picked(tokens, 3) == "bbb"


def test_one_rests_for_as_long_as_the_provider_says_but_not_for_ever() -> None:
    tokens = pool("a", "b", "c")
    one, two, three = tokens.tokens
    tokens.report(one, Outcome(status=429, retry_after=120.0))
    tokens.report(two, Outcome(status=429, retry_after=1e9))
    tokens.report(three, Outcome(status=429, retry_after=0.5))

    rests = tokens._selection.rests
    assert rests(one) == pytest.approx(120.0, abs=1.0)
    assert rests(two) == pytest.approx(3600.0, abs=1.0)
    assert 3.0 < rests(three) < 6.1


@pytest.mark.parametrize(
    "outcome", [Outcome(status=200), Outcome(status=500), Outcome(error=ConnectFailed("no"))]
)
def test_what_is_not_about_a_token_lets_it_be(outcome: Outcome) -> None:
    tokens = pool(select="ordered")
    tokens.report(tokens.pick(exchange_of()), outcome)

    assert picked(tokens, 2) == "aa"


def test_one_that_has_nothing_to_give_rests_shortly() -> None:
    tokens = pool(select="ordered")
    tokens.report(tokens.pick(exchange_of()), Outcome(error=BadCredentials("none")))

    assert picked(tokens, 2) == "bb"
    assert tokens._selection.rests(tokens.tokens[0]) <= 1.2


def test_where_all_rest_one_serves_all_the_same() -> None:
    tokens = pool("a", "b", select="ordered")
    for token, seconds in zip(tokens.tokens, (60.0, 30.0), strict=True):
        tokens.report(token, Outcome(status=429, retry_after=seconds))

    assert picked(tokens, 2) == "bb"


def test_the_log_says_which_one_rests_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "proxy")
    tokens = pool("canary-1", "canary-2")
    for position, token in enumerate(tokens.tokens):
        vars(token)["_place"] = f"c.toml:3: [provider.x.token.{position + 1}]"
    one, two = tokens.tokens
    for _ in range(3):
        tokens.report(one, Outcome(status=401))
    tokens.report(two, Outcome(status=429, retry_after=7.0))

    first, second = caplog.records
    assert first.getMessage().startswith(
        "c.toml:3: [provider.x.token.1]: the provider refused it with 401; it rests for"
    )
    assert first.levelno == logging.WARNING
    assert second.getMessage() == (
        "c.toml:3: [provider.x.token.2]: its rate limit is reached; it rests for 7.0 s"
    )
    assert "canary" not in caplog.text


class Life(Token):
    """Notes when it is opened, told and closed."""

    name: str
    life: list[str]
    fails: bool = False

    def credential(self, request: object) -> str:
        return self.name

    async def open(self) -> None:
        if self.fails:
            raise ConfigError([f"{self.name} cannot be opened"])
        self.life.append(f"open {self.name}")

    async def close(self) -> None:
        self.life.append(f"close {self.name}")

    def report(self, token: Token, outcome: Outcome) -> None:
        assert token is self
        self.life.append(f"report {self.name} {outcome.status}")

    def release(self, token: Token) -> None:
        self.life.append(f"release {self.name}")


async def test_what_is_in_it_lives_as_if_it_stood_alone() -> None:
    life: list[str] = []
    tokens = Pool(tokens=(Life(name="a", life=life), Life(name="b", life=life)))
    await tokens.open()
    token = tokens.pick(exchange_of())
    tokens.report(token, Outcome(status=200))
    tokens.release(token)
    await tokens.close()

    assert life == ["open a", "open b", "report a 200", "release a", "close b", "close a"]


async def test_one_that_cannot_be_opened_closes_those_before_it() -> None:
    life: list[str] = []
    tokens = Pool(tokens=(Life(name="a", life=life), Life(name="b", life=life, fails=True)))
    with pytest.raises(ConfigError, match="b cannot be opened"):
        await tokens.open()

    assert life == ["open a", "close a"]


class Theirs(Life):
    ours = False


def test_no_pool_and_no_clients_credential_is_in_a_pool() -> None:
    for token in (pool(), Theirs(name="x", life=[])):
        with pytest.raises(ValueError, match="and no pool itself"):
            Pool(tokens=(key("a"), token))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"weights": (1,)}, "there are 1 `weights` for 3"),
        ({"select": "ordered", "weights": (1, 2, 3)}, "`weights` mean nothing where"),
        ({"hash_by": "x"}, 'expected "client"'),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        pool(**keys)
