"""The mock provider in the dialects that it speaks by their codecs, asked by official SDKs."""

import anthropic
import pytest

from proxy.testing import serve

ASKED = {"max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_anthropics_clients(stream: bool) -> None:
    async with (
        serve() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        if stream:
            async with client.messages.stream(model="mock", **ASKED) as events:  # type: ignore[arg-type]
                message = await events.get_final_message()
        else:
            message = await client.messages.create(model="mock", **ASKED)  # type: ignore[call-overload]
        counted = await client.messages.count_tokens(model="mock", messages=ASKED["messages"])  # type: ignore[arg-type]
        line = url.exchanges[0]

    assert message.content[0].type == "text"
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 8
    assert counted.input_tokens > 0
    assert line["dialect"] == "anthropic_messages"
    assert (line["output_tokens"], line["stream"]) == (8, stream)


async def test_it_fails_as_it_is_asked_to() -> None:
    async with (
        serve() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.InternalServerError):
            await client.messages.create(model="mock-status-503", **ASKED)  # type: ignore[call-overload]
        with pytest.raises(anthropic.APIError):
            async with client.messages.stream(model="mock-error-2", **ASKED) as events:  # type: ignore[arg-type]
                await events.get_final_message()
