import copy
import json
import logging
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.secrets import Secret, resolve

CANARY = "canary-5f3a"


class Holder(msgspec.Struct):
    token: Secret


def refusal(reference: str, **environ: str) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        resolve(reference, environ)
    assert CANARY not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


def test_env_is_the_value_of_a_variable() -> None:
    secret = resolve("env:TOKEN", {"TOKEN": CANARY})

    assert secret.reveal() == CANARY
    assert repr(secret) == str(secret) == f"{secret}" == "Secret(env:TOKEN)"
    assert f"{secret:.>18}" == ".Secret(env:TOKEN)"


def test_literal_is_what_follows_it() -> None:
    secret = resolve(f"literal:env:{CANARY}", {})

    assert secret.reveal() == f"env:{CANARY}"
    assert repr(secret) == "Secret(literal)"


@pytest.mark.parametrize("reference", ["env:TOKEN", f"literal:{CANARY}"])
def test_a_secret_never_prints(reference: str, caplog: pytest.LogCaptureFixture) -> None:
    secret = resolve(reference, {"TOKEN": CANARY})
    holder = Holder(secret)
    logging.getLogger("proxy").warning("%s %r %s", secret, secret, holder)

    shown = [str(secret), repr(secret), format(secret), f"{secret!s:>99}", repr(holder)]
    shown += [repr([secret]), repr({"token": secret}), repr({secret}), caplog.text]
    try:
        raise ValueError(secret, holder)
    except ValueError:
        shown.append(traceback.format_exc())
    assert CANARY not in "".join(shown)


@pytest.mark.parametrize("reference", ["env:TOKEN", f"literal:{CANARY}"])
def test_a_secret_is_never_encoded(reference: str) -> None:
    secret = resolve(reference, {"TOKEN": CANARY})

    for encode in (json.dumps, msgspec.json.encode, msgspec.to_builtins, pickle.dumps):
        for value in (secret, [secret], Holder(secret)):
            with pytest.raises(TypeError) as raised:
                encode(value)
            assert CANARY not in str(raised.value)
    with pytest.raises(TypeError, match="not to be pickled or copied"):
        copy.copy(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (CANARY, 'a secret is not written out (expected a reference such as "env:OPENAI_API_KEY"'),
        (f"sk:{CANARY}", "a secret is not written out"),
        (f"ENV:{CANARY}", "a secret is not written out"),
        ("", "a secret is not written out"),
        ("env", "a secret is not written out"),
        (f"env:{CANARY}", '"env:" is not followed by the name of an environment variable'),
        ("env:", '"env:" is not followed by the name of an environment variable'),
        ("env:MISSING", "the environment variable MISSING is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:BLANK", "the environment variable BLANK is empty"),
        ("env:LINE", "the environment variable LINE ends in a line break"),
        ("env:CONTROL", "the environment variable CONTROL holds a control character"),
        ("env:NULL", "the environment variable NULL holds a control character"),
        ("env:WIDE", "the environment variable WIDE holds a character that no header can carry"),
        ("env:BYTES", "the environment variable BYTES holds a character that no header can carry"),
        ("literal:", "the literal is empty"),
        (f"literal:{CANARY}\r\nx-evil: 1", "the literal holds a control character"),
    ],
)
def test_what_is_no_secret_is_refused_without_a_trace_of_it(reference: str, problem: str) -> None:
    environ = {
        "EMPTY": "",
        "BLANK": " ",
        "LINE": f"{CANARY}\n",
        "CONTROL": f"{CANARY}\x1b[0m",
        "NULL": f"{CANARY}\0",
        "WIDE": f"{CANARY}€",
        "BYTES": f"{CANARY}\udcff",
    }

    assert refusal(reference, **environ).startswith(problem)


@given(st.text())
def test_every_secret_can_stand_in_a_header(text: str) -> None:
    try:
        value = resolve("env:X", {"X": text}).reveal()
    except ValueError:
        return

    assert value == text
    assert value.encode("latin-1").strip()
    assert not {"\r", "\n", "\0"} & set(value)


def test_secrets_are_equal_by_value() -> None:
    one, other = Secret("a", "env:X"), Secret("a", "literal")

    assert one == other
    assert hash(one) == hash(other)
    assert one != Secret("b", "env:X")
    assert one != "a"
