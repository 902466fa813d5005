"""Presets, and what a provider makes of a client's request."""

import re

import msgspec
import pytest

from proxy.provider import presets
from proxy.url import parse_address
from tests.unit.conftest import NO_TIMEOUTS, Request, provider


def test_the_presets_are_read_once() -> None:
    assert presets() is presets()


def test_there_is_a_preset_for_each_provider_of_this_version() -> None:
    assert set(presets()) == {"openai", "openai_compatible", "vllm", "ollama", "mock"}


def test_openai_needs_nothing_but_its_variable() -> None:
    openai = presets()["openai"]

    assert openai.url == "https://api.openai.com/v1"
    assert openai.token_env == "OPENAI_API_KEY"
    assert openai.stream_usage


def test_a_server_of_ones_own_needs_a_url_and_no_token() -> None:
    for name in ("openai_compatible", "vllm"):
        assert presets()[name].url is None
        assert presets()[name].token_env is None
    assert presets()["ollama"].url == "http://127.0.0.1:11434/v1"


def test_only_servers_that_may_not_take_stream_options_are_spared_them() -> None:
    assert [name for name, preset in presets().items() if not preset.stream_usage] == [
        "openai_compatible"
    ]


def test_every_auth_header_has_a_place_for_the_token() -> None:
    for preset in presets().values():
        if preset.auth is not None:
            assert re.fullmatch(r"[a-z-]+: [A-Za-z ]*\{token\}", preset.auth)
    assert presets()["mock"].auth is None


ADDRESS = parse_address("http://a:8000/v1")
HEADERS = [
    ("Host", "proxy"),
    ("Authorization", "Bearer of-the-client"),
    ("X-Api-Key", "of-the-client"),
    ("Content-Type", "application/json"),
    ("Content-Encoding", "gzip"),
    ("Accept-Encoding", "gzip"),
    ("Content-Length", "2"),
    ("X-Mine", "1"),
]


def test_a_request_goes_to_its_address_with_the_proxys_token() -> None:
    address = parse_address("https://a/base/v1")
    timeouts = msgspec.structs.replace(NO_TIMEOUTS, connect=5.0)
    request = Request(headers=HEADERS)
    final = provider().final(request, address, "sk-1", timeouts, b'{"a":1}')

    assert final.head == (
        b"POST /base/v1/chat/completions HTTP/1.1\r\nhost: a\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nContent-Type: application/json\r\n"
    )
    assert (final.method, final.origin, final.timeouts) == ("POST", address.origin, timeouts)
    assert (final.body, final.length) == (b'{"a":1}', 7)


def test_without_a_token_nobody_is_authenticated() -> None:
    request = Request(headers=HEADERS)
    for who in (provider(auth=None), provider()):
        assert who.final(request, ADDRESS, None, NO_TIMEOUTS, b"").head == (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\n"
            b"accept-encoding: identity\r\nContent-Type: application/json\r\n"
        )


def test_the_token_goes_where_the_provider_wants_it() -> None:
    made = provider(auth="x-api-key: {token}").final(Request(), ADDRESS, "k", NO_TIMEOUTS, b"")

    assert b"\r\nx-api-key: k\r\n" in made.head


def test_a_provider_may_get_more_of_its_clients_fields() -> None:
    request = Request(headers=[*HEADERS, ("Connection", "x-other"), ("X-Other", "2")])
    head = (
        provider(auth=None, forward=("x-*",)).final(request, ADDRESS, None, NO_TIMEOUTS, b"").head
    )

    assert b"X-Mine: 1\r\n" in head
    assert b"X-Other" not in head


def test_what_each_provider_gets_of_a_clients_fields_is_known_for_the_next_request() -> None:
    one, two = provider("one"), provider("two", forward=("x-mine",))
    first, second = Request(headers=HEADERS), Request(headers=HEADERS)
    for who in (one, two):
        who.final(first, ADDRESS, None, NO_TIMEOUTS, b"")
    second.forwarded = first.forwarded
    second.raw_headers = ()

    assert b"X-Mine" not in one.final(second, ADDRESS, None, NO_TIMEOUTS, b"").head
    assert b"X-Mine: 1\r\n" in two.final(second, ADDRESS, None, NO_TIMEOUTS, b"").head


def test_each_address_and_path_has_its_own_head() -> None:
    mine = provider(auth=None)
    lines = [
        mine.final(Request(path=path), parse_address(url), None, NO_TIMEOUTS, b"").head.split(b" ")
        for url in ("http://a/v1", "http://b/x")
        for path in ("/v1/embeddings", "/v1/completions", "/v1/embeddings")
    ]

    assert [line[1] for line in lines] == [
        *(b"/v1/embeddings", b"/v1/completions", b"/v1/embeddings"),
        *(b"/x/embeddings", b"/x/completions", b"/x/embeddings"),
    ]


@pytest.mark.parametrize(
    ("url", "path", "query", "target"),
    [
        ("http://a/v1", "/v1/files", "", b"/v1/files"),
        ("http://a", "/v1/files", "", b"/files"),
        ("http://a/x", "/v1/files/f%20-1", "limit=2&a=%26", b"/x/files/f%20-1?limit=2&a=%26"),
        ("http://a/x", "/health", "", b"/x/health"),
        ("http://a", "/v1beta/models", "", b"/v1beta/models"),
        ("http://a", "/v1", "", b"/"),
        ("http://a/v1", "/v1", "", b"/v1"),
        ("http://a", "/v1/", "", b"/"),
        ("http://a/v1", "/v1/v1/x", "", b"/v1/v1/x"),
        ("http://a/x", "/v1/m", "key=secret", b"/x/m"),
        ("http://a/x", "/v1/m", "alt=sse&key=secret&b=c", b"/x/m?alt=sse&b=c"),
        ("http://a/x", "/v1/m", "monkey=1&key=", b"/x/m?monkey=1"),
    ],
)
def test_a_path_that_passes_through_keeps_its_query_but_for_a_credential(
    url: str, path: str, query: str, target: bytes
) -> None:
    request = Request(method="GET", path=path, query=query)
    final = provider(auth=None).passed(request, parse_address(url), None, NO_TIMEOUTS, b"")

    assert final.head.split(b"\r\n")[0] == b"GET %b HTTP/1.1" % target
    assert final.method == "GET"


def test_a_body_that_passes_through_keeps_what_describes_it() -> None:
    request = Request(b"12", headers=[*HEADERS, ("Range", "bytes=0-"), ("If-None-Match", "x")])
    chunks = request.chunks()
    final = provider().passed(request, ADDRESS, "sk-1", NO_TIMEOUTS, chunks)

    assert final.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: gzip\r\nRange: bytes=0-\r\nIf-None-Match: x\r\n"
    )
    assert final.body is chunks
    assert final.length == 2


def test_a_provider_is_shown_by_its_name_alone() -> None:
    assert repr(provider()) == "<Provider mine>"
