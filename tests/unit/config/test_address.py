import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.address import ListenAddress, parse_listen


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", ListenAddress("127.0.0.1", 8080), True),
        ("127.8.9.1:1", ListenAddress("127.8.9.1", 1), True),
        ("localhost:0", ListenAddress("localhost", 0), True),
        ("[::1]:65535", ListenAddress("::1", 65535), True),
        ("unix:/run/llm-proxy.sock", ListenAddress(path="/run/llm-proxy.sock"), True),
        ("fd:3", ListenAddress(fd=3), True),
        ("fd:12", ListenAddress(fd=12), True),
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
        ("", 'expected "HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N", not ""'),
        ("8080", 'expected "HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N", not "8080"'),
        ("127.0.0.1", 'expected "HOST:PORT"'),
        ("127.0.0.1:", 'expected "HOST:PORT"'),
        ("127.0.0.1:http", 'expected "HOST:PORT"'),
        ("127.0.0.1:-1", 'expected "HOST:PORT"'),
        ("127.0.0.1:٣", 'expected "HOST:PORT"'),
        ("127.0.0.1:65536", "a port is at most 65535, not 65536"),
        ("::1:8080", 'expected "HOST:PORT"'),
        ("[127.0.0.1]:80", '"127.0.0.1" is not an IPv6 address'),
        ("[::x]:80", '"::x" is not an IPv6 address'),
        (":8080", "no host (expected "),
        (":8080", '"fd:N"; did you mean "127.0.0.1:8080"?)'),
        ("*:8080", '"*" is not a host'),
        ("256.0.0.1:80", '"256.0.0.1" is not a host'),
        ("127.1:80", '"127.1" is not a host'),
        ("a b:80", '"a b" is not a host'),
        ("-a:80", '"-a" is not a host'),
        ("http://127.0.0.1:80", 'expected "HOST:PORT"'),
        ("fd:", '"fd:N" (N a descriptor from 3 on), not "fd:"'),
        ("fd:2", "N a descriptor from 3 on"),
        ("fd:03", "N a descriptor from 3 on"),
        ("fd:-3", "N a descriptor from 3 on"),
        ("unix:", "the path of a unix socket is absolute"),
        ("unix:relative", "the path of a unix socket is absolute"),
        ("unix:/a\nb", "the path of a unix socket is absolute"),
        ("unix:/dir/", "the path of a unix socket is absolute, and ends in a name"),
        (f"unix:/{'ä' * 60}", "the path of a unix socket has at most 107 bytes"),
    ],
)
def test_what_is_no_address_is_told_what_one_is(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_listen(text)

    assert problem in str(raised.value)


@given(st.text("[]:.%unix/a10", max_size=20) | st.text(max_size=12))
def test_an_address_that_is_read_is_read_again_from_its_spelling(text: str) -> None:
    try:
        address = parse_listen(text)
    except ValueError:
        return

    assert parse_listen(str(address)) == address
