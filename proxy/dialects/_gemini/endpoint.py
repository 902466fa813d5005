"""What the dialects of Gemini's endpoints have in common."""

import re
from typing import Any, ClassVar

import msgspec

from proxy.dialect import Dialect, Watch
from proxy.dialects._gemini.errors import read_failure, read_refusal, spell_error
from proxy.dialects._gemini.fields import Fields, first
from proxy.dialects._gemini.path import model_name, read_path
from proxy.dialects._gemini.watch import MetadataWatch
from proxy.dialects._gemini.wire import ABSENT, encode, is_said
from proxy.errors import BadRequest, ProxyError
from proxy.exchange import ParsedRequest
from proxy.framing.envelope import MAX_MODEL, parse_envelope
from proxy.framing.sse import parse_frame

Raw = msgspec.Raw


class _Chunk(msgspec.Struct):
    error: Raw = ABSENT


_chunk = msgspec.json.Decoder(_Chunk)
_error_element = re.compile(rb'\{\s*+"error"\s*+:').finditer
_list = msgspec.json.Decoder(list[Raw])


class Gemini(Dialect):
    """An endpoint of the Gemini API, or of Vertex AI."""

    family = "gemini"
    model_in_path = True
    methods: ClassVar[tuple[str, ...]]
    """The methods of a model that the endpoint is, the one that streams last."""

    def parse(self, body: bytes, path: str = "", query: str = "") -> ParsedRequest:
        request = parse_envelope(body)
        request.path, request.query = path, query
        # A body may have fields of these names, which say nothing here.
        request.stream = request.asked_usage = False
        if not path:
            if request.model is not None:
                request.model = model_name(request.model)
            return request
        named = read_path(path)
        if named is None or named.method not in self.methods:
            raise BadRequest(f"the path must be {self.path}")
        if len(named.model) > MAX_MODEL or not named.model.isprintable():
            raise BadRequest(f"a model's name has 1 to {MAX_MODEL} characters", param="model")
        request.model = named.model
        request.stream = named.method.startswith("stream")
        return request

    def ask_usage(self, request: ParsedRequest) -> bool:
        return False

    def place(self, path: str, model: str) -> str:
        if model.startswith("tunedModels/"):
            # They have a collection of their own.
            return path.replace("models/{model}", "{model:path}")
        return path

    def watch(self, *, stream: bool, strip: bool) -> Watch:
        return MetadataWatch()

    def refusal(self, status: int, body: bytes) -> tuple[ProxyError, bool]:
        return read_refusal(status, body)

    def failure(self, chunk: bytes) -> ProxyError | None:
        if b'"error"' not in chunk:
            return None
        # Only the last frame counts, and the blank lines of the ones before it are in the chunk.
        last = chunk.rstrip()
        if last.endswith(b"]"):
            # An array: in a string the quotes would be escaped, and within another element the
            # rest of that follows.
            starts = [match.start() for match in _error_element(last)]
            data = last[starts[-1] : -1] if starts else b""
        else:
            data = parse_frame(last.replace(b"\r\n", b"\n").rpartition(b"\n\n")[2]).data
        try:
            error = _chunk.decode(data).error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return read_failure(error) if is_said(error) else None

    def error(self, error: ProxyError) -> bytes:
        return encode(spell_error(error))

    def error_event(self, error: ProxyError) -> bytes:
        return b"data: %b\n\n" % self.error(error)


def add_instruction(fields: dict[str, Raw], text: str) -> tuple[str, Any]:
    """The system instruction of a request that also says `text`, before its own: name and value.

    Raises BadRequest.
    """
    name = "system_instruction" if "system_instruction" in fields else "systemInstruction"
    parts: list[Any] = [{"text": text}]
    instruction: dict[str, Any] = {}
    own = fields.get(name)
    if own is not None and first(own) == b'"':
        parts.append({"text": own})
    elif own is not None and first(own) != b"n":
        instruction = dict(Fields(own, name).members)
        said = instruction.pop("parts", None)
        if said is not None:
            parts += items(said)
    return name, instruction | {"parts": parts}


def items(raw: Raw) -> list[Raw]:
    """The items of a list, or the one that stands for a list of itself."""
    return _list.decode(raw) if first(raw) == b"[" else [raw]
