"""What goes over the wire."""

import json
from pathlib import Path

import pytest

from bench import payloads


def content(frame: bytes) -> dict[str, object]:
    assert frame.startswith(b"data: {")
    assert frame.endswith(b"}\n\n")
    found: dict[str, object] = json.loads(frame[6:])
    return found


@pytest.mark.parametrize("size", [512, 2048, 200 * 1024])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_whole_and_of_the_size_asked_for(size: int, stream: bool) -> None:
    request = payloads.request(8000, "/v1/x", {"X-Own": "1"}, body_size=size, stream=stream)
    head, _, body = request.data.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert f"\r\nContent-Length: {size}".encode() in head
    assert b"\r\nX-Own: 1\r\n" in head
    assert len(body) == size
    assert json.loads(body)["stream"] is stream
    assert b"stream_options" not in body


def test_own_headers_replace_the_usual_ones() -> None:
    request = payloads.request(1, "/", {"Authorization": "mine"}, body_size=512, stream=False)
    assert request.data.count(b"Authorization: mine\r\n") == 1
    assert request.data.count(b"Authorization:") == 1


def test_a_stream_request_says_where_it_names_its_stream() -> None:
    request = payloads.request(1, "/", {}, body_size=2048, stream=True)
    at = request.stream_at
    named = request.data[:at] + b"0000042" + request.data[at + 7 :]
    assert json.loads(named.partition(b"\r\n\r\n")[2])["user"] == "s0000042"
    assert payloads.request(1, "/", {}, body_size=512, stream=False).stream_at == 0


def test_content_events_are_as_long_as_real_ones_and_hold_no_usage() -> None:
    role, *contents, finish, done = payloads.frames(usage=False)
    assert len(contents) == payloads.CONTENT_EVENTS
    assert all(190 <= len(frame) <= 250 for frame in contents)
    assert all("usage" not in content(frame) for frame in (role, *contents, finish))
    assert done == b"data: [DONE]\n\n"


def test_with_usage_every_event_has_one_and_the_last_tells_it() -> None:
    *chunks, usage, done = payloads.frames(usage=True)
    assert len(chunks) == payloads.CONTENT_EVENTS + 2
    assert all(content(frame)["usage"] is None for frame in chunks)
    told = content(usage)
    assert told["choices"] == []
    assert told["usage"]
    assert done == b"data: [DONE]\n\n"


def test_the_files_hold_what_the_mock_sends(tmp_path: Path) -> None:
    payloads.write(tmp_path)
    answer = (tmp_path / "answer").read_bytes()
    assert len(answer) == payloads.ANSWER_SIZE
    assert json.loads(answer)["object"] == "chat.completion"
    head, _, body = (tmp_path / "answer.wire").read_bytes().partition(b"\r\n\r\n")
    assert body == answer
    assert f"\r\nContent-Length: {len(answer)}\r\n".encode() in head
    assert (tmp_path / "stream.head").read_bytes().endswith(b"\r\n\r\n")
    for name, usage in (("frames", False), ("frames.usage", True)):
        assert (tmp_path / name).read_bytes() == b"".join(payloads.frames(usage=usage))


def test_the_same_stream_in_anthropics_words_has_as_many_frames() -> None:
    plain, messages = payloads.frames(usage=True), payloads.message_frames()
    assert len(messages) == len(plain)
    assert all(frame.endswith(b"\n\n") and frame.count(b"\n\n") == 1 for frame in messages)
    kinds = [json.loads(f.rpartition(b"data: ")[2])["type"] for f in messages]
    assert kinds[1:-3] == ["content_block_delta"] * payloads.CONTENT_EVENTS
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
