"""Several credentials, one of which serves each request; those that a provider refuses rest."""

import logging
from contextlib import AsyncExitStack
from typing import Annotated

from msgspec import Meta

from proxy.affinity import HASH_BY, affinity, check_affinity
from proxy.errors import BadCredentials
from proxy.exchange import Exchange, Outcome, RawRequest
from proxy.selection import SELECT, WEIGHTS, Rest, Selection
from proxy.token import Token

REFUSED = Rest(60.0, 3600.0)
"""The rest of a token that the provider refuses: revoked, out of money, of a closed account."""
LIMITED = Rest(5.0, 300.0)
"""The rest of a token whose rate limit is reached, where the provider does not say how long."""
LACKING = Rest(1.0, 30.0)
"""The rest of a token that has no credential to give: none was to be had so far."""
LONGEST = 3600.0
"""Seconds that a provider's word for it is taken: a token is tried again some day."""

_REFUSALS = (401, 402, 403)

_log = logging.getLogger("proxy")


class Pool(Token):
    """Several credentials, written as a list for short. One that the provider refuses (401, 402,
    403), or whose rate limit is reached (429), rests while the others are used.

    It rests for as long as the provider says, else longer each time; then one request tries it.
    """

    tokens: Annotated[
        tuple[Token, ...],
        Meta(
            min_length=1,
            description="The credentials, each a reference or a table.",
            examples=[["env:KEY_ONE", "env:KEY_TWO"]],
        ),
    ]
    select: SELECT = "round_robin"
    weights: WEIGHTS = ()
    hash_by: HASH_BY = "client"

    def __post_init__(self) -> None:
        check_affinity(self.hash_by)
        if any(isinstance(token, Pool) or not token.ours for token in self.tokens):
            raise ValueError("what is in a pool is a credential of the proxy's, and no pool itself")
        self._selection = Selection(self.tokens, select=self.select, weights=self.weights)

    async def open(self) -> None:
        async with AsyncExitStack() as opened:
            for token in self.tokens:
                await token.open()
                opened.push_async_callback(token.close)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    def pick(self, exchange: Exchange) -> Token:
        key = affinity(exchange, self.hash_by) if self.select == "hash" else b""
        return self._selection.pick(key)

    def credential(self, request: RawRequest) -> str:
        raise AssertionError("a pool's requests are sent with what it picks")

    def report(self, token: Token, outcome: Outcome) -> None:
        token.report(token, outcome)
        status = outcome.status
        if status in _REFUSALS:
            rest = self._selection.failed(token, REFUSED)
            self._tell(token, f"the provider refused it with {status}", rest, logging.WARNING)
        elif status == 429:
            asked = min(outcome.retry_after or 0.0, LONGEST)
            rest = self._selection.failed(token, LIMITED, at_least=asked)
            self._tell(token, "its rate limit is reached", rest, logging.INFO)
        elif status:
            self._selection.succeeded(token, outcome.seconds)
        elif isinstance(outcome.error, BadCredentials):
            self._selection.failed(token, LACKING)

    def _tell(self, token: Token, what: str, rest: float, level: int) -> None:
        if rest:
            _log.log(level, "%s: %s; it rests for %.1f s", token._place, what, rest)

    def release(self, token: Token) -> None:
        token.release(token)
        self._selection.release(token)
