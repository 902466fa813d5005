"""What proxies of such APIs have fallen into, by number, for each client before each provider.

Requests and answers are spelled by hand here: no SDK, which would forgive what others do not, and
no code of the proxy's. What concerns one dialect alone is tested with that dialect.
"""

import gzip
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.testing import (
    END,
    Connection,
    Cut,
    ProxyURL,
    RawClient,
    Reset,
    Script,
    Step,
    Upstream,
    answer,
    chunks,
    request,
    serve,
    stream_head,
)
from tests.contract.features import Said
from tests.contract.providers import PROVIDERS, Provider

Body = dict[str, Any]

CONFIG = """
[provider.up]
type = "openai_compatible"
url = "{url}"
dialects = ["{dialect}"]
stream_usage = true

[provider.spare]
type = "openai_compatible"
url = "{spare}"
dialects = ["{dialect}"]

[[route]]
targets = {targets}
"""
SAID = Said("It is Paris, déjà vu 🙂.")
_HI = [{"role": "user", "content": "Hi"}]
_GEMINI: Body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@dataclass(frozen=True)
class Speaker:
    """A client of one API."""

    dialect: str
    path: str
    body: Body


CLIENTS = (
    Speaker("openai_chat", "/v1/chat/completions", {"model": "m", "messages": _HI, "stream": True}),
    Speaker("openai_responses", "/v1/responses", {"model": "m", "input": "Hi", "stream": True}),
    Speaker(
        "anthropic_messages",
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": _HI, "stream": True},
    ),
    Speaker("gemini", "/v1beta/models/m:streamGenerateContent?alt=sse", _GEMINI),
)
CHAT, RESPONSES, ANTHROPIC, GEMINI = CLIENTS
ARRAY = Speaker("gemini", "/v1beta/models/m:streamGenerateContent", _GEMINI)
NAMED = {provider.dialect: provider for provider in PROVIDERS}
OF_EVENTS = [provider for provider in PROVIDERS if provider.dialect != "bedrock_converse"]
OF_TURNS = [provider for provider in PROVIDERS if provider.dialect != "openai_completions"]
"""Those that are asked whole conversations; the others refuse them."""


def pairs(
    providers: Iterable[Provider] = PROVIDERS,
    clients: Iterable[Speaker] = CLIENTS,
    *,
    same: bool = True,
) -> pytest.MarkDecorator:
    found = [
        (client, provider)
        for client in clients
        for provider in providers
        if same or client.dialect != provider.dialect
    ]
    ids = [f"{client.dialect}-{provider.dialect}" for client, provider in found]
    return pytest.mark.parametrize(("client", "provider"), found, ids=ids)


each_client = pytest.mark.parametrize("client", CLIENTS, ids=[each.dialect for each in CLIENTS])


@dataclass(frozen=True)
class Answer:
    status: int
    fields: Mapping[str, str]
    body: bytes
    whole: bool
    line: Body
    asked: list[Any]
    """What the provider was sent."""

    @property
    def events(self) -> list[tuple[str, bytes]]:
        """Names and data, read as strictly as the pickiest of clients reads them."""
        found = []
        for frame in self.body.decode().replace("\r\n", "\n").split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in frame.split("\n"))
            assert fields.keys() <= {"event", "data"}, frame
            found.append((fields.get("event", ""), fields["data"].encode()))
        return found


@asynccontextmanager
async def before(
    provider: Provider, *scripts: Script, targets: str = '["up/up-model"]'
) -> AsyncIterator[tuple[ProxyURL, Upstream, Upstream]]:
    """A proxy, its provider, and a spare one."""
    version = "" if provider.dialect in ("gemini", "bedrock_converse") else "/v1"
    async with Upstream(*scripts) as upstream, Upstream(answer()) as spare:
        config = CONFIG.format(
            url=upstream.url + version,
            spare=spare.url + version,
            dialect=provider.dialect,
            targets=targets,
        )
        async with serve(config) as url:
            yield url, upstream, spare


async def ask(
    client: Speaker,
    provider: Provider,
    script: Script,
    body: bytes | Body | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    async with before(provider, script) as (url, upstream, _):
        return await ask_at(url, upstream, client, body, headers=headers)


async def ask_at(
    url: ProxyURL,
    upstream: Upstream,
    client: Speaker,
    body: bytes | Body | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    async with RawClient(url) as raw:
        await raw.send(request(client.path, body or client.body, headers=headers or {}))
        head = await raw.read_head()
        payload = await raw.read_body()
        fields = {name.decode().lower(): value.decode() for name, value in head.headers}
        whole = raw.clean_end
    return Answer(head.status, fields, payload, whole, url.exchanges[-1], upstream.requests)


def streams(provider: Provider, said: Said = SAID) -> Step:
    kind, body = provider.answer(said, True)
    return answer(200, body, {"content-type": kind})


def begun(provider: Provider, *after: Step) -> list[Step]:
    """Half a stream, cut between two events, and what comes then."""
    kind, body = provider.answer(SAID, True)
    if provider.dialect == "bedrock_converse":
        frames = _messages(body)
        half = b"".join(frames[: len(frames) // 2])
    else:
        end = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
        half = body[: body.rindex(end, 0, len(body) // 2) + len(end)]
    return [stream_head(headers={"content-type": kind}), chunks(half), *after]


def _messages(stream: bytes) -> list[bytes]:
    """The messages of an event stream of AWS's: each begins with its length."""
    found = []
    while stream:
        length = int.from_bytes(stream[:4])
        found.append(stream[:length])
        stream = stream[length:]
    return found


def chunk_bodies(events: list[tuple[str, bytes]]) -> list[Body]:
    return [json.loads(data) for _, data in events if data != b"[DONE]"]


def text_of(client: Speaker, reply: Answer) -> str:
    """The text that a stream of a client's API says."""
    found = ""
    for event in chunk_bodies(reply.events):
        if client.dialect == "openai_chat":
            for choice in event["choices"]:
                found += choice["delta"].get("content") or ""
        elif client.dialect == "openai_responses":
            found += event["delta"] if event["type"] == "response.output_text.delta" else ""
        elif client.dialect == "anthropic_messages":
            found += event.get("delta", {}).get("text", "")
        else:
            for candidate in event.get("candidates", ()):
                found += "".join(part.get("text", "") for part in candidate["content"]["parts"])
    return found


# Usage in Chat's streams.


@pairs(clients=[CHAT])
async def test_who_did_not_ask_for_usage_gets_none(client: Speaker, provider: Provider) -> None:
    """Trap 1: the proxy asks for it in the client's place, or the provider tells it anyway."""
    reply = await ask(client, provider, streams(provider))

    found = chunk_bodies(reply.events)
    assert all(chunk["choices"] for chunk in found)
    assert not any(chunk.get("usage") for chunk in found)
    assert (reply.line["input_tokens"], reply.line["output_tokens"]) == (21, 9)
    if provider.dialect == "openai_chat":
        assert json.loads(reply.asked[0].body)["stream_options"] == {"include_usage": True}


@pairs(clients=[CHAT])
async def test_usage_comes_once_in_a_chunk_without_choices(
    client: Speaker, provider: Provider
) -> None:
    """Trap 3: where some clients look for it, and nowhere else."""
    body = client.body | {"stream_options": {"include_usage": True}}
    reply = await ask(client, provider, streams(provider), body)

    *rest, last = chunk_bodies(reply.events)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 30)
    assert not any(chunk.get("usage") for chunk in rest)
    assert all(chunk["choices"] for chunk in rest)


@each_client
async def test_a_chunk_without_choices_may_come_first(client: Speaker) -> None:
    """Trap 2: Azure tells first what its filter made of the prompt."""
    kind, stream = NAMED["openai_chat"].answer(SAID, True)
    filtered = b'data: {"choices":[],"id":"","model":"","prompt_filter_results":[{}]}\n\n'
    script = answer(200, filtered + stream, {"content-type": kind})
    reply = await ask(client, NAMED["openai_chat"], script)

    assert text_of(client, reply) == SAID.text
    if client is CHAT:
        assert reply.body.startswith(filtered)


# What stands in streams beside their events.


@pairs()
async def test_done_ends_chats_streams_and_no_others(client: Speaker, provider: Provider) -> None:
    """Trap 4: Google's SDKs cannot read it."""
    reply = await ask(client, provider, streams(provider))

    assert reply.body.count(b"[DONE]") == (client is CHAT)
    assert reply.body.endswith(b"data: [DONE]\n\n") == (client is CHAT)


_BESIDE = {
    "a ping": b'event: ping\ndata: {"type":"ping"}\n\n',
    "a vendor's event": b'event: vendor.timing\ndata: {"type":"vendor.timing","ms":1}\n\n',
    "an id and a comment": b"id: 7\n: alive\n\n",
    "how soon to try again": b"retry: 3000\n\n",
    "a comment": b": alive\n\n",
}


@pairs(OF_EVENTS, same=False)
async def test_what_a_provider_puts_beside_its_events_stays_there(
    client: Speaker, provider: Provider
) -> None:
    """Traps 5, 6, 7: a named event, an id, or a time to wait breaks readers of other APIs."""
    kind, stream = provider.answer(SAID, True)
    eol = b"\r\n\r\n" if b"\r\n" in stream else b"\n\n"
    frames = [frame + eol for frame in stream.split(eol)[:-1]]
    beside = list(_BESIDE.values())
    mixed = b"".join(beside[n % len(beside)] + frame for n, frame in enumerate(frames))
    reply = await ask(client, provider, answer(200, mixed, {"content-type": kind}))
    plain = await ask(client, provider, streams(provider))

    assert text_of(client, reply) == SAID.text
    assert [name for name, _ in reply.events] == [name for name, _ in plain.events]
    if client.dialect in ("openai_chat", "gemini"):
        assert {name for name, _ in reply.events} == {""}


@pairs()
async def test_nothing_of_ours_stands_in_a_stream(client: Speaker, provider: Provider) -> None:
    """Traps 5 and 6, on our side: what the proxy has to tell stands in the head."""
    reply = await ask(client, provider, streams(provider))

    assert b"proxy" not in reply.body
    assert ("x-llm-proxy-request-id" in reply.fields, reply.whole) == (True, True)
    if client.dialect == provider.dialect:
        assert b"\n: " not in reply.body


# Streams that break.


def error_of(client: Speaker, reply: Answer) -> Body:
    """The error that the last event of a stream tells, in the client's own shape."""
    name, data = reply.events[-1]
    event: Body = json.loads(data)
    assert name == {"openai_responses": "error", "anthropic_messages": "error"}.get(
        client.dialect, ""
    )
    if client.dialect == "openai_responses":
        assert event["type"] == "error"
        assert event["message"]
    if client.dialect == "anthropic_messages":
        assert event["type"] == "error"
    found: Body = event["error"]
    assert found["message"]
    return found


_BREAKS: dict[str, list[Step]] = {"closed": [Cut()], "reset": [Reset()]}


@pairs()
@pytest.mark.parametrize("after", _BREAKS.values(), ids=_BREAKS)
async def test_a_stream_that_is_cut_off_is_seen_to_be(
    client: Speaker, provider: Provider, after: list[Step]
) -> None:
    """Trap 8: one error event in the client's shape, and an end that is none."""
    reply = await ask(client, provider, begun(provider, *after))

    assert not reply.whole
    assert (reply.line["status"], reply.line["error"]) == (200, "provider.broke")
    error_of(client, reply)
    assert b"[DONE]" not in reply.body
    assert sum(bool(event.get("error")) for event in chunk_bodies(reply.events)) == 1


@pairs(same=False)
async def test_an_end_that_the_provider_did_not_tell_is_none(
    client: Speaker, provider: Provider
) -> None:
    """Trap 8: a body that is whole as HTTP goes, and not as the API goes."""
    reply = await ask(client, provider, begun(provider, END))

    assert (reply.whole, reply.line["error"]) == (False, "provider.broke")
    error_of(client, reply)


@pairs()
async def test_an_error_in_a_stream_counts_as_one(client: Speaker, provider: Provider) -> None:
    """Trap 13: though HTTP says 200, in the log and in the metrics."""
    script = begun(provider, chunks(provider.broken), END)
    async with before(provider, script) as (url, upstream, _):
        reply = await ask_at(url, upstream, client)
        metrics = await _metrics(url)

    assert (reply.status, reply.line["status"]) == (200, 200)
    assert reply.line["error"].startswith("provider.")
    counted = rf'llm_proxy_requests_total{{[^}}]*error="{reply.line["error"]}"[^}}]*}} 1'
    assert re.search(counted, metrics)


async def _metrics(url: ProxyURL) -> str:
    async with RawClient(url.admin) as raw:
        await raw.send(request("/metrics", method="GET"))
        await raw.read_head("GET")
        return (await raw.read_body()).decode()


@pairs([NAMED["gemini"], NAMED["anthropic_messages"]], [ARRAY])
@pytest.mark.parametrize("way", ["cut", "told", "before anything"])
async def test_an_array_that_breaks_ends_in_an_error(
    client: Speaker, provider: Provider, way: str
) -> None:
    """Traps 8 and 13, of streams that are no events: the array ends in an error, and breaks."""
    if provider.dialect == "gemini":
        chunk = {"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}}]}
        sent = b"[" + json.dumps(chunk, indent=2).encode()
        said = b'\n,\r\n{"error": {"code": 503, "message": "too busy", "status": "UNAVAILABLE"}}\n]'
        head = stream_head(headers={"content-type": "application/json"})
        script: list[Step] = [head, chunks(sent)]
    else:
        script, said = begun(provider), provider.broken
    if way == "before anything":
        script = script[:1]
    script += [chunks(said), END] if way == "told" else [Cut()]
    reply = await ask(client, provider, script)

    elements = json.loads(reply.body)
    assert elements[-1]["error"]["code"] in (502, 503)
    assert elements[-1]["error"]["message"]
    assert (len(elements) > 1) == (way != "before anything")
    assert reply.line["error"] == ("provider.overloaded" if way == "told" else "provider.broke")
    passed = provider.dialect == "gemini" and way == "told"
    assert reply.whole == passed


@pairs()
async def test_what_a_client_has_some_of_is_not_asked_for_again(
    client: Speaker, provider: Provider
) -> None:
    """Trap 14: not of the same provider, nor of another."""
    script = begun(provider, Reset())
    async with before(provider, script, targets='["up/a", "spare/b"]') as (url, upstream, spare):
        await ask_at(url, upstream, client)

    assert (len(upstream.requests), len(spare.requests)) == (1, 0)


# How events are written.


class Dribble:
    """Sends a body so that no read of the proxy's has a whole event."""

    def __init__(self, kind: str, body: bytes, size: int) -> None:
        self._head = stream_head(headers={"content-type": kind})
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def __call__(self, connection: Connection, /) -> None:
        await self._head(connection)
        for piece in self._pieces:
            await chunks(piece)(connection)
            await connection.sleep(0)
        await END(connection)


@pairs(same=False)
async def test_events_are_written_whole_and_with_line_feeds_alone(
    client: Speaker, provider: Provider
) -> None:
    """Trap 15: however they came; characters of several bytes among them."""
    kind, body = provider.answer(SAID, True)
    async with before(provider, Dribble(kind, body, 7)) as (url, _, _), RawClient(url) as raw:
        fields = {"connection": "close"}
        await raw.send(request(client.path, client.body, headers=fields))
        await raw.read_head()
        sent = await raw.read_rest()
    pieces = []
    while sent != b"0\r\n\r\n":
        size, _, sent = sent.partition(b"\r\n")
        pieces.append(sent[: int(size, 16)])
        sent = sent[int(size, 16) + 2 :]

    assert len(pieces) > 4
    assert all(piece.endswith(b"\n\n") and b"\r" not in piece for piece in pieces)
    reply = Answer(200, {}, b"".join(pieces), True, {}, [])
    assert text_of(client, reply) == SAID.text


@pairs(OF_EVENTS)
async def test_an_event_may_be_huge(client: Speaker, provider: Provider) -> None:
    """Trap 16: images and encrypted reasoning are longer than any line should be."""
    kind, body = provider.answer(Said("*****"), True)
    text = "x" * (1 << 21)
    huge = answer(200, body.replace(b"*****", text.encode()), {"content-type": kind})
    reply = await ask(client, provider, huge)

    assert text_of(client, reply) == text
    assert reply.whole


# What is not to be touched.

_ODD = b'{ "x_unknown" : [1.0, 1e400, "\\u00e9", {"a":1,"a":2}] ,\n'


def odd(client: Speaker, model: str = "m") -> bytes:
    """A request that its API knows, spelled as nobody else would, cache marks and all."""
    fields = _ODD + (b'"model" :"%b",' % model.encode() if "model" in client.body else b"")
    body = dict(client.body)
    body.pop("model", None)
    mark = b'"prompt_cache_key": "\\u0061", "cache_control" :{"type":"ephemeral" },'
    return fields + mark + json.dumps(body, indent=1).encode()[1:]


@each_client
async def test_what_nobody_knows_stays_byte_for_byte(client: Speaker) -> None:
    """Trap 17: fields of requests, events, and fields of events, where both sides speak alike."""
    provider = NAMED[client.dialect]
    kind, body = provider.answer(SAID, True)
    unknown = b'event: x.new\ndata: {"type":"x.new" , "n":1.0}\n\n: note\nid: 7\n\n' + body
    script = answer(200, unknown, {"content-type": kind})
    asks = odd(client)
    if client is CHAT:  # a client that asked for usage is left alone in everything
        asks = asks[:-1] + b',"stream_options":{"include_usage":true}}'
    async with before(provider, script, targets='["up"]') as (url, upstream, _):
        reply = await ask_at(url, upstream, client, asks)

    assert reply.body == unknown
    assert upstream.requests[0].body == asks


@each_client
async def test_an_edit_leaves_all_else_as_it_is_spelled(client: Speaker) -> None:
    """Trap 18: whatever is spelled anew is cached anew."""
    provider = NAMED[client.dialect]
    asks = odd(client)
    reply = await ask(client, provider, streams(provider), asks)
    body = reply.asked[0].body
    kept = [b'[1.0, 1e400, "\\u00e9", {"a":1,"a":2}]', b'"\\u0061"', b'{"type":"ephemeral" }']

    places = [body.index(piece) for piece in kept]
    assert places == sorted(places)
    messages = b'"Hi"'
    if client is not RESPONSES:
        messages = asks[asks.index(b"[\n  {") : asks.rindex(b"]") + 1]
    assert messages in body
    names = list(json.loads(body))
    assert names[: len(json.loads(asks))] == list(json.loads(asks))
    if client is GEMINI:
        assert body == asks


def longer(client: Speaker, turns: int) -> Body:
    """A conversation of so many turns; each length begins as the ones before it."""
    said = [("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(turns)]
    if client is GEMINI:
        roles = {"user": "user", "assistant": "model"}
        contents = [{"role": roles[role], "parts": [{"text": text}]} for role, text in said]
        return {"contents": contents, "systemInstruction": {"parts": [{"text": "Be brief."}]}}
    messages = [{"role": role, "content": text} for role, text in said]
    body = {name: value for name, value in client.body.items() if name not in ("messages", "input")}
    return body | {"input" if client is RESPONSES else "messages": messages}


@pairs(OF_TURNS, same=False)
async def test_a_conversation_that_goes_on_is_rendered_as_before(
    client: Speaker, provider: Provider
) -> None:
    """Trap 18: the same turns become the same bytes each time, so their cache is found again."""
    async with before(provider, streams(provider)) as (url, upstream, _):
        for turns in (3, 5, 3):
            await ask_at(url, upstream, client, longer(client, turns))
    three, five, again = (sent.body for sent in upstream.requests)

    assert three == again
    end = three.index(b"turn 2") + len(b"turn 2")
    shared = [a == b for a, b in zip(three[:end], five[:end], strict=True)]
    assert all(shared)


# What is good with its maker alone.

SEAL = "U0lHTkVE"
_USED = {"input_tokens": 1, "output_tokens": 2}
SEALED: dict[str, Body] = {
    "openai_responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEAL},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Ho", "annotations": []}],
            },
        ],
        "usage": _USED,
    },
    "anthropic_messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": SEAL},
            {"type": "text", "text": "Ho"},
        ],
        "stop_reason": "end_turn",
        "usage": _USED,
    },
    "gemini": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "Ho", "thoughtSignature": SEAL}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1},
    },
}


def whole(client: Speaker) -> Speaker:
    """The same client, who wants no stream."""
    path = "/v1beta/models/m:generateContent" if client is GEMINI else client.path
    body = {name: value for name, value in client.body.items() if name != "stream"}
    return Speaker(client.dialect, path, body)


def continued(client: Speaker, reply: bytes) -> Body:
    """What a client asks next: all that was said, and one word more."""
    found, body = json.loads(reply), dict(client.body)
    match client.dialect:
        case "openai_chat":
            body["messages"] = [*_HI, found["choices"][0]["message"], *_HI]
        case "openai_responses":
            body["input"] = [*_HI, *found["output"], *_HI]
        case "anthropic_messages":
            body["messages"] = [*_HI, {"role": "assistant", "content": found["content"]}, *_HI]
        case _:
            said = found["candidates"][0]["content"]
            body["contents"] = [*_GEMINI["contents"], said, *_GEMINI["contents"]]
    return body


@pytest.mark.parametrize("maker", SEALED)
@pairs([provider for provider in OF_TURNS if provider.dialect != "bedrock_converse"])
async def test_a_signature_goes_back_to_who_made_it_and_to_nobody_else(
    client: Speaker, provider: Provider, maker: str
) -> None:
    """Trap 20: of thinking, and of reasoning that is encrypted."""
    asker = whole(client)
    made = answer(200, json.dumps(SEALED[maker]))
    first = await ask(asker, NAMED[maker], made, asker.body | _wants(client))
    kind, body = provider.answer(SAID, False)
    asks = continued(asker, first.body)
    reply = await ask(asker, provider, answer(200, body, {"content-type": kind}), asks)
    [sent] = reply.asked

    assert (first.status, reply.status) == (200, 200), reply.body
    if client.dialect != provider.dialect or client.dialect == maker:
        assert (SEAL.encode() in sent.body) == (provider.dialect == maker)


def _wants(client: Speaker) -> Body:
    """What makes an API give out reasoning that is encrypted."""
    return (
        {"include": ["reasoning.encrypted_content"], "store": False} if client is RESPONSES else {}
    )


# What stands in heads.


async def test_features_of_anthropics_that_a_client_asks_for_arrive_together() -> None:
    """Trap 19: in one field or several, and beside those that the configuration asks for."""
    provider = NAMED["anthropic_messages"]
    async with Upstream(streams(provider)) as upstream:
        config = f"""
            [provider.up]
            type = "anthropic"
            url = "{upstream.url}"
            token = "literal:k"
            headers = {{ anthropic-beta = "ours" }}
            [[route]]
            targets = ["up"]
        """
        async with serve(config) as url, RawClient(url) as raw:
            body = json.dumps(ANTHROPIC.body)
            lines = ["POST /v1/messages HTTP/1.1", "host: x", "anthropic-beta: a, b"]
            lines += ["Anthropic-Beta: c", f"content-length: {len(body)}", "", body]
            await raw.send("\r\n".join(lines).encode())
            await raw.read_head()
        sent = upstream.requests[0].headers

    betas = [value for name, value in sent if name.lower() == "anthropic-beta"]
    assert betas == ["a, b", "c", "ours"]


async def test_features_of_anthropics_are_asked_of_claude_on_bedrock_in_the_body() -> None:
    """Trap 19: those that Bedrock knows; it refuses a request that asks for others."""
    async with Upstream(answer(400, b'{"message":"no"}')) as upstream:
        config = f"""
            [provider.up]
            type = "bedrock"
            url = "{upstream.url}"
            token = "literal:k"
            variables = {{ region = "us-east-1" }}
            [[route]]
            targets = ["up/anthropic.claude-sonnet-4-5-20250929-v1:0"]
        """
        async with serve(config) as url:
            asked = {"anthropic-beta": "claude-code-20250219,context-1m-2025-08-07"}
            await ask_at(url, upstream, ANTHROPIC, headers=asked)
        [sent] = upstream.requests

    assert json.loads(sent.body)["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert sent.header("anthropic-beta") is None


@pairs()
@pytest.mark.parametrize("value", ["NOT_GIVEN", "600", "", "1e999", "-1", "nan"])
async def test_a_header_that_says_nothing_harms_nothing(
    client: Speaker, provider: Provider, value: str
) -> None:
    """Trap 21: SDKs do send `x-stainless-timeout: NOT_GIVEN`."""
    names = ("x-stainless-timeout", "x-stainless-read-timeout", "x-stainless-retry-count")
    headers = dict.fromkeys(names, value)
    reply = await ask(client, provider, streams(provider), headers=headers)

    assert (reply.status, reply.whole, reply.line.get("error")) == (200, True, None)
    if client.dialect == provider.dialect:
        assert all(reply.asked[0].header(name) == value for name in names)


@pairs()
@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
async def test_a_request_may_come_compressed(
    client: Speaker, provider: Provider, coding: str
) -> None:
    """Trap 22: it is read like any other; the provider gets it plain."""
    plain = json.dumps(client.body).encode()
    headers = {"content-encoding": coding}
    reply = await ask(client, provider, streams(provider), gzip.compress(plain), headers=headers)
    same = await ask(client, provider, streams(provider), plain)

    assert (reply.status, reply.whole) == (200, True)
    assert reply.asked[0].body == same.asked[0].body
    assert reply.asked[0].header("content-encoding") is None
