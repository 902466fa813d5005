"""The HTTP proxy to a provider: its URL, taken apart when it is needed."""

import pytest

from proxy.tokens.static import Literal
from proxy.via import ProxyUrl, Via, parse_proxy
from tests.unit.conftest import key


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://proxy.internal:3128", ("http", "proxy.internal", 3128, None, "")),
        ("http://Proxy/", ("http", "proxy", 80, None, "")),
        ("https://proxy", ("https", "proxy", 443, None, "")),
        ("http://[::1]:3128", ("http", "::1", 3128, None, "")),
        ("http://me:p%40ss:w%2Frd@proxy:1", ("http", "proxy", 1, "me", "p@ss:w/rd")),
        ("http://me@proxy", ("http", "proxy", 80, "me", "")),
        ("http://:p@proxy", ("http", "proxy", 80, "", "p")),
    ],
)
def test_a_proxy_has_a_host_a_port_and_sometimes_a_password(
    url: str, parsed: tuple[str, str, int, str | None, str]
) -> None:
    assert parse_proxy(url) == ProxyUrl(*parsed)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "is not the URL of an HTTP proxy"),
        ("proxy:3128", "is not the URL of an HTTP proxy"),
        ("socks5://canary@proxy", "is not the URL of an HTTP proxy"),
        ("http://me:canary@proxy/path", "is not the URL of an HTTP proxy"),
        ("http://me:can@ary@proxy", "is not the URL of an HTTP proxy"),
        ("http://me:canary@proxy?x", "is not the URL of an HTTP proxy"),
        ("http://me:canary@", "its host is missing or not one"),
        ("http://me:canary@a b", "its host is missing or not one"),
        ("http://me:canary@proxy:0", "its port is not one of 1 to 65535"),
    ],
)
def test_what_is_no_proxy_is_told_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        parse_proxy(url)

    assert "canary" not in str(raised.value)


def test_where_it_is_is_asked_each_time() -> None:
    secret = Literal.from_text("http://one")
    secret.resolve({}, "")
    via = Via(secret.reveal)
    assert via.url().host == "one"
    secret.hold(key("http://two")._secret)
    assert via.url().host == "two"


def test_two_that_ask_the_same_are_the_same() -> None:
    one, other = Literal.from_text("x"), Literal.from_text("x")

    assert Via(one.reveal) == Via(one.reveal)
    assert hash(Via(one.reveal)) == hash(Via(one.reveal))
    assert Via(one.reveal) != Via(other.reveal)
    assert Via(one.reveal) != one


def test_nothing_of_it_is_shown() -> None:
    assert "canary" not in repr(Via(Literal.from_text("http://me:canary@proxy").reveal))
