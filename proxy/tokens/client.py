"""The client's own credential, passed on to the provider."""

import re

from proxy.errors import Unauthenticated
from proxy.exchange import RawRequest
from proxy.headers import credential
from proxy.token import Token

_VISIBLE = re.compile(r"[!-~]+")


class Client(Token):
    """The client's own credential, passed on in the provider's own header: `"client"`. A client
    without one is refused with 401.

    The first of ``Authorization: Bearer``, ``x-api-key``, ``api-key``, ``x-goog-api-key`` and
    ``?key=``; what stands in ``x-llm-proxy-key`` is meant for this proxy, and goes nowhere.
    """

    ours = False

    def credential(self, request: RawRequest) -> str:
        found = credential(request.headers, request.query, ours=False)
        if found is None:
            raise Unauthenticated("the request has no credential to pass on to the provider")
        # In a query it may be anything.
        if _VISIBLE.fullmatch(found) is None:
            raise Unauthenticated("the request's credential has characters that none can have")
        return found
