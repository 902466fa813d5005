"""What Amazon Bedrock's endpoints share, which only we speak to, as a client of theirs.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.chat import Ask, Chat
from proxy.dialect import Dialect, Watch
from proxy.dialects._bedrock.errors import read_refusal
from proxy.dialects._bedrock.frames import STREAM_TYPE, exception_frame
from proxy.errors import ProxyError, Unsupported
from proxy.exchange import ParsedRequest
from proxy.framing.usage import UsageWatch


class Bedrock(Dialect):
    """An endpoint of Bedrock's runtime; its path names the model, and whether it streams."""

    family = "bedrock"
    model_in_path = True
    client_facing = False

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        model, _, method = path.removeprefix("/model/").rpartition("/")
        stream = bool(self.stream_path) and self.stream_path.endswith(f"/{method}")
        return ParsedRequest(raw=body, model=unquote(model), stream=stream, path=path)

    def ask_usage(self, request: ParsedRequest) -> bool:
        return False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        raise Unsupported("no client speaks to the proxy as to Bedrock")

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return UsageWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        return read_refusal(status, body)

    def failure(self, chunk: bytes) -> ProxyError | None:
        return None

    def error(self, error: ProxyError) -> bytes:
        return msgspec.json.encode({"message": str(error)})

    def error_event(self, error: ProxyError) -> bytes:
        return exception_frame(self.error(error))

    def content_type(self, ask: Any, *, stream: bool) -> bytes:
        return STREAM_TYPE if stream else b"application/json"

    def _chat(self, ask: Ask) -> Chat:
        assert isinstance(ask, Chat), "only dialects of one form are translated into each other"
        return ask
