"""Anthropic's token counting."""

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from proxy.chat import Chat, Message, Omissions, Reasoning, Rendering, TextPart, Tool
from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.errors import BadResponse
from proxy.event import End, Usage, Used
from proxy.testing import check_dialect

DIALECT = AnthropicCountTokens()
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(DIALECT, [BODY], [b'{"input_tokens":12}'])


def test_it_is_the_counting_endpoint_of_the_family() -> None:
    assert (DIALECT.name, DIALECT.family, DIALECT.path, DIALECT.aliases) == (
        *("anthropic_count_tokens", "anthropic", "/v1/messages/count_tokens"),
        ("/messages/count_tokens",),
    )
    assert (DIALECT.operation, DIALECT.form) == ("count_tokens", "count")


def test_a_question_needs_no_length_and_says_only_what_counts() -> None:
    chat = DIALECT.read(DIALECT.parse(BODY))
    assert chat.messages == [Message("user", [TextPart(text="hi")])]

    chat = Chat(
        model="asked",
        messages=chat.messages,
        tools=[Tool(name="f")],
        reasoning=Reasoning(effort="low"),
        max_tokens=9,
        temperature=0.5,
        stream=True,
        origin="gemini",
    )
    rendering = Rendering(model="theirs", omissions=Omissions(DIALECT.name, reject=True))
    assert json.loads(DIALECT.render(chat, rendering)) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
    }


def test_a_count_is_the_usage_of_an_answer_that_is_nothing_else() -> None:
    events = DIALECT.decode(b'{"input_tokens":12,"context_management":{}}')

    assert events == [Used(Usage(input_tokens=12)), End()]
    assert DIALECT.encode(Chat(model="m", messages=[]), events) == b'{"input_tokens":12}'


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"input_tokens":"12"}', b"\xff"])
def test_an_answer_that_counts_nothing_is_none(body: bytes) -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        DIALECT.decode(body)


def test_events_without_a_count_make_no_answer() -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        DIALECT.encode(Chat(model="m", messages=[]), [End()])


def test_the_sdk_reads_it() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == DIALECT.path
        chat = DIALECT.read(DIALECT.parse(request.content))
        return httpx2.Response(200, content=DIALECT.encode(chat, [Used(Usage(12)), End()]))

    client = anthropic.Anthropic(
        api_key="k",
        base_url="http://proxy",
        http_client=httpx2.Client(transport=httpx2.MockTransport(respond)),
    )
    messages: Any = [{"role": "user", "content": "hi"}]
    assert client.messages.count_tokens(model="m", messages=messages).input_tokens == 12


def test_recorded_traffic_is_read(cassettes: Path) -> None:
    rows = [json.loads(line) for line in (cassettes / "index.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["kind"] == "count_tokens" and row["provider"] == "anthropic"]
    assert rows
    for row in rows:
        request, response = (
            (cassettes / "bodies" / row[name]).read_bytes() for name in ("req_body", "resp_body")
        )
        chat = DIALECT.read(DIALECT.parse(request))
        if row["status"] == 200:
            assert json.loads(DIALECT.encode(chat, DIALECT.decode(response))) == json.loads(
                response
            )
        else:
            assert DIALECT.refusal(row["status"], response)[1]
