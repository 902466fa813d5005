"""A token: an upstream credential, picked for each request and told how it fared.

In a configuration a token is a table whose ``type`` names its class. One whose class has a
classmethod ``from_text(text)`` may be written ``"TYPE:text"``, too, and one that needs no key
``"TYPE"``; a list is a pool of tokens.
"""

import hmac
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NoReturn, Self, cast

from proxy.component import Component
from proxy.errors import BadCredentials
from proxy.exchange import Exchange, FinalRequest, Outcome, RawRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Secret:
    """A value that only :meth:`reveal` gives away.

    Whatever else is done with it (printing, formatting, logging, pickling, encoding) shows
    nothing of it, or is refused.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def fit(cls, value: str, what: str) -> Self:
        """A value that can stand in a header (RFC 9110 5.5).

        Raises ValueError, without a trace of it, that calls it `what`.
        """
        if not value.strip():
            raise ValueError(f"{what} is empty")
        if value != value.rstrip("\r\n"):
            raise ValueError(f"{what} ends in a line break")
        if _CONTROL.search(value):
            raise ValueError(f"{what} holds a control character")
        # Not by encoding it: a UnicodeEncodeError would carry the value along.
        if max(value) > "\xff":
            raise ValueError(f"{what} holds a character that no header can carry")
        return cls(value)

    @classmethod
    def text(cls, value: str, what: str) -> Self:
        """A value of any number of lines, such as a private key.

        Raises ValueError, without a trace of it, that calls it `what`.
        """
        if not value.strip():
            raise ValueError(f"{what} is empty")
        return cls(value)

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(********)"

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


class Token(Component):
    """The contract. Members live in ``tokens/``.

    Who overrides neither `report` nor `release` is not told, and costs no request anything.
    """

    ours: ClassVar[bool] = True
    """It is the proxy's, so what a provider says of it is no business of the client's."""
    auth: ClassVar[str | None] = None
    """The header that carries it, as a preset's `auth`, where that is not the provider's own."""
    signs: ClassVar[bool] = False
    """It is a :class:`Signing` one."""

    _place: ClassVar[str] = "a token"
    """Where the configuration names it, for errors and the log; each instance has its own."""

    _directory: ClassVar[str] = ""
    """Where its relative paths start from; each instance has its own."""

    def inner(self) -> list["Token"]:
        """The tokens among its keys, which live as it does."""
        values = [getattr(self, name) for name in self.__struct_fields__]
        listed = [each for value in values if isinstance(value, tuple) for each in value]
        return [each for each in (*values, *listed) if isinstance(each, Token)]

    _lines: ClassVar[bool] = False
    """Whether it holds a text of several lines; each instance has its own."""

    def secret(self, value: str, what: str) -> Secret:
        """A value that can stand where this one is wanted, a header mostly.

        Raises ValueError, without a trace of it, that calls it `what`.
        """
        return Secret.text(value, what) if self._lines else Secret.fit(value, what)

    def like(self, other: Component) -> bool:
        if not super().like(other):
            return False
        theirs = cast("Token", other)
        pairs = zip(self.inner(), theirs.inner(), strict=True)
        return self._directory == theirs._directory and all(a.like(b) for a, b in pairs)

    def adopt(self, fresh: Self) -> None:
        vars(self)["_place"] = fresh._place
        for token, other in zip(self.inner(), fresh.inner(), strict=True):
            token.adopt(other)

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        """Get what can be had without waiting for anybody; called once, before `open`.

        Relative paths start from `directory`. Raises ValueError, without a trace of a credential,
        that says what is wrong.
        """

    def pick(self, exchange: Exchange) -> "Token":
        """The token to use for the next request; never waits. One of several, if it is a pool."""
        return self

    @abstractmethod
    def credential(self, request: RawRequest) -> str:
        """The credential to send with a request; never waits.

        Raises BadCredentials if there is none, and Unauthenticated if the client should have one.
        """

    def report(self, token: "Token", outcome: Outcome) -> None:
        """How the request fared for which `token` was picked, once its response's head is here."""

    def release(self, token: "Token") -> None:
        """What `token` was picked for is over; called once for each pick, after `report`."""


class Signing(Token):
    """A token that is never sent: it signs each request."""

    signs = True

    def credential(self, request: RawRequest) -> str:
        raise BadCredentials("the proxy's credentials sign, and are never sent")

    @abstractmethod
    def sign(self, final: FinalRequest) -> bytes:
        """The lines that go to the end of the request's head; never waits.

        Raises BadCredentials if there is nothing to sign with.
        """


class Reference(Token):
    """A token that is one value, so that it can stand wherever a secret is wanted."""

    @abstractmethod
    def reveal(self) -> str:
        """The value, for the one place that needs it; never waits.

        Raises BadCredentials if there is none.
        """

    def credential(self, request: RawRequest) -> str:
        return self.reveal()


class Plain(Reference):
    """What is no secret, where one could stand: it is written as it is."""

    value: str

    def __str__(self) -> str:
        return self.value

    def reveal(self) -> str:
        return self.value
