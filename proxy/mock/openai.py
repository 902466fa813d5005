"""What the OpenAI endpoints of the mock share: errors, models, usage and the stream's framing.

Shapes: platform.openai.com/docs/api-reference.
"""

from typing import Annotated, Any

import msgspec

from proxy.mock.behaviour import MODELS
from proxy.mock.errors import MockError
from proxy.mock.text import created

DONE = b"data: [DONE]\n\n"

Limit = Annotated[int, msgspec.Meta(ge=1)]
Model = Annotated[str, msgspec.Meta(min_length=1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]

# type and code of an error object, by status; other statuses have no code.
_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


class StreamOptions(msgspec.Struct):
    """`continuous_usage_stats` is vLLM's: usage on every chunk."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


def error_object(error: MockError) -> dict[str, Any]:
    """The value of `error` in an error body or an error event."""
    server = ("server_error", None)
    kind, code = _KINDS.get(
        error.status, ("invalid_request_error", None) if error.status < 500 else server
    )
    return {
        "message": str(error),
        "type": error.type or kind,
        "param": error.param,
        "code": error.code or code,
    }


def error_body(error: MockError) -> bytes:
    """The body of an error response."""
    return msgspec.json.encode({"error": error_object(error)})


def frame(payload: object) -> bytes:
    """`payload` as a server-sent event without a name."""
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


def failure(sent: int) -> bytes:
    """The error event of a stream of chunks; it says after how many events it came."""
    return frame({"error": error_object(broken(sent))})


def broken(sent: int) -> MockError:
    """The error of a stream that was asked to fail after `sent` events."""
    return MockError(500, f"The mock provider was asked to fail after {sent} events")


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """The usage object of Chat Completions and Completions."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def models_body(seed: int) -> bytes:
    """The list of models: an example of each behaviour."""
    data = [_model(name, seed) for name in MODELS]
    return msgspec.json.encode({"object": "list", "data": data})


def model_body(name: str, seed: int) -> bytes:
    """One model; there is none that the mock does not have."""
    return msgspec.json.encode(_model(name, seed))


def _model(name: str, seed: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created(seed), "owned_by": "llm-proxy"}
