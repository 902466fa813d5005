"""Which header fields pass in either direction, and which ids are sane."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from multidict import CIMultiDict

from proxy.headers import (
    CREDENTIALS,
    HOP_BY_HOP,
    NEVER_FORWARDED,
    STREAM_FIELDS,
    Forwarding,
    credential,
    line,
    request_id,
    retry_after,
    returned,
)


@pytest.mark.parametrize("asked", ["a", "9-x", "req_1.2:3/4+5=6@7", "x" * 128])
def test_a_sane_id_is_kept(asked: str) -> None:
    assert request_id(asked) == asked


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "x" * 129,
        "-a",
        ".a",
        "a b",
        "a\n",
        'a"',
        "a\\b",
        "é",
        "a,b",
        "a;b",
        "<a>",
        "a\x00",
    ],
)
def test_any_other_is_replaced_by_one_of_ours(asked: str | None) -> None:
    one, two = request_id(asked), request_id(asked)

    assert one != two
    for made in (one, two):
        assert len(made) == 32
        assert set(made) <= set("0123456789abcdef")


def test_a_provider_gets_what_is_meant_for_it_as_it_was_spelled() -> None:
    fields = (
        (b"Host", b"proxy"),
        (b"Accept", b"*/*"),
        (b"Content-Type", b"application/json"),
        (b"OPENAI-Organization", b"org"),
        (b"x-stainless-retry-count", b"0"),
        (b"X-Other", b"1"),
        (b"anthropic-beta", b"a"),
        (b"anthropic-beta", b"b\xff"),
        (b"TraceParent", b"00-1"),
    )

    assert Forwarding().block(fields) == (
        b"Accept: */*\r\nContent-Type: application/json\r\nOPENAI-Organization: org\r\n"
        b"x-stainless-retry-count: 0\r\nanthropic-beta: a\r\nanthropic-beta: b\xff\r\n"
        b"TraceParent: 00-1\r\n"
    )


def test_a_configuration_adds_names_and_globs_in_any_case() -> None:
    forwarding = Forwarding(("X-Mine", "x-mock-*"))
    fields = ((b"x-mine", b"1"), (b"X-MOCK-TTFT", b"2"), (b"x-mine-not", b"3"))

    assert forwarding.block(fields) == b"x-mine: 1\r\nX-MOCK-TTFT: 2\r\n"
    assert Forwarding().block(fields) == b""


@pytest.mark.parametrize("name", sorted(NEVER_FORWARDED))
def test_what_frames_or_authenticates_a_request_never_passes(name: bytes) -> None:
    forwarding = Forwarding(("*",))

    assert forwarding.block(((name.title(), b"x"), (b"x-a", b"1"))) == b"x-a: 1\r\n"


def test_a_credential_of_any_spelling_is_among_them() -> None:
    names = {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"}

    assert names | {b"x-llm-proxy-key"} == CREDENTIALS
    assert CREDENTIALS | HOP_BY_HOP < NEVER_FORWARDED


@pytest.mark.parametrize(
    ("connection", "block"),
    [
        (None, b"Accept: a\r\nx-stainless-os: b\r\n"),
        ("keep-alive", b"Accept: a\r\nx-stainless-os: b\r\n"),
        ("Close", b"Accept: a\r\nx-stainless-os: b\r\n"),
        ("close, X-Stainless-OS", b"Accept: a\r\n"),
        ("x-stainless-os,ACCEPT", b""),
    ],
)
def test_what_a_connection_field_names_was_meant_for_us_alone(
    connection: str | None, block: bytes
) -> None:
    fields = ((b"Accept", b"a"), (b"Connection", b"?"), (b"x-stainless-os", b"b"))

    assert Forwarding().block(fields, connection) == block


def test_a_caller_may_let_further_fields_pass() -> None:
    fields = (
        *((b"Range", b"bytes=0-"), (b"Content-Encoding", b"gzip"), (b"Accept", b"a")),
        (b"Cookie", b"c"),
    )
    also = frozenset({b"range", b"content-encoding"})

    assert Forwarding().block(fields, also=also) == (
        b"Range: bytes=0-\r\nContent-Encoding: gzip\r\nAccept: a\r\n"
    )
    assert Forwarding().block(fields, "range", also=also) == (
        b"Content-Encoding: gzip\r\nAccept: a\r\n"
    )


def test_however_many_names_came_before_each_is_decided_alike() -> None:
    forwarding = Forwarding()
    for number in range(5000):
        forwarding.block(((b"x-%d" % number, b"1"), (b"openai-%d" % number, b"2")))

    assert forwarding.block(((b"x-9999", b"1"), (b"openai-9999", b"2"))) == b"openai-9999: 2\r\n"
    assert len(forwarding._decisions.known) < 2000


def test_a_client_gets_the_providers_fields_but_those_of_its_connection() -> None:
    fields = [
        (b"content-type", b"a"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"content-length", b"1"),
        (b"set-cookie", b"__cf_bm=x"),
        (b"strict-transport-security", b"max-age=1"),
        (b"alt-svc", b"h3"),
        (b"x-request-id", b"req_1"),
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"retry-after", b"1"),
        (b"retry-after", b"2"),
        (b"x-llm-proxy-route", b"forged"),
    ]

    assert returned(fields, _lines(fields), dict(fields)) == [
        b"Content-Type:  a",
        b"X-Request-Id:  req_1",
        b"X-Ratelimit-Remaining-Tokens:  7",
        b"Retry-After:  1",
        b"Retry-After:  2",
    ]


def _lines(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The lines of a provider that spells its fields in a way of its own."""
    return [b"%b:  %b" % (name.title(), value) for name, value in fields]


def test_a_client_does_not_get_what_was_named_to_be_ours_or_dropped() -> None:
    fields = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]

    lines = _lines(fields)

    def kept(connection: bytes, *drop: bytes) -> list[bytes]:
        said = [*fields, (b"connection", connection)]
        return returned(said, _lines(said), dict(said), drop=frozenset(drop))

    for _ in range(2):  # it is remembered what the same names came to
        assert kept(b"X-A, close", b"x-b") == [b"X-C:  3"]
        assert kept(b"close", b"x-b") == [b"X-A:  1", b"X-C:  3"]
        assert kept(b"keep-alive") == kept(b"close") == lines
        assert kept(b"x-b, x-c") == [b"X-A:  1"]
        assert returned(fields, lines, dict(fields)) == lines


def test_what_stands_twice_is_not_taken_for_what_stood_once() -> None:
    once = [(b"x-once", b"1"), (b"set-cookie", b"2"), (b"x-more", b"3")]
    twice = [once[0], once[0], *once[1:]]

    assert returned(once, _lines(once), dict(once)) == [b"X-Once:  1", b"X-More:  3"]
    assert returned(twice, _lines(twice), dict(twice)) == [
        b"X-Once:  1",
        b"X-Once:  1",
        b"X-More:  3",
    ]


def test_a_line_of_ours_is_one_field() -> None:
    assert line("retry-after", "1") == b"retry-after: 1\r\n"
    assert line("x-a", "é\t€") == b"x-a: \xe9\t?\r\n"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "\r", "a\x00", "\x7f"])
def test_a_line_that_would_be_two_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="x-a holds a control character"):
        line("x-a", value)


def test_the_fields_of_a_stream_are_whole_lines() -> None:
    assert STREAM_FIELDS.split(b"\r\n") == [
        b"cache-control: no-cache, no-transform",
        b"x-accel-buffering: no",
        b"",
    ]


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"x-llm-proxy-key": "k", "authorization": "Bearer a"}, "", "k"),
        ({"authorization": "Bearer a", "x-api-key": "b"}, "", "a"),
        ({"authorization": "bearer  a "}, "", "a"),
        ({"authorization": "Basic a", "x-api-key": "b"}, "", "b"),
        ({"authorization": "Bearer "}, "key=c", "c"),
        ({"api-key": "d", "x-goog-api-key": "e"}, "", "d"),
        ({"x-goog-api-key": "e"}, "key=c", "e"),
        ({}, "alt=sse&key=c%2B1&monkey=2", "c+1"),
        ({}, "monkey=2&key=", None),
        ({}, "", None),
    ],
)
def test_a_credential_stands_in_the_first_of_its_places(
    headers: dict[str, str], query: str, found: str | None
) -> None:
    assert credential(CIMultiDict(headers), query) == found


def test_what_is_meant_for_this_proxy_alone_can_be_left_out() -> None:
    headers = CIMultiDict({"x-llm-proxy-key": "k", "x-api-key": "b"})

    assert credential(headers, "", ours=False) == "b"
    assert credential(CIMultiDict({"x-llm-proxy-key": "k"}), "", ours=False) is None


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("retry-after", "7", 7.0),
        ("retry-after", " 1.5 ", 1.5),
        ("retry-after", "0", 0.0),
        ("retry-after-ms", "250", 0.25),
        ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("retry-after", "-5", None),
        ("retry-after", "soon", None),
        ("retry-after", "", None),
        ("retry-after", "1e400", None),
        ("retry-after", "9" * 5000, None),
        ("retry-after", "Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("retry-after-ms", "nan", None),
        ("x-retry-after", "7", None),
    ],
)
def test_a_provider_says_how_long_to_leave_it_alone(
    name: str, value: str, seconds: float | None
) -> None:
    assert retry_after([(name.encode(), value.encode())]) == seconds


def test_it_may_say_until_when_and_in_milliseconds_most_exactly() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    waits = retry_after([(b"retry-after", later.encode())])

    assert waits is not None
    assert 295 < waits <= 300
    assert retry_after([(b"retry-after", b"9"), (b"retry-after-ms", b"8500")]) == 8.5
