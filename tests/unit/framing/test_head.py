"""Response heads: what is read of them, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proxy.framing.head
from proxy.framing import FramingError, excerpt
from proxy.framing.head import (
    CHUNKED,
    MAX_HEADERS,
    MAX_KNOWN_LINE,
    MAX_KNOWN_LINES,
    MAX_KNOWN_VALUES,
    UNTIL_CLOSE,
    ResponseHead,
    body_length,
    find_head_end,
    keeps_alive,
    parse_response_head,
)
from proxy.testing.cuts import cuts


def head_of(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def parse_in_pieces(pieces: list[bytes]) -> ResponseHead | None:
    """Find and parse a head as a connection does; None if its end does not come."""
    buffer = bytearray()
    for piece in pieces:
        searched = len(buffer)
        buffer += piece
        end = find_head_end(buffer, max(0, searched - 3))
        if end >= 0:
            return parse_response_head(bytes(buffer[:end]))
    return None


GOOD = [
    (head_of(), (200, b"OK", [], False)),
    (head_of(status="HTTP/1.1 204 "), (204, b"", [], False)),
    (head_of(status="HTTP/1.1 204"), (204, b"", [], False)),
    (head_of(status="HTTP/1.0 999 ?!"), (999, b"?!", [], True)),
    (head_of(status="HTTP/1.1 200 a\tb \xe9"), (200, b"a\tb \xe9", [], False)),
    (
        head_of("Content-Type:text/plain", "X-A: \t b c \t ", "x-a:", "!#$%&'*+-.^_`|~9z: \xff"),
        (
            200,
            b"OK",
            [
                (b"content-type", b"text/plain"),
                (b"x-a", b"b c"),
                (b"x-a", b""),
                (b"!#$%&'*+-.^_`|~9z", b"\xff"),
            ],
            False,
        ),
    ),
    (head_of("a: b: c"), (200, b"OK", [(b"a", b"b: c")], False)),
]

BAD = [
    (head_of(status="HTTP/2 200 OK"), "status line 'HTTP/2 200 OK'"),
    (head_of(status="HTTP/1.2 200 OK"), "status line"),
    (head_of(status="HTTP/1.1  200 OK"), "status line"),
    (head_of(status="HTTP/1.1 20 OK"), "status line"),
    (head_of(status="HTTP/1.1 2000 OK"), "status line"),
    (head_of(status="HTTP/1.1 099 OK"), "status line"),
    (head_of(status="HTTP/1.1 +20 OK"), "status line"),
    (head_of(status="HTTP/1.1 200 \x00"), "status line"),
    (head_of(status="HTTP/1.1 200 O\rK"), "status line"),
    (head_of(status="http/1.1 200 OK"), "status line"),
    (head_of(status=" HTTP/1.1 200 OK"), "status line"),
    (head_of(status='{"error": "not HTTP"}'), "status line"),
    (head_of(status=""), "status line ''"),
    (head_of("a: b", " folded"), "header line 2 is folded"),
    (head_of("\ta: b"), "header line 1 is folded"),
    (head_of("a : b"), "header line 1 has a name that is not a token: 'a '"),
    (head_of(": b"), "header line 1 has a name that is not a token: ''"),
    (head_of("\xe9: b"), "not a token"),
    (head_of("a(: b"), "not a token"),
    (head_of("a"), "header line 1 has no colon: 'a'"),
    (head_of("key: sec\x00ret"), "the value of header 'key' has the control byte 0x00"),
    (head_of("a: \x7f"), "the control byte 0x7f"),
    (head_of("a: b\rc: d"), "the control byte 0x0d"),
    (b"HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n", "header line 1 ('a') does not end in CRLF"),
    (b"HTTP/1.1 200 OK\na: b\n\n", "a line without CRLF: 'HTTP/1.1 200 OK'"),
    (b"HTTP/1.1 200 OK\r\na: b\r\n\n", "header line 2 ('') does not end in CRLF"),
    (b"HTTP/1.1 200 OK\r\n\n\r\n", "header line 1 ('') does not end in CRLF"),
    (b"HTTP/1.1 200 OK\r\na: b\n\r\n", "does not end in CRLF"),
    (head_of(*(f"a{i}: b" for i in range(MAX_HEADERS + 1))), "129 headers (at most 128"),
]


@pytest.mark.parametrize(("raw", "expected"), GOOD)
def test_a_head_is_read(
    raw: bytes, expected: tuple[int, bytes, list[tuple[bytes, bytes]], bool]
) -> None:
    for pieces in cuts(raw):
        head = parse_in_pieces(pieces)
        assert head is not None
        assert (head.status, head.reason, head.headers, head.http10) == expected
        assert head.lines == raw.split(b"\r\n")[1:-2]
        assert head.named == dict(head.headers)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, tuple[bytes, bytes]]:
    """The lines that are remembered: none yet."""
    lines = proxy.framing.head._Fields()
    monkeypatch.setattr(proxy.framing.head, "_fields", lines)
    return lines.known


def test_lines_are_remembered_but_not_those_that_are_ever_new(
    known: dict[bytes, tuple[bytes, bytes]],
) -> None:
    constant = "x-remembered: this"
    for second in range(3 * MAX_KNOWN_VALUES):
        head = parse_response_head(
            head_of(constant, f"x-date: {second}", "X-Long: " + "v" * MAX_KNOWN_LINE)
        )
        assert head.headers == [
            (b"x-remembered", b"this"),
            (b"x-date", b"%d" % second),
            (b"x-long", b"v" * MAX_KNOWN_LINE),
        ]
    dates = [b"x-date: %d" % second for second in range(MAX_KNOWN_VALUES)]
    assert sorted(known) == sorted([constant.encode(), *dates])


def test_what_is_remembered_is_bounded(known: dict[bytes, tuple[bytes, bytes]]) -> None:
    for number in range(MAX_KNOWN_LINES + 100):
        name = f"x-{number}"
        assert parse_response_head(head_of(f"{name}: 1")).headers == [(name.encode(), b"1")]
    assert len(known) == MAX_KNOWN_LINES


@pytest.mark.parametrize(("raw", "why"), BAD)
def test_a_bad_head_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    for pieces in cuts(raw):
        with pytest.raises(FramingError) as caught:
            parse_in_pieces(pieces)
        assert why in str(caught.value)
        assert "sec" not in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (head_of("a: b")[:-2], "no blank line"),
        (head_of("a: b") + b"x", "more bytes after the blank line"),
        (head_of() + b"\r\n", "more bytes after the blank line"),
        (b"HTTP/1.1 200 OK", "a line without CRLF"),
        (b"", "a line without CRLF"),
    ],
)
def test_what_is_not_exactly_one_head_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(FramingError, match=why):
        parse_response_head(raw)


def test_128_headers_are_read() -> None:
    assert len(parse_response_head(head_of(*["a: b"] * MAX_HEADERS)).headers) == MAX_HEADERS


def test_the_end_of_a_head_is_just_behind_its_blank_line() -> None:
    raw = head_of("a: b")
    assert find_head_end(raw + b"body\r\n\r\n") == len(raw)
    assert find_head_end(raw[:-1]) == -1
    assert find_head_end(b"") == -1


ALPHABET = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b":",
    b" ",
    b"\t",
    b"a",
    b"\x00",
    b"HTTP/1.1 200 OK",
]


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(ALPHABET), max_size=12).map(b"".join),
        st.lists(st.sampled_from(ALPHABET), max_size=9).map(
            lambda parts: b"HTTP/1.1 200 OK\r\n" + b"".join(parts)
        ),
    ),
    st.integers(0, 2**32),
)
def test_whatever_comes_is_read_or_refused_wherever_it_is_cut(raw: bytes, seed: int) -> None:
    """Invariant: any bytes are a head, too few for one, or a FramingError, however they are cut."""
    outcomes = []
    for pieces in cuts(raw, seed=seed):
        try:
            outcomes.append(str(parse_in_pieces(pieces)))
        except FramingError as error:
            outcomes.append(str(error))
    assert len(set(outcomes)) == 1


names = st.text("abcXYZ019-_!~", min_size=1, max_size=8).map(str.encode)
values = st.text("ab c\t;,:=\xe9", max_size=12).map(lambda text: text.encode("latin-1"))


@given(st.lists(st.tuples(names, values), max_size=10))
def test_what_is_written_by_the_rules_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b:%b\r\n" % pair for pair in headers) + b"\r\n"
    expected = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    assert parse_response_head(raw).headers == expected


LENGTHS = [
    ([], UNTIL_CLOSE),
    (["content-length: 0"], 0),
    (["Content-Length: 42 "], 42),
    (["content-length: 007"], 7),
    (["content-length: 5", "Content-Length: 5"], 5),
    (["content-length: 5, 5"], 5),
    (["content-length: 5 ,\t5", "content-length: 5"], 5),
    (["content-length: 999999999999999999"], 10**18 - 1),
    (["transfer-encoding: chunked"], CHUNKED),
    (["Transfer-Encoding: ChunKed"], CHUNKED),
]


@pytest.mark.parametrize(("lines", "length"), LENGTHS)
def test_the_length_of_a_body(lines: list[str], length: int) -> None:
    assert body_length(parse_response_head(head_of(*lines)), "POST") == length


UNCLEAR = [
    (["content-length: 5", "transfer-encoding: chunked"], "both"),
    (["content-length: 5", "content-length: 6"], "content-lengths that differ: '5, 6'"),
    (["content-length: 5, 6"], "content-lengths that differ"),
    (["content-length: "], "content-length is ''"),
    (["content-length: +5"], "content-length is '+5'"),
    (["content-length: -5"], "content-length is"),
    (["content-length: 5 5"], "content-length is"),
    (["content-length: 5,"], "content-length is"),
    (["content-length: 5_0"], "content-length is"),
    (["content-length: 0x5"], "content-length is"),
    (["content-length: \xb2"], "content-length is"),
    (["content-length: 1" + "0" * 18], "content-length is"),
    (["content-length: 5", "content-length: five"], "content-length is"),
    (["transfer-encoding: gzip, chunked"], "transfer-encoding is 'gzip, chunked'"),
    (["transfer-encoding: identity"], "transfer-encoding is"),
    (["transfer-encoding: chunked, chunked"], "transfer-encoding is"),
    (["transfer-encoding: chunked", "transfer-encoding: chunked"], "transfer-encoding is"),
    (["transfer-encoding: xchunked"], "transfer-encoding is"),
    (["transfer-encoding: chunked;a=b"], "transfer-encoding is"),
    (["transfer-encoding:"], "transfer-encoding is ''"),
]


@pytest.mark.parametrize(("lines", "why"), UNCLEAR)
def test_a_length_that_is_not_plain_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(FramingError) as caught:
        body_length(parse_response_head(head_of(*lines)), "POST")
    assert why in str(caught.value)


def test_http_10_knows_no_transfer_encoding() -> None:
    raw = head_of("transfer-encoding: chunked", status="HTTP/1.0 200 OK")
    with pytest.raises(FramingError, match=r"HTTP/1\.0"):
        body_length(parse_response_head(raw), "GET")


@pytest.mark.parametrize("status", [100, 101, 103, 199, 204, 304])
def test_some_statuses_have_no_body_whatever_their_headers_say(status: int) -> None:
    head = parse_response_head(head_of("content-length: 5", status=f"HTTP/1.1 {status} x"))
    assert body_length(head, "POST") == 0


def test_an_answer_to_head_has_no_body() -> None:
    head = parse_response_head(head_of("content-length: 5"))
    assert body_length(head, "HEAD") == 0
    assert body_length(head, "GET") == 5


PERSISTENCE = [
    ("HTTP/1.1 200 OK", [], True),
    ("HTTP/1.1 200 OK", ["connection: close"], False),
    ("HTTP/1.1 200 OK", ["Connection: Close"], False),
    ("HTTP/1.1 200 OK", ["connection: x-a , close"], False),
    ("HTTP/1.1 200 OK", ["connection: keep-alive", "connection: close"], False),
    ("HTTP/1.1 200 OK", ["connection: closed"], True),
    ("HTTP/1.1 200 OK", ["x-connection: close"], True),
    ("HTTP/1.0 200 OK", [], False),
    ("HTTP/1.0 200 OK", ["connection: Keep-Alive"], True),
    ("HTTP/1.0 200 OK", ["connection: keep-alive, close"], False),
]


@pytest.mark.parametrize(("status", "lines", "kept"), PERSISTENCE)
def test_whether_the_connection_lives_on(status: str, lines: list[str], kept: bool) -> None:
    assert keeps_alive(parse_response_head(head_of(*lines, status=status))) is kept


def test_an_excerpt_is_escaped_and_short() -> None:
    assert excerpt(b"a\r\n\xff") == r"'a\r\n\xff'"
    assert excerpt(b"a" * 60) == f"'{'a' * 60}'"
    assert excerpt(b"a" * 61) == f"'{'a' * 60}'…"
    assert excerpt(b"\xff" * 60) == "'" + r"\xff" * 15 + "'…"
