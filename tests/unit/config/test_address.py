import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.address import ListenAddress, check_url, parse_listen


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", ListenAddress("127.0.0.1", 8080), True),
        ("127.8.9.1:1", ListenAddress("127.8.9.1", 1), True),
        ("localhost:0", ListenAddress("localhost", 0), True),
        ("[::1]:65535", ListenAddress("::1", 65535), True),
        ("unix:/run/llm-proxy.sock", ListenAddress(path="/run/llm-proxy.sock"), True),
        ("0.0.0.0:8080", ListenAddress("0.0.0.0", 8080), False),
        ("[::]:8080", ListenAddress("::", 8080), False),
        ("[fe80::1%eth0]:80", ListenAddress("fe80::1%eth0", 80), False),
        ("10.0.0.1:80", ListenAddress("10.0.0.1", 80), False),
        ("proxy-1.internal:80", ListenAddress("proxy-1.internal", 80), False),
    ],
)
def test_an_address_is_read_and_spelled_alike(
    text: str, address: ListenAddress, loopback: bool
) -> None:
    assert parse_listen(text) == address
    assert str(address) == text
    assert address.loopback is loopback


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'expected "HOST:PORT", "[V6]:PORT" or "unix:/path", not ""'),
        ("8080", 'expected "HOST:PORT", "[V6]:PORT" or "unix:/path", not "8080"'),
        ("127.0.0.1", 'expected "HOST:PORT"'),
        ("127.0.0.1:", 'expected "HOST:PORT"'),
        ("127.0.0.1:http", 'expected "HOST:PORT"'),
        ("127.0.0.1:-1", 'expected "HOST:PORT"'),
        ("127.0.0.1:٣", 'expected "HOST:PORT"'),
        ("127.0.0.1:65536", "a port is at most 65535, not 65536"),
        ("::1:8080", 'expected "HOST:PORT"'),
        ("[127.0.0.1]:80", '"127.0.0.1" is not an IPv6 address'),
        ("[::x]:80", '"::x" is not an IPv6 address'),
        (":8080", 'no host (expected "HOST:PORT", "[V6]:PORT" or "unix:/path"; did you mean "127'),
        ("*:8080", '"*" is not a host'),
        ("256.0.0.1:80", '"256.0.0.1" is not a host'),
        ("127.1:80", '"127.1" is not a host'),
        ("a b:80", '"a b" is not a host'),
        ("-a:80", '"-a" is not a host'),
        ("http://127.0.0.1:80", 'expected "HOST:PORT"'),
        ("unix:", 'expected "HOST:PORT", "[V6]:PORT" or "unix:/path" (the path absolute)'),
        ("unix:relative", 'expected "HOST:PORT", "[V6]:PORT" or "unix:/path" (the path absolute)'),
        ("unix:/a\nb", 'expected "HOST:PORT"'),
        ("unix:/dir/", 'expected "HOST:PORT"'),
        (f"unix:/{'ä' * 60}", "the path of a unix socket has at most 107 bytes"),
    ],
)
def test_what_is_no_address_is_told_what_one_is(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_listen(text)

    assert str(raised.value).startswith(problem)


@given(st.text("[]:.%unix/a10", max_size=20) | st.text(max_size=12))
def test_an_address_that_is_read_is_read_again_from_its_spelling(text: str) -> None:
    try:
        address = parse_listen(text)
    except ValueError:
        return

    assert parse_listen(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1:8000/v1/",
        "http://localhost",
        "http://[::1]:8000/v1",
        "https://xn--bcher-kva.example:443/a%20b/c",
        "http://vllm.default.svc.cluster.local:8000",
    ],
)
def test_a_base_url_has_a_scheme_and_a_host(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "a URL has no spaces"),
        ("api.openai.com/v1", 'is not an HTTP URL (expected "https://HOST/PATH"'),
        ("ftp://x/v1", "is not an HTTP URL"),
        ("HTTP://x/v1", "is not an HTTP URL"),
        ("http:/x/v1", "is not an HTTP URL"),
        ("unix:/run/x", "is not an HTTP URL"),
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
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        check_url(url)

    assert str(raised.value).startswith(problem)
    assert "canary" not in str(raised.value)
