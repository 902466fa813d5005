"""The request that the test toolkit writes, byte for byte."""

from proxy.testing import request


def test_a_request_says_what_it_must() -> None:
    assert request("/v1/x", {"a": 1}, headers={"Authorization": "Bearer k"}) == (
        b"POST /v1/x HTTP/1.1\r\nhost: proxy.test\r\ncontent-type: application/json\r\n"
        b'authorization: Bearer k\r\ncontent-length: 8\r\n\r\n{"a": 1}'
    )


def test_a_request_that_frames_itself_is_left_alone() -> None:
    headers = {"Host": "a", "content-type": "b", "transfer-encoding": "chunked"}
    assert request("/", "é", method="PUT", headers=headers) == (
        b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-type: b\r\ntransfer-encoding: chunked\r\n\r\n"
        b"\xc3\xa9"
    )
