"""One base URL."""

from proxy.errors import ProxyError
from proxy.url import Address, Url, parse_address


class Static(Url):
    """What ``url = "https://…"`` becomes."""

    url: str

    def __post_init__(self) -> None:
        self._address = parse_address(self.url)

    def pick(self) -> Address:
        return self._address

    def report(self, address: Address, error: ProxyError | None) -> None:
        pass
