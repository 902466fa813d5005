"""What goes over the wire: requests, answers and stream events of the OpenAI Chat API.

The load generator reads them from files, so both of its implementations send the same bytes.
"""

import json
from pathlib import Path

import msgspec

CONTENT_EVENTS = 64
ANSWER_SIZE = 1024

_ID = "chatcmpl-CkQ8ZBq1pXn5mU0v"
_CREATED = 1_763_900_000
_MODEL = "gpt-4o-mini"
_USER = "s0000000"
_WORDS = (
    "the", " quick", " measure", "ment", " of", " a", " stream", ",", " token", " by", " token",
    ":", " each", " one", " leaves", " when", " it", " is", " ready", ".", "\n\n", "It", "'s",
    " \"held\"", " by", " nobody", " — and", " arrives", " whole", "!", " Bytes", " stay",
)  # fmt: skip

_RESPONSE_FIELDS = (
    "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    "openai-processing-ms: 312\r\n"
    "openai-version: 2020-10-01\r\n"
    "x-request-id: req_7c3f9e2b1a5d4086b1c2\r\n"
)


class Request(msgspec.Struct, frozen=True):
    """A request as the load generator sends it."""

    data: bytes
    stream_at: int
    """Where the seven digits stand that name its stream; 0 if it names none."""


def request(
    port: int, path: str, headers: dict[str, str], *, body_size: int, stream: bool
) -> Request:
    """A chat request with a body of `body_size` bytes.

    It does not ask for usage: a proxy that does must keep the usage chunk to itself.
    """
    body = _body(body_size, stream)
    fields = {
        "Host": f"127.0.0.1:{port}",
        "Authorization": "Bearer sk-bench-0123456789abcdef",
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": "OpenAI/Python 3.54.0",
        **headers,
        "Content-Length": str(len(body)),
    }
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    data = head.encode("latin-1") + b"\r\n" + body
    stream_at = data.index(_USER.encode()) + 1 if stream else 0
    return Request(data, stream_at)


def write(folder: Path) -> None:
    """Write everything that the mock sends: `answer`, `frames` and their heads."""
    answer = _answer()
    (folder / "answer").write_bytes(answer)
    (folder / "answer.wire").write_bytes(
        _head("application/json", f"Content-Length: {len(answer)}\r\n") + answer
    )
    (folder / "stream.head").write_bytes(
        _head("text/event-stream; charset=utf-8", "Transfer-Encoding: chunked\r\n")
    )
    message = _compact(_message([{"type": "text", "text": "x" * 800}], "end_turn"))
    (folder / "messages.wire").write_bytes(
        _head("application/json", f"Content-Length: {len(message)}\r\n") + message
    )
    (folder / "frames.messages").write_bytes(b"".join(message_frames()))
    (folder / "frames").write_bytes(b"".join(frames(usage=False)))
    (folder / "frames.usage").write_bytes(b"".join(frames(usage=True)))


def frames(*, usage: bool) -> list[bytes]:
    """A stream's events: the role, the content (to be repeated), finish, [usage,] `[DONE]`.

    As OpenAI does it: with `include_usage` every chunk has a `usage`, null but in the last.
    """
    contents = [{"content": _WORDS[n % len(_WORDS)]} for n in range(CONTENT_EVENTS)]
    choices = [
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        for delta in [{"role": "assistant", "content": "", "refusal": None}, *contents]
    ]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
    chunks = [_chunk([choice], {"usage": None} if usage else {}) for choice in choices]
    if usage:
        counts = {"prompt_tokens": 400, "completion_tokens": 64, "total_tokens": 464}
        chunks.append(_chunk([], {"usage": counts}))
    return [*chunks, b"data: [DONE]\n\n"]


def message_frames() -> list[bytes]:
    """The same stream in Anthropic's words, event by event.

    The first two are one piece, and so are the last of the content and the finish: a client of
    OpenAI's API gets one event for each.
    """

    def event(kind: str, **fields: object) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _compact({"type": kind, **fields}))

    start = event("message_start", message=_message([], None))
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    contents = [
        event(
            "content_block_delta",
            index=0,
            delta={"type": "text_delta", "text": _WORDS[n % len(_WORDS)]},
        )
        for n in range(CONTENT_EVENTS)
    ]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    # A blank line of CRLF ends an event as well, and the mock cuts at LF LF alone.
    begin = start.replace(b"\n", b"\r\n") + block
    end = event("content_block_stop", index=0)
    usage = {"output_tokens": 64}
    return [
        begin,
        *contents,
        end,
        event("message_delta", delta=stop, usage=usage),
        event("message_stop"),
    ]


def _message(content: list[object], stop: str | None) -> dict[str, object]:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 400, "output_tokens": 1},
    }


def _chunk(choices: list[dict[str, object]], rest: dict[str, object]) -> bytes:
    chunk = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _MODEL,
        "system_fingerprint": "fp_0ba0d124f1",
        "choices": choices,
        **rest,
    }
    return b"data: " + _compact(chunk) + b"\n\n"


def _body(size: int, stream: bool) -> bytes:
    known = {"model": "gpt-4o-mini", "user": _USER, "stream": stream, "temperature": 0.7}
    system = {"role": "system", "content": "You are a helpful assistant."}

    def encode(text: str) -> bytes:
        return _compact({**known, "messages": [system, {"role": "user", "content": text}]})

    return encode(_text(size - len(encode(""))))


def _answer() -> bytes:
    def encode(text: str) -> bytes:
        return _compact(
            {
                "id": _ID,
                "object": "chat.completion",
                "created": _CREATED,
                "model": _MODEL,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text, "refusal": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 400, "completion_tokens": 128, "total_tokens": 528},
                "system_fingerprint": "fp_0ba0d124f1",
            }
        )

    return encode(_text(ANSWER_SIZE - len(encode(""))))


def _text(size: int) -> str:
    """Plain words that JSON does not escape."""
    words = "measure what it costs before you say that it is fast "
    return (words * (size // len(words) + 1))[:size]


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _head(content_type: str, field: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{field}{_RESPONSE_FIELDS}\r\n".encode()
    )
