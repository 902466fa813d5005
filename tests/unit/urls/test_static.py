"""One base URL."""

import pytest

from proxy.errors import ConnectFailed
from proxy.exchange import Outcome
from proxy.url import parse_address
from proxy.urls.static import Static
from tests.unit.conftest import exchange_of, static


def test_the_same_address_is_picked_however_it_fared() -> None:
    url, exchange = static("http://a:8000/v1"), exchange_of()
    address = url.pick(exchange)
    url.report(address, Outcome(error=ConnectFailed("no")))

    assert url.pick(exchange) is address
    assert url.again(exchange, [address]) is None
    assert url.addresses() == (parse_address("http://a:8000/v1"),)
    assert str(url) == "http://a:8000/v1"


def test_what_is_missing_in_it_is_filled_in() -> None:
    url = Static(url="https://{region}.example/v1")
    url.resolve(lambda text: text.replace("{region}", "eu"))

    assert [str(address) for address in url.addresses()] == ["https://eu.example/v1"]
    assert str(url) == "https://{region}.example/v1"


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is not an HTTP URL"):
        static("a:8000")
