"""Base URLs, taken apart."""

import pytest

from proxy.exchange import Origin
from proxy.url import parse_address


@pytest.mark.parametrize(
    ("url", "origin", "host", "prefix"),
    [
        ("https://api.openai.com/v1", ("https", "api.openai.com", 443), b"api.openai.com", b"/v1"),
        ("https://a:443/", ("https", "a", 443), b"a", b""),
        ("http://a", ("http", "a", 80), b"a", b""),
        ("http://a:80/x/v1/", ("http", "a", 80), b"a", b"/x/v1"),
        ("http://a:443/v1", ("http", "a", 443), b"a:443", b"/v1"),
        ("https://a:80", ("https", "a", 80), b"a:80", b""),
        ("HTTP://A.Example:8000/V1", ("http", "a.example", 8000), b"a.example:8000", b"/V1"),
        ("http://[::1]:8000/v1", ("http", "::1", 8000), b"[::1]:8000", b"/v1"),
        ("http://[::1]/v1", ("http", "::1", 80), b"[::1]", b"/v1"),
    ],
)
def test_a_base_url_says_where_to_connect_and_what_to_ask(
    url: str, origin: tuple[str, str, int], host: bytes, prefix: bytes
) -> None:
    address = parse_address(url)

    assert address.origin == Origin(*origin)
    assert (address.host, address.prefix) == (host, prefix)


@pytest.mark.parametrize("url", ["", "api.openai.com/v1", "ftp://a", "http:///v1", "http://:80"])
def test_what_is_no_base_url_is_told_what_one_is(url: str) -> None:
    with pytest.raises(ValueError, match=r'expected a base URL such as "https://api'):
        parse_address(url)


@pytest.mark.parametrize("url", ["http://a/?q", "http://a/#f", "http://u@a", "http://:p@a"])
def test_a_base_url_holds_neither_query_nor_credentials(url: str) -> None:
    with pytest.raises(ValueError, match="has no query, fragment, user or password"):
        parse_address(url)
