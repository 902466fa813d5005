"""Recorded traffic of real providers, and what each exchange of it used, read by hand.

How a provider spells usage is written here a second time, from the providers' documentation, so
that the proxy's own reading of it is held to something.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.event import Usage

Body = dict[str, Any]

STREAM = "text/event-stream"
FRAMING = {"content-length", "transfer-encoding", "content-encoding"}
"""Fields that told how the recorder's peer sent the body: here that is the test's affair."""

_OPENAI = {
    "chat.completions": "openai_chat",
    "completions": "openai_completions",
    "responses": "openai_responses",
    "embeddings": "openai_embeddings",
}
"""Dialects by the kinds of recordings whose paths end as the kind does."""
_OTHERS = {
    "messages": "anthropic_messages",
    "count_tokens": "anthropic_count_tokens",
    "generateContent": "gemini",
    "models": "",
    "converse": "bedrock_converse",
    "bedrock.invoke": "bedrock_messages",
}
_GOOGLES = {
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
    ":countTokens": "gemini_count_tokens",
    ":batchEmbedContents": "gemini_embeddings",
    ":rawPredict": "anthropic_messages",
    ":streamRawPredict": "anthropic_messages",
}


@dataclass(frozen=True)
class Recorded:
    """One recorded exchange; `fields` are the response's, without those that framed it."""

    id: str
    provider: str
    dialect: str
    path: str
    """Where a client of the dialect asks; of Google's, without what gateways put before it."""
    query: str
    request: bytes
    status: int
    fields: list[tuple[str, str]]
    response: bytes

    @property
    def kind(self) -> str:
        """The response's content type."""
        return dict(self.fields).get("content-type", "application/json")

    @property
    def streamed(self) -> bool:
        return STREAM in self.kind

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def recordings(folder: Path, *dialects: str) -> list[Recorded]:
    """The exchanges of these dialects."""
    found = []
    for line in (folder / "index.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        dialect, path = _endpoint(row)
        if dialect not in dialects:
            continue
        request, response = (
            (folder / "bodies" / row[name]).read_bytes() if row.get(name) else b""
            for name in ("req_body", "resp_body")
        )
        body = _request(request, dialect, path)
        if body is None:
            continue
        fields = [(name.lower(), value.strip(" \t")) for name, value in row["resp_headers"]]
        if row["stream"] == "sse" and row["status"] < 400:
            # Not every recorder wrote the content type of what it recorded.
            told = dict(fields).get("content-type", "")
            fields = [field for field in fields if field != ("content-type", told)]
            fields.append(("content-type", told if STREAM in told else STREAM))
        query = row["path"].partition("?")[2] if dialect.startswith("gemini") else ""
        found.append(
            Recorded(
                row["id"],
                row["provider"],
                dialect,
                path,
                "&".join(part for part in query.split("&") if not part.startswith("key=")),
                body,
                row["status"],
                [field for field in fields if field[0] not in FRAMING],
                response,
            )
        )
    assert len({each.dialect for each in found}) == len(dialects)
    return found


def _endpoint(row: Body) -> tuple[str, str]:
    """The dialect, "" if it is none of those that clients or providers speak, and the path."""
    path, kind = row["path"].partition("?")[0], row["kind"]
    if row["method"] != "POST":
        return "", ""
    for end, dialect in _GOOGLES.items():
        if path.endswith(end):
            if dialect == "anthropic_messages":
                return dialect, "/v1/messages"
            return dialect, path[path.index("/v1") :]
    if kind in _OPENAI and path.endswith("/" + kind.replace(".", "/")):
        return _OPENAI[kind], "/v1/" + kind.replace(".", "/")
    if kind == "messages" and path.endswith("/v1/messages") and row["provider"] != "openai":
        return "anthropic_messages", "/v1/messages"
    if kind == "count_tokens":
        return "anthropic_count_tokens", "/v1/messages/count_tokens"
    if kind == "converse":
        return "bedrock_converse", path
    if kind == "bedrock.invoke" and "anthropic" in path:
        return "bedrock_messages", path
    return "", ""


def _request(body: bytes, dialect: str, path: str) -> bytes | None:
    """The body as a client of the dialect sends it; None if it is none."""
    if not body.lstrip().startswith(b"{"):
        return None
    if dialect.startswith(("openai", "anthropic")):
        fields = json.loads(body)
        if dialect == "anthropic_messages" and "model" not in fields:
            # Vertex AI has the model in the path.
            return json.dumps({"model": "claude", **fields}).encode()
        if not isinstance(fields.get("model"), str):
            return None
    if dialect == "bedrock_messages" and b"anthropic_version" not in body:
        return None
    return body


# What an exchange used.


def used(case: Recorded) -> Usage | None:
    """The tokens that the response itself says it took; what comes last counts."""
    return _USED[case.dialect.partition("_")[0]](case)


def documents(case: Recorded) -> Iterator[Body]:
    """Each JSON document of a response, in order."""
    response = case.response
    if "eventstream" in case.kind:
        for kind, payload in messages(response):
            yield {"kind": kind} | payload
    elif response.lstrip()[:1] == b"[":
        yield from json.loads(response)
    elif response.lstrip()[:1] == b"{":
        yield json.loads(response)
    else:
        for line in response.splitlines():
            if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
                found = json.loads(line[5:])
                if isinstance(found, dict):
                    yield found


def messages(stream: bytes) -> Iterator[tuple[str, Body]]:
    """Kinds and payloads of AWS's event stream: lengths, headers, payload, checksum."""
    while stream:
        length, headers = int.from_bytes(stream[:4]), int.from_bytes(stream[4:8])
        named, at = {}, 12
        while at < 12 + headers:
            name = stream[at + 1 : at + 1 + stream[at]]
            at += 2 + stream[at]
            size = int.from_bytes(stream[at : at + 2])
            named[name] = stream[at + 2 : at + 2 + size].decode()
            at += 2 + size
        yield named[b":event-type"], json.loads(stream[12 + headers : length - 4])
        stream = stream[length:]


def _of_openai(case: Recorded) -> Usage | None:
    found: Body = {}
    for value in documents(case):
        inner = (value.get("response") or value.get("x_groq") or {}).get("usage")
        found = value.get("usage") or inner or found

    def count(*names: str) -> int:
        return next((found[name] for name in names if found.get(name)), 0)

    if not found.keys() & {"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"}:
        return None
    inputs = count("prompt_tokens", "input_tokens")
    outputs = count("completion_tokens", "output_tokens")
    of_input = found.get("prompt_tokens_details") or found.get("input_tokens_details") or {}
    of_output = found.get("completion_tokens_details") or found.get("output_tokens_details") or {}
    thought = of_output.get("reasoning_tokens") or count("reasoning_tokens")
    cached = of_input.get("cached_tokens") or count("prompt_cache_hit_tokens", "cached_tokens")
    # One provider counts its reasoning beside its output, and its total is the sum of all three.
    beside = found.get("total_tokens") == inputs + outputs + thought
    return Usage(
        inputs,
        outputs + (thought if beside else 0),
        cached,
        thought,
        of_input.get("cache_write_tokens") or 0,
    )


def _of_anthropic(case: Recorded) -> Usage | None:
    found: Body = {}
    for value in documents(case):
        if value.get("kind") == "chunk":
            value = json.loads(base64.b64decode(value["bytes"]))
        usage = value.get("usage") or (value.get("message") or {}).get("usage") or {}
        found |= {name: count for name, count in usage.items() if count is not None}
    if not found:
        return None
    read = found.get("cache_read_input_tokens", 0)
    written = found.get("cache_creation_input_tokens", 0)
    return Usage(
        found["input_tokens"] + read + written,
        found["output_tokens"],
        read,
        found.get("output_tokens_details", {}).get("thinking_tokens", 0),
        written,
    )


def _of_google(case: Recorded) -> Usage | None:
    found: Body = {}
    for value in documents(case):
        found = value.get("usageMetadata") or found
    if not found:
        return None
    thought = found.get("thoughtsTokenCount", 0)
    return Usage(
        found.get("promptTokenCount", 0) + found.get("toolUsePromptTokenCount", 0),
        found.get("candidatesTokenCount", 0) + thought,
        found.get("cachedContentTokenCount", 0),
        thought,
    )


def _of_amazon(case: Recorded) -> Usage | None:
    if case.dialect == "bedrock_messages":
        return _of_anthropic(case)
    found: Body = {}
    for value in documents(case):
        found = value.get("usage") or found
    if not found:
        return None
    read = found.get("cacheReadInputTokens", 0)
    written = found.get("cacheWriteInputTokens", 0)
    inputs = found["inputTokens"] + read + written
    return Usage(inputs, found["outputTokens"], read, 0, written)


_USED: dict[str, Callable[[Recorded], Usage | None]] = {
    "openai": _of_openai,
    "anthropic": _of_anthropic,
    "gemini": _of_google,
    "bedrock": _of_amazon,
}
