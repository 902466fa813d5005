"""Embeddings: requests of both methods, and what they have in common.

https://ai.google.dev/api/embeddings
"""

from typing import Any

import msgspec

from proxy.chat import Ask, Embedding, Omissions
from proxy.dialects._embeddings import asked, only, texts_of
from proxy.dialects._gemini.fields import Fields
from proxy.dialects._gemini.path import resource
from proxy.dialects._gemini.wire import ORIGIN, UsageMetadata
from proxy.errors import BadRequest, Unsupported

Raw = msgspec.Raw

TASKS = {
    "RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
}
"""What tasks are called in the neutral form is what Cohere calls them; others have one name."""
TASK_WORDS = {neutral: word for word, neutral in TASKS.items()}

# The newer place of the settings; the older one is the request itself.
_CONFIGS = ("embedContentConfig", "config")


class Values(msgspec.Struct):
    """One vector."""

    values: list[float]


class Answer(msgspec.Struct, rename="camel"):
    """A response of either method."""

    embedding: Values | None = None
    embeddings: list[Values] | None = None
    usage_metadata: UsageMetadata | None = None


answers = msgspec.json.Decoder(Answer)


def read_embedding(requests: list[Fields], model: str) -> Embedding:
    """The request that several are, which must want the same. Raises BadRequest, Unsupported."""
    texts: list[str] = []
    settings: list[dict[str, Any]] = []
    for request in requests:
        request.raw("model")
        content = request.object("content")
        if content is None:
            raise request.wrong("content", "must say what to embed")
        texts.append(_text(content))
        settings.append(_settings(request))
    if any(each != settings[0] for each in settings):
        raise Unsupported("inputs that are to be embedded differently cannot be carried together")
    found = settings[0]
    return Embedding(
        model=model,
        inputs=texts,
        dimensions=found["dimensions"],
        task=found["task"],
        extra={name: Raw(raw) for name, raw in found["extra"].items()},
        origin=ORIGIN,
    )


def _text(content: Fields) -> str:
    texts = []
    for part in content.objects("parts"):
        text = part.text("text")
        if text is None:
            raise Unsupported("what is no text cannot be embedded by a provider of other APIs")
        texts.append(text)
    if not texts:
        raise BadRequest(f"`{content.where}` says nothing", param=content.where)
    return "".join(texts)


def _settings(request: Fields) -> dict[str, Any]:
    for name in _CONFIGS:
        config = request.object(name)
        if config is not None:
            request.members |= config.members
    task = request.text("taskType")
    unsaid = task is None or task == "TASK_TYPE_UNSPECIFIED"
    return {
        "dimensions": request.integer("outputDimensionality"),
        "task": None if unsaid or task is None else TASKS.get(task, task.lower()),
        "extra": {name: bytes(raw) for name, raw in request.members.items()},
    }


def render_requests(ask: Ask, model: str, omissions: Omissions) -> list[dict[str, Any]]:
    """A request for each input. Raises Unsupported."""
    embedding = asked(ask, omissions, keeps=("task",))
    task = embedding.task
    own = embedding.extra if embedding.origin == ORIGIN else {}
    settings = {
        "model": resource(model),
        "taskType": None if task is None else TASK_WORDS.get(task, task.upper()),
        "outputDimensionality": embedding.dimensions,
    }
    return [
        {"content": {"parts": [{"text": text}]}, **only(settings), **own}
        for text in texts_of(embedding, omissions)
    ]
