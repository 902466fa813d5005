"""One base URL."""

import msgspec
import pytest

from proxy.errors import ConnectFailed
from proxy.url import parse_address
from proxy.urls.static import Static


def test_the_same_address_is_picked_however_it_fared() -> None:
    url = msgspec.convert({"url": "http://a:8000/v1"}, Static)
    url.report(url.pick(), ConnectFailed("no"))

    assert url.pick() == parse_address("http://a:8000/v1")


def test_a_url_that_is_none_is_refused_at_load() -> None:
    with pytest.raises(msgspec.ValidationError, match="expected a base URL"):
        msgspec.convert({"url": "a:8000"}, Static)
