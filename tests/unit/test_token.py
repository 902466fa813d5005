import copy
import json
import logging
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.component import overrides
from proxy.exchange import Outcome, RawRequest
from proxy.token import Plain, Secret, Token
from tests.unit.conftest import Request, exchange_of

CANARY = "canary-5f3a"


class Holder(msgspec.Struct):
    token: Secret


def test_a_secret_never_prints(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    holder = Holder(secret)
    logging.getLogger("proxy").warning("%s %r %s", secret, secret, holder)

    shown = [str(secret), repr(secret), format(secret), f"{secret!s:>99}", repr(holder)]
    shown += [repr([secret]), repr({"token": secret}), repr({secret}), caplog.text]
    try:
        raise ValueError(secret, holder)
    except ValueError:
        shown.append(traceback.format_exc())
    assert CANARY not in "".join(shown)
    assert f"{secret:.>18}" == "..Secret(********)"
    assert secret.reveal() == CANARY


def test_a_secret_is_never_encoded() -> None:
    secret = Secret(CANARY)

    for encode in (json.dumps, msgspec.json.encode, msgspec.to_builtins, pickle.dumps):
        for value in (secret, [secret], Holder(secret)):
            with pytest.raises(TypeError) as raised:
                encode(value)
            assert CANARY not in str(raised.value)
    with pytest.raises(TypeError, match="not to be pickled or copied"):
        copy.copy(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("\n", "it is empty"),
        (f"{CANARY}\n", "it ends in a line break"),
        (f"{CANARY}\r\nx-evil: 1", "it holds a control character"),
        (f"{CANARY}\x1b[0m", "it holds a control character"),
        (f"{CANARY}\0", "it holds a control character"),
        (f"{CANARY}€", "it holds a character that no header can carry"),
        (f"{CANARY}\udcff", "it holds a character that no header can carry"),
    ],
)
def test_what_no_header_can_carry_is_refused_without_a_trace_of_it(
    value: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        Secret.fit(value, "it")

    assert str(raised.value) == problem
    assert CANARY not in "".join(traceback.format_exception(raised.value))


@given(st.text())
def test_every_secret_can_stand_in_a_header(text: str) -> None:
    try:
        value = Secret.fit(text, "it").reveal()
    except ValueError:
        return

    assert value == text
    assert value.encode("latin-1").strip()
    assert not {"\r", "\n", "\0"} & set(value)


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


class Sent(Token):
    """A token of its own kind."""

    def credential(self, request: RawRequest) -> str:
        return "sk-1"


def test_a_token_is_itself_what_it_picks_and_hears_of_nothing_it_does_not_ask_for() -> None:
    token = Sent()
    assert token.pick(exchange_of()) is token
    token.report(token, Outcome(status=401))
    token.release(token)
    assert (token.ours, token.auth, token.signs) == (True, None, False)
    assert not overrides(token, "report")
    assert not overrides(token, "release")


def test_what_is_no_secret_is_written_as_it_is() -> None:
    plain = Plain(value="http://proxy:3128")

    assert str(plain) == plain.reveal() == plain.credential(Request()) == "http://proxy:3128"
    assert plain.like(Plain(value="http://proxy:3128"))
    assert not plain.like(Plain(value="http://other:3128"))
