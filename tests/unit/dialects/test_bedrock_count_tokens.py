"""Bedrock's token counting."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy.chat import Chat, Message, Omissions, Rendering, TextPart, Tool
from proxy.dialects.bedrock_count_tokens import BedrockCountTokens
from proxy.errors import BadRequest, BadResponse
from proxy.event import End, Usage, Used

Boto = Callable[[bytes, str], tuple[Any, list[Any]]]

DIALECT = BedrockCountTokens()
CHAT = Chat(
    model="asked",
    messages=[Message("system", [TextPart(text="s")]), Message("user", [TextPart(text="hi")])],
    tools=[Tool(name="f")],
    max_tokens=9,
    temperature=0.5,
    origin="anthropic_messages",
)
RENDERING = Rendering(model="m", omissions=Omissions(DIALECT.name, reject=True))


def test_it_is_the_counting_endpoint_of_the_family() -> None:
    assert (DIALECT.name, DIALECT.path, DIALECT.stream_path, DIALECT.operation) == (
        *("bedrock_count_tokens", "/model/{model}/count-tokens", "", "count_tokens"),
    )
    assert (DIALECT.form, DIALECT.model_in_path, DIALECT.client_facing) == ("count", True, False)


def test_botocore_would_send_the_question_and_reads_the_answer(bedrock_sdk: Boto) -> None:
    body = json.loads(DIALECT.render(CHAT, RENDERING))
    answer = DIALECT.encode(CHAT, [Used(Usage(12)), End()])
    client, sent = bedrock_sdk(answer, "application/json")

    assert client.count_tokens(modelId="m", **body)["inputTokens"] == 12
    assert json.loads(sent[0].body) == body
    assert body["input"]["converse"].keys() == {"messages", "system", "toolConfig"}


def test_a_count_is_the_usage_of_an_answer_that_is_nothing_else() -> None:
    assert DIALECT.decode(b'{"inputTokens":12}') == [Used(Usage(12)), End()]


def test_what_is_rendered_is_read_to_the_same() -> None:
    chat = DIALECT.read(DIALECT.parse(DIALECT.render(CHAT, RENDERING), "/model/m/count-tokens"))

    assert isinstance(chat, Chat)
    assert chat.messages == CHAT.messages
    assert [tool.name for tool in chat.tools] == ["f"]
    with pytest.raises(BadRequest) as raised:
        DIALECT.read(DIALECT.parse(b'{"input":{}}', "/model/m/count-tokens"))
    assert raised.value.param == "input"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"inputTokens":"12"}', b"\xff"])
def test_an_answer_that_counts_nothing_is_none(body: bytes) -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        DIALECT.decode(body)


def test_events_without_a_count_make_no_answer() -> None:
    with pytest.raises(BadResponse, match="counts no tokens"):
        DIALECT.encode(CHAT, [End()])
