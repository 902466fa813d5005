"""What can go wrong, whose fault it is, and what may still be done about it.

::

    ProxyError
      ClientError     BadJSON BadRequest Unsupported TooLong TooLarge ClientTimeout ClientLeft
      PolicyError     Unauthenticated Forbidden Blocked Overloaded
      ProviderError   ConnectFailed ProviderBroke BadResponse ProviderTimeout ProviderRefused
                      ProviderRateLimited ProviderOverloaded BadCredentials
      InternalError   NoRoute Draining ProcessorFailed
    ConfigError       before the first request only

Raised anywhere; renamed from a library's errors only at the edges; turned into bytes only in
``pipeline.fail``; tried again only in ``client``; counted and logged only by observers.
``str(error)`` is fit for clients; ``__cause__`` is for the log.
"""

from collections.abc import Mapping
from typing import Self


class ProxyError(Exception):
    """An error with a code of the closed public list, fit to be shown to a client.

    `param` names the field of the request at fault; `headers` go with the answer.
    """

    code = "proxy.internal"
    status = 500
    retry = False
    """Whether another target may succeed where this one did not."""
    request_id = ""
    """Of the exchange that it ended, for the dialects whose errors tell it."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.headers = headers
        if status is not None:
            self.status = status

    def because(self, cause: BaseException | None) -> Self:
        """The same error, with what caused it."""
        self.__cause__ = cause
        return self

    @property
    def fault(self) -> str:
        """Whose fault it is: client, policy, provider or proxy."""
        return self.code.partition(".")[0]


class ClientError(ProxyError):
    """The client asked for what cannot be, or asked badly."""

    code = "client.bad_request"
    status = 400


class BadJSON(ClientError):
    """The body is not one JSON value in UTF-8."""

    code = "client.bad_json"


class BadRequest(ClientError):
    """The body is JSON, or the head is HTTP, but a field of it is wrong."""


class Unsupported(ClientError):
    """The method, the encoding or the feature is not one that this endpoint takes."""

    code = "client.unsupported"


class TooLong(ClientError):
    """The provider said that the input exceeds the model's context."""

    code = "client.too_long"


class TooLarge(ClientError):
    """The head or the body is over its size limit."""

    code = "client.too_large"
    status = 413


class ClientTimeout(ClientError):
    """The client was too slow to send its request, or to take its answer."""

    code = "client.timeout"
    status = 408


class ClientLeft(ClientError):
    """The client closed its connection; nothing can be sent, 499 is for the log."""

    code = "client.left"
    status = 499


class PolicyError(ProxyError):
    """The proxy may not, or will not, do this for this client."""

    code = "policy.forbidden"
    status = 403


class Unauthenticated(PolicyError):
    """The client did not say who it is, where that has to be known."""

    code = "policy.unauthenticated"
    status = 401


class Forbidden(PolicyError):
    """This client may not ask for that."""


class Blocked(PolicyError):
    """A processor refuses the content."""

    code = "policy.blocked"
    status = 400


class Overloaded(PolicyError):
    """The proxy has no room for the request."""

    code = "policy.overloaded"
    status = 503


class ProviderError(ProxyError):
    """The provider did not do its part."""

    code = "provider.broke"
    status = 502


class ConnectFailed(ProviderError):
    """No connection to the provider could be made: it has not seen the request."""

    code = "provider.connect"
    retry = True


class ProviderBroke(ProviderError):
    """The provider's connection broke before its response was whole."""


class BadResponse(ProviderError):
    """What the provider sent is not a response that its dialect knows."""

    code = "provider.bad_response"


class ProviderTimeout(ProviderError):
    """The provider was silent for longer than a timer allows."""

    code = "provider.timeout"
    status = 504


class ProviderRefused(ProviderError):
    """The provider answered a 4xx of its own; its status and words are kept."""

    code = "provider.refused"
    status = 400


class ProviderRateLimited(ProviderError):
    """The provider answered 429."""

    code = "provider.rate_limited"
    status = 429


class ProviderOverloaded(ProviderError):
    """The provider answered 503 or 529."""

    code = "provider.overloaded"
    status = 503


class BadCredentials(ProviderError):
    """The provider refused the token that this proxy is configured with."""

    code = "provider.credentials"


class InternalError(ProxyError):
    """A fault of the proxy itself."""


class NoRoute(InternalError):
    """No route of the configuration takes this path and model."""

    code = "proxy.no_route"
    status = 404


class Draining(InternalError):
    """The proxy is shutting down and ends what is still running."""

    code = "proxy.draining"
    status = 503


class ProcessorFailed(InternalError):
    """A processor raised something that is not a ProxyError."""

    code = "proxy.processor"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has a line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
