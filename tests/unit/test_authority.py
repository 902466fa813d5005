"""What may stand in an address."""

import pytest

from proxy.authority import check_socket_path, is_host, is_ipv6, parse_authority


@pytest.mark.parametrize(
    ("host", "host_or_ipv4", "ipv6"),
    [
        ("localhost", True, False),
        ("proxy-1.internal.", True, False),
        ("a_b", True, False),
        ("127.0.0.1", True, False),
        ("256.0.0.1", False, False),
        ("127.1", False, False),
        ("::1", False, True),
        ("::x", False, False),
        ("-a", False, False),
        ("a..b", False, False),
        ("a b", False, False),
        ("a" * 64, False, False),
        (".".join(["a" * 60] * 5), False, False),
        ("", False, False),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, host_or_ipv4: bool, ipv6: bool) -> None:
    assert is_host(host) is host_or_ipv4
    assert is_ipv6(host) is ipv6


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("A.Example", "a.example", None),
        ("a:1", "a", 1),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::1]", "::1", None),
        ("[::A]:80", "::a", 80),
    ],
)
def test_an_authority_is_a_host_and_sometimes_a_port(
    text: str, host: str, port: int | None
) -> None:
    assert parse_authority(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "its host is missing or not one"),
        (":80", "its host is missing or not one"),
        ("::1", "its host is missing or not one"),
        ("a:", "its host is missing or not one"),
        ("a:http", "its host is missing or not one"),
        ("canary@a", "its host is missing or not one"),
        ("a:0", "its port is not one of 1 to 65535"),
        ("a:65536", "its port is not one of 1 to 65535"),
    ],
)
def test_what_is_no_authority_is_told_without_repeating_it(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        parse_authority(text)

    assert "canary" not in str(raised.value)


def test_a_socket_has_an_absolute_path_that_the_kernel_takes() -> None:
    check_socket_path("/run/vllm.sock")
    check_socket_path("/" + "x" * 106)
    for path in ("", "x", "/", "/run/", "/a\nb"):
        with pytest.raises(ValueError, match="is absolute, and ends in a name"):
            check_socket_path(path)
    for path in ("/" + "x" * 107, "/" + "ä" * 60):
        with pytest.raises(ValueError, match="has at most 107 bytes"):
            check_socket_path(path)
