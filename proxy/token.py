"""A token: an upstream credential, picked for each request and told how it fared."""

from abc import abstractmethod

from proxy.component import Component
from proxy.errors import ProxyError


class Token(Component):
    """The contract. Members live in ``tokens/``."""

    @abstractmethod
    def pick(self) -> str:
        """The credential to use now; never waits. Raises BadCredentials if there is none."""

    @abstractmethod
    def report(self, token: str, error: ProxyError | None) -> None:
        """How the request fared that was sent with `token`."""
