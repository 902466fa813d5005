import traceback

import msgspec
import pytest

from proxy.errors import BadCredentials
from proxy.exchange import Outcome
from proxy.token import Secret
from proxy.tokens.static import Env, Literal
from tests.unit.conftest import Request

CANARY = "canary-5f3a"


def test_env_is_the_value_of_a_variable() -> None:
    token = Env.from_text("TOKEN")
    token.resolve({"TOKEN": CANARY}, "/")

    assert token.credential(Request()) == CANARY
    assert token == Env(name="TOKEN")
    assert str(token) == "env:TOKEN"


def test_literal_is_what_follows_it() -> None:
    token = Literal.from_text(f"env:{CANARY}")
    token.resolve({}, "/")

    assert token.credential(Request()) == f"env:{CANARY}"
    assert str(token) == "literal:********"


def test_literals_are_told_apart_by_their_values() -> None:
    assert Literal.from_text("a") == Literal(value=Secret("a"))
    assert Literal.from_text("a") != Literal.from_text("b")


def test_the_same_credential_is_picked_however_it_fared() -> None:
    token = Literal.from_text("a")
    token.resolve({}, "/")
    token.report(token, Outcome(error=BadCredentials("no")))
    token.report(token, Outcome(status=401))

    assert token.credential(Request()) == "a"


def test_a_token_that_has_no_credential_yet_says_so() -> None:
    with pytest.raises(BadCredentials, match="no credentials"):
        Env(name="X").credential(Request())


def test_no_credential_is_shown() -> None:
    env, literal = Env(name="TOKEN"), Literal.from_text(CANARY)
    for token in (env, literal):
        token.resolve({"TOKEN": CANARY}, "/")
        assert CANARY not in f"{token} {token!r} {[token]} {vars(token)}"

    assert msgspec.to_builtins(env) == {"name": "TOKEN"}
    with pytest.raises(TypeError) as raised:
        msgspec.to_builtins(literal)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (CANARY, '"env:" is not followed by the name of an environment variable'),
        ("", '"env:" is not followed by the name of an environment variable'),
        ("MISSING", "the environment variable MISSING is not set"),
        ("EMPTY", "the environment variable EMPTY is empty"),
        ("LINE", "the environment variable LINE ends in a line break"),
    ],
)
def test_what_is_no_credential_is_refused_without_a_trace_of_it(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        Env.from_text(name).resolve({"EMPTY": "", "LINE": f"{CANARY}\n"}, "/")

    assert str(raised.value) == problem
    assert CANARY not in "".join(traceback.format_exception(raised.value))
