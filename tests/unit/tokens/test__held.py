"""What tokens of one value at a time share."""

import pytest

from proxy.errors import BadCredentials
from proxy.exchange import Outcome
from proxy.token import Secret
from proxy.tokens._held import MAX_BYTES, Held
from tests.unit.conftest import Request, exchange_of


def test_the_last_credential_held_is_given_however_it_fared() -> None:
    token = Held()
    for value in ("sk-1", "sk-2"):
        token.hold(Secret(value))
        assert token.pick(exchange_of()) is token
        token.report(token, Outcome(status=401))
        assert token.credential(Request()) == value
        assert token.holds(Secret(value))
    assert not token.holds(Secret("sk-1"))


def test_a_token_that_holds_nothing_has_no_credential_to_give() -> None:
    with pytest.raises(BadCredentials, match="the proxy has no credentials for the provider"):
        Held().credential(Request())


def test_what_is_held_is_not_shown() -> None:
    token = Held()
    token.hold(Secret("sk-1"))

    assert "sk-1" not in repr(token)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"sk-1", "sk-1"),
        (b"sk-1\n", "sk-1"),
        (b"sk-1\r\n", "sk-1"),
        (b" sk 1 \n", " sk 1 "),
        (b"\xc3\xa9", "é"),
        (b"x" * MAX_BYTES, "x" * MAX_BYTES),
    ],
)
def test_a_credential_is_read_without_its_line_break(data: bytes, value: str) -> None:
    assert Held().decoded(data, "it").reveal() == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"canary\n\n", "it ends in a line break"),
        (b"canary\nmore", "it holds a control character"),
        (b"canary\xff", "it is not UTF-8"),
        ("canary€".encode(), "it holds a character that no header can carry"),
        (b"canary" * MAX_BYTES, "it is larger than 64 KiB"),
    ],
)
def test_what_is_no_credential_is_refused_without_a_trace_of_it(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        Held().decoded(data, "it")

    assert "canary" not in repr(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_a_text_of_several_lines_is_held_where_one_is_wanted() -> None:
    token = Held()
    vars(token)["_lines"] = True

    assert token.decoded(b"one\ntwo\n", "it").reveal() == "one\ntwo"
    with pytest.raises(ValueError, match="it is empty"):
        token.decoded(b"\n\n", "it")
