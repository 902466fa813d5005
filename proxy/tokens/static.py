"""Credentials that stay while the configuration stands: the environment's, or written out."""

import re
from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Meta

from proxy.token import Secret
from proxy.tokens._held import Held

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Env(Held):
    """The value of an environment variable, written ``"env:NAME"`` for short."""

    name: Annotated[str, Meta(description="The environment variable.", examples=["OPENAI_API_KEY"])]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The token that ``"env:NAME"`` spells."""
        return cls(name=text)

    def __post_init__(self) -> None:
        # What is no name may be a secret pasted after the prefix: it is not repeated.
        if _VARIABLE.fullmatch(self.name) is None:
            raise ValueError('"env:" is not followed by the name of an environment variable')

    def __str__(self) -> str:
        return f"env:{self.name}"

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        if self.name not in environ:
            raise ValueError(f"the environment variable {self.name} is not set")
        self.hold(self.secret(environ[self.name], f"the environment variable {self.name}"))


class Literal(Held):
    """A credential that stands in the configuration itself: ``"literal:VALUE"``."""

    value: Annotated[Secret, Meta(description="The credential.")]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The token that ``"literal:VALUE"`` spells."""
        return cls(value=Secret.fit(text, "the literal"))

    def __str__(self) -> str:
        return "literal:********"

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        self.hold(self.value)
