"""Log-probabilities of tokens, as OpenAI's Chat and Responses spell them."""

from typing import Any

import msgspec

from proxy.event import Logprob


class Token(msgspec.Struct, gc=False):
    """A token, and what might have stood in its place."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: "list[Token] | None" = None

    def neutral(self) -> Logprob:
        """As an event has it."""
        top = [token.neutral() for token in self.top_logprobs or ()]
        return Logprob(self.token, self.logprob, self.bytes, top)


def spelled(token: Logprob) -> dict[str, Any]:
    """As it is spelled in an answer."""
    said = {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}
    return said | {"top_logprobs": [_alternative(top) for top in token.top]}


def _alternative(token: Logprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}
