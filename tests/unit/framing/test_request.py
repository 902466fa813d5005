"""Ordinary heads are recognised whole or not at all."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.request import MAX_HEAD, parse_ordinary

FIELDS = b"Host: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\nX-A:\t b c\r\n"
HEAD = b"POST /v1/chat/completions?x=%20 HTTP/1.1\r\n" + FIELDS + b"\r\n"


@pytest.mark.parametrize("rest", [b"", b"{", b'{"a":1}', b'{"a":1}POST / HTTP/1.1\r\n'])
def test_an_ordinary_head_is_read_whatever_follows_it(rest: bytes) -> None:
    head = parse_ordinary(HEAD + rest)

    assert head is not None
    assert head.target == b"/v1/chat/completions?x=%20"
    assert head.fields == (
        (b"Host", b"a"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"7"),
        (b"X-A", b"b c"),
    )
    assert head.by_name == {name.lower(): value for name, value in head.fields}
    assert head.before + b"7" + head.after == HEAD
    assert head.again(HEAD + rest) == (len(HEAD), 7)


def head(*fields: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join((line, b"Host: a", *fields, b"", b""))


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 0",),
        (b"content-length:7",),
        (b"Content-Length: 7", b"Connection: Keep-Alive"),
        (b"Content-Length: 007",),
        (b"Content-Length: 999999999999999",),
        (b"X-Content-Length: x", b"Content-Length: 7"),
        (b"X: \xff\x80", b"Content-Length: 7"),
        (b"X:", b"Content-Length: 7"),
    ],
)
def test_what_else_is_ordinary(fields: tuple[bytes, ...]) -> None:
    assert parse_ordinary(head(*fields)) is not None


LENGTH = b"Content-Length: 7"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:-1],
        HEAD.replace(b"\r\n", b"\n"),
        b"\r\n" + HEAD,
        head(),
        head(b"Content-Length:"),
        head(b"Content-Length: 7 "),
        head(b"Content-Length: +7"),
        head(b"Content-Length: -7"),
        head(b"Content-Length: 0x7"),
        head(b"Content-Length: 7, 7"),
        head(b"Content-Length: 1000000000000000"),
        head(LENGTH, LENGTH),
        head(LENGTH, b"CONTENT-LENGTH: 7"),
        head(LENGTH, b"Host: b"),
        head(LENGTH, b"X: 1", b"x: 1"),
        head(LENGTH, b"Transfer-Encoding: chunked"),
        head(LENGTH, b"transfer-encoding: identity"),
        head(LENGTH, b"Content-Encoding: gzip"),
        head(LENGTH, b"Expect: 100-continue"),
        head(LENGTH, b"Upgrade: h2c"),
        head(LENGTH, b"TE: trailers"),
        head(LENGTH, b"Trailer: x"),
        head(LENGTH, b"Connection: close"),
        head(LENGTH, b"Connection: keep-alive, x-a"),
        head(LENGTH, b"Connection: upgrade"),
        head(LENGTH, b"X : 1"),
        head(LENGTH, b" X: 1"),
        head(LENGTH, b"X: 1", b" folded"),
        head(LENGTH, b": 1"),
        head(LENGTH, b"X"),
        head(LENGTH, b"X: a\rb"),
        head(LENGTH, b"X: a\nb"),
        head(LENGTH, b"X: a\x00"),
        head(LENGTH, b"X: a\x7f"),
        head(LENGTH, b"X\xff: a"),
        head(LENGTH, b"X: " + b"a" * MAX_HEAD),
        head(LENGTH, line=b"GET / HTTP/1.1"),
        head(LENGTH, line=b"post / HTTP/1.1"),
        head(LENGTH, line=b"POST / HTTP/1.0"),
        head(LENGTH, line=b"POST / HTTP/1.10"),
        head(LENGTH, line=b"POST / HTTP/2"),
        head(LENGTH, line=b"POST  / HTTP/1.1"),
        head(LENGTH, line=b"POST /a b HTTP/1.1"),
        head(LENGTH, line=b"POST /\xc3\xa9 HTTP/1.1"),
        head(LENGTH, line=b"POST http://a/ HTTP/1.1"),
        head(LENGTH, line=b"POST * HTTP/1.1"),
        b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost:\r\nContent-Length: 7\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_ordinary_is_left_to_others(data: bytes) -> None:
    assert parse_ordinary(data) is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (HEAD.replace(b": 7", b": 12345") + b"{", (len(HEAD) + 4, 12345)),
        (HEAD.replace(b": 7", b": 0"), (len(HEAD), 0)),
        (HEAD.replace(b": 7", b": "), None),
        (HEAD.replace(b": 7", b": 7 "), None),
        (HEAD.replace(b": 7", b": -7"), None),
        (HEAD.replace(b": 7", b": 7\r\nX: 1"), None),
        (HEAD.replace(b": 7", b": 7\r\nContent-Length: 8"), None),
        (HEAD.replace(b": 7", b": 1000000000000000"), None),
        (HEAD.replace(b"b c", b"b d"), None),
        (HEAD.replace(b"Host: a", b"Host: b"), None),
        (HEAD.replace(b"POST /v1", b"POST /v2"), None),
        (HEAD[:-1], None),
        (HEAD[: HEAD.index(b"7") + 1], None),
        (HEAD[:20], None),
        (b"", None),
    ],
)
def test_the_same_head_for_another_body_is_recognised(
    data: bytes, found: tuple[int, int] | None
) -> None:
    first = parse_ordinary(HEAD)

    assert first is not None
    assert first.again(data) == found


pieces = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b":", b" ", b"Content-Length: 3\r\n", b"Host: b\r\n", b"\x00", b"x"]
)


@given(st.integers(0, len(HEAD)), st.integers(0, 3), pieces, st.integers(0, 9))
def test_a_head_that_is_read_is_what_its_lines_say(
    at: int, lost: int, piece: bytes, length: int
) -> None:
    """Whatever is put into a head or lost of it: read is only what nobody could read otherwise."""
    data = HEAD[:at] + piece + HEAD[at + lost :]
    found = parse_ordinary(data)
    if found is None:
        return
    line, *lines = data[: data.index(b"\r\n\r\n")].split(b"\r\n")

    assert line == b"POST %b HTTP/1.1" % found.target
    assert all(re.fullmatch(rb"[!-9;-~]+:[^\r\n\x00]*", each) for each in lines)
    split = [each.partition(b":") for each in lines]
    assert found.fields == tuple((name, value.lstrip(b" \t")) for name, _, value in split)
    names = [name.lower() for name, _, _ in split]
    assert len(set(names)) == len(names)
    assert {b"host", b"content-length"} <= set(names)
    again = found.again(found.before + b"%d" % length + found.after)
    assert again == (len(found.before) + 1 + len(found.after), length)
