"""What OpenAI's endpoints share: the envelope, the error object, the usage object.

https://platform.openai.com/docs/guides/error-codes · /docs/api-reference/streaming
"""

from typing import Any, ClassVar

import msgspec

from proxy.dialect import Dialect, Watch
from proxy.dialects._openai import errors
from proxy.dialects._openai.errors import ErrorObject
from proxy.dialects._refusals import WORDS, plain, refused
from proxy.errors import BadRequest, ProxyError
from proxy.exchange import ParsedRequest, Raw
from proxy.framing.envelope import parse_envelope
from proxy.framing.sse import parse_frame
from proxy.framing.usage import UsageStrip, UsageWatch

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
}
_CODES = {"client.too_long": "context_length_exceeded", "policy.blocked": "content_filter"}


class _ErrorBody(msgspec.Struct):
    error: ErrorObject | str | None = None
    message: Any = None
    detail: Any = None


_NULL = Raw(b"null")
_options = msgspec.json.Decoder(dict[str, Raw] | None)
_error_body = msgspec.json.Decoder(_ErrorBody)


class OpenAI(Dialect):
    """An endpoint of OpenAI's, or of anybody who speaks like it."""

    family = "openai"
    needs_model: ClassVar[bool] = True
    has_usage_option: ClassVar[bool] = False
    """Whether streams report usage only where `stream_options.include_usage` asks for it."""

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        request = parse_envelope(body)
        if request.model is None and self.needs_model:
            raise BadRequest("you must provide a model parameter", param="model")
        return request

    def ask_usage(self, request: ParsedRequest) -> bool:
        if not (self.has_usage_option and request.stream) or request.asked_usage:
            return False
        options = _options.decode(request.fields.get("stream_options", _NULL)) or {}
        request.set("stream_options", options | {"include_usage": True})
        return True

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return UsageStrip() if stream and strip else UsageWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        words, code, fit = _read_error(body)
        too_long = code == "context_length_exceeded"
        return refused(status, words, fit=fit, too_long=too_long), fit

    def failure(self, chunk: bytes) -> ProxyError | None:
        if b'"error"' not in chunk:
            return None
        # Only the last frame counts, and the blank lines of the ones before it are in the chunk.
        frame = chunk.rstrip().replace(b"\r\n", b"\n").rpartition(b"\n\n")[2]
        return errors.of_event(parse_frame(frame).data)

    def error(self, error: ProxyError) -> bytes:
        return msgspec.json.encode({"error": self.error_object(error)})

    def error_object(self, error: ProxyError) -> dict[str, Any]:
        """What went wrong, as OpenAI's SDKs read it."""
        kind = "server_error" if error.status >= 500 else _TYPES[400]
        return {
            "message": str(error),
            "type": _TYPES.get(error.status, kind),
            "param": error.param,
            "code": _CODES.get(error.code, error.code),
        }

    def error_event(self, error: ProxyError) -> bytes:
        return b"data: %b\n\n" % self.error(error)


def _read_error(body: bytes) -> tuple[str, str, bool]:
    """The words and the code of an error body, and whether it is a JSON object at all."""
    try:
        found = _error_body.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return plain(body), "", False
    error = found.error
    if isinstance(error, ErrorObject):
        return str(error.message or "")[:WORDS], str(error.code or ""), True
    return str(error or found.message or found.detail or "")[:WORDS], "", True
