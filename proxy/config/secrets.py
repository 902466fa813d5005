"""Secrets: references in the configuration, and values whose type does not print."""

import hmac
import re
from collections.abc import Mapping
from typing import NoReturn

SECRET_HINT = 'a reference such as "env:OPENAI_API_KEY", or "literal:…"'

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Secret:
    """A value that only :meth:`reveal` gives away.

    Whatever else is done with it (printing, formatting, logging, pickling, encoding) shows where
    it comes from, or is refused.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, value: str, reference: str) -> None:
        self._value = value
        self.reference = reference
        """What may be printed: ``env:NAME``, or ``literal``."""

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not to be pickled or copied")


def resolve(reference: str, environ: Mapping[str, str]) -> Secret:
    """The secret that `reference` stands for; ValueError without a trace of it if there is none.

    ``env:NAME`` is the variable's value, ``literal:VALUE`` is VALUE. A bare value is refused: what
    stands in a file by accident should not work by accident.
    """
    kind, colon, rest = reference.partition(":")
    if colon and kind == "literal":
        return Secret(_fit(rest, "the literal"), "literal")
    if colon and kind == "env":
        # What is no name may be a secret pasted after the prefix: it is not repeated.
        if _VARIABLE.fullmatch(rest) is None:
            raise ValueError('"env:" is not followed by the name of an environment variable')
        if rest not in environ:
            raise ValueError(f"the environment variable {rest} is not set")
        return Secret(_fit(environ[rest], f"the environment variable {rest}"), f"env:{rest}")
    raise ValueError(f"a secret is not written out (expected {SECRET_HINT})")


def _fit(value: str, what: str) -> str:
    """`value` if it can stand in a header (RFC 9110 5.5)."""
    if not value.strip():
        raise ValueError(f"{what} is empty")
    if value != value.rstrip("\r\n"):
        raise ValueError(f"{what} ends in a line break")
    if _CONTROL.search(value):
        raise ValueError(f"{what} holds a control character")
    # Not by encoding it: a UnicodeEncodeError would carry the value along.
    if max(value) > "\xff":
        raise ValueError(f"{what} holds a character that no header can carry")
    return value
