"""One credential that never changes while the configuration stands."""

from proxy.errors import ProxyError
from proxy.token import Token


class Static(Token):
    """What ``token = "env:NAME"`` becomes."""

    def use(self, value: str) -> "Static":
        """Hold `value`; kept out of the fields, so that it is in no repr."""
        self._value = value
        return self

    def pick(self) -> str:
        return self._value

    def report(self, token: str, error: ProxyError | None) -> None:
        pass
