"""What an answer of OpenAI's Chat says besides text, whether it is streamed or whole."""

from typing import Any

import msgspec

from proxy.chat import Chat, data_url, seal
from proxy.dialects._openai import stops
from proxy.dialects._openai.logprobs import spelled
from proxy.dialects.openai_chat.wire import NAME
from proxy.event import Call, Citation, Logprobs, Media, Stop, call_id
from proxy.exchange import Raw

Body = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, Raw])


def call(event: Call, response: str) -> Body:
    """A tool call without its arguments."""
    said: Body = {"id": event.id or call_id(response, event.choice, event.index)}
    if event.custom:
        said |= {"type": "custom", "custom": {"name": event.name, "input": ""}}
    else:
        said |= {"type": "function", "function": {"name": event.name, "arguments": ""}}
    if event.signature:
        kept = seal(event.signature, event.origin, NAME)
        said["extra_content"] = {"google": {"thought_signature": kept}}
    return said


def annotation(event: Citation, place: int) -> Body:
    """A citation; `place` is how long the text before it is."""
    if event.raw and event.origin == NAME:
        return _fields.decode(event.raw)
    start, end = event.start, event.end
    cited = {
        "url": event.url,
        "title": event.title,
        "start_index": place if start is None else start,
        "end_index": place if end is None else end,
    }
    return {"type": "url_citation", "url_citation": cited}


def image(event: Media) -> Body:
    """An image that the model made, as OpenRouter spells it."""
    return {"type": "image_url", "image_url": {"url": data_url(event.media_type, event.data)}}


def logprobs(event: Logprobs) -> Body:
    """Log-probabilities of some tokens."""
    tokens = [spelled(token) for token in event.tokens]
    return {"content": None, "refusal": tokens} if event.refusal else {"content": tokens}


def finish(event: Stop, ask: Chat) -> Body:
    """Why a choice stopped."""
    said = stops.finish(event)
    if ask.legacy_functions and said["finish_reason"] == "tool_calls":
        said["finish_reason"] = "function_call"
    return said
