"""The answers of the test toolkit, byte for byte."""

from proxy.testing import END, Send, answer, chunks, sse, stream_head


def test_an_answer_says_its_length() -> None:
    assert answer(404, "né", {"x-a": "b"}) == Send(
        b"HTTP/1.1 404 Not Found\r\nx-a: b\r\ncontent-length: 3\r\n\r\nn\xc3\xa9"
    )


def test_an_answer_that_frames_itself_is_left_alone() -> None:
    assert answer(529, b"x", {"Content-Length": "9"}) == Send(
        b"HTTP/1.1 529 Unknown\r\nContent-Length: 9\r\n\r\nx"
    )


def test_a_stream_is_a_head_and_a_chunk_for_each_event() -> None:
    assert stream_head() == Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert sse("a", b"b\nc", ("ping", "{}")) == chunks(
        b"data: a\n\n", b"data: b\ndata: c\n\n", b"event: ping\ndata: {}\n\n"
    )
    assert chunks(b"ab", b"c") == Send(b"2\r\nab\r\n1\r\nc\r\n")
    assert Send(b"0\r\n\r\n") == END
