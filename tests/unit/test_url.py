"""Base URLs, taken apart."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
        ("http://A.Example:8000/V1", ("http", "a.example", 8000), b"a.example:8000", b"/V1"),
        ("http://[::1]:8000/v1", ("http", "::1", 8000), b"[::1]:8000", b"/v1"),
        ("http://[::1]/v1", ("http", "::1", 80), b"[::1]", b"/v1"),
        (
            "https://xn--bcher-kva.example:443/a%20b/c",
            ("https", "xn--bcher-kva.example", 443),
            b"xn--bcher-kva.example",
            b"/a%20b/c",
        ),
        ("unix:/run/vllm.sock", ("http", "localhost", 0, "/run/vllm.sock"), b"localhost", b""),
        ("unix:/run/x.sock:/v1/", ("http", "localhost", 0, "/run/x.sock"), b"localhost", b"/v1"),
        ("unix:/x:/a:b", ("http", "localhost", 0, "/x"), b"localhost", b"/a:b"),
    ],
)
def test_a_base_url_says_where_to_connect_and_what_to_ask(
    url: str, origin: tuple[str, str, int], host: bytes, prefix: bytes
) -> None:
    address = parse_address(url)

    assert address.origin == Origin(*origin)
    assert (address.host, address.prefix) == (host, prefix)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "a URL has no spaces"),
        ("api.openai.com/v1", 'is not an HTTP URL (expected "https://HOST/PATH"'),
        ("ftp://x/v1", "is not an HTTP URL"),
        ("HTTP://x/v1", "is not an HTTP URL"),
        ("http:/x/v1", "is not an HTTP URL"),
        ("http://", "its host is missing or not one"),
        ("http:///v1", "its host is missing or not one"),
        ("http://:80/v1", "its host is missing or not one"),
        ("http://a_b..c/v1", "its host is missing or not one"),
        ("http://300.1.1.1/", "its host is missing or not one"),
        ("http://[::1/v1", "its host is missing or not one"),
        ("http://[::1]x:80/v1", "its host is missing or not one"),
        ("http://[127.0.0.1]/v1", "its host is missing or not one"),
        ("http://x:/v1", "its host is missing or not one"),
        ("http://x:0/v1", "its port is not one of 1 to 65535"),
        ("http://x:65536/v1", "its port is not one of 1 to 65535"),
        ("http://x/a b", "a URL has no spaces"),
        ("http://x/\r\nhost: y", "a URL has no spaces"),
        ("http://x\\@y/", "a URL has no spaces"),
        ("http://bücher.example/", "a URL has no spaces"),
        ("https://user:canary@x/v1", "a URL with credentials is a secret"),
        ("https://canary@x/v1", "a URL with credentials is a secret"),
        ("https://user:ca/nary@x/v1", "its host is missing or not one"),
        ("https://x/v1?key=canary", "a base URL has neither query nor fragment"),
        ("https://x?canary", "a base URL has neither query nor fragment"),
        ("https://x/v1#canary", "a base URL has neither query nor fragment"),
        ("https://x/v1?", "a base URL has neither query nor fragment"),
        ("unix:", "the path of a unix socket is absolute"),
        ("unix:run/x", "the path of a unix socket is absolute"),
        ("unix:/run/", "the path of a unix socket is absolute, and ends in a name"),
        ("unix:///run/x?q", 'a unix socket\'s URL is "unix:/SOCKET"'),
        ("unix:/run/x:v1", 'a unix socket\'s URL is "unix:/SOCKET"'),
        ("unix:/run/x:/v1?canary", 'a unix socket\'s URL is "unix:/SOCKET"'),
        (f"unix:/{'x' * 107}", "the path of a unix socket has at most 107 bytes"),
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_address(url)

    assert str(raised.value).startswith(problem)
    assert "canary" not in str(raised.value)


@example("http://a/:")
@example("unix:/a:/:")
@given(
    st.text("htps:/[]@?#.%ax1\\ ", max_size=24).map("http://".__add__)
    | st.text("unix:/a.?# ", max_size=16)
)
def test_an_address_that_is_read_is_read_again_from_its_spelling(url: str) -> None:
    try:
        address = parse_address(url)
    except ValueError:
        return

    assert parse_address(str(address)) == address
