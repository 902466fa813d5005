"""OpenAI Embeddings, as the mock speaks them."""

import base64
import math
import struct
from typing import Annotated, Literal

import msgspec

from proxy.mock import openai
from proxy.mock.inputs import Inputs, read_inputs
from proxy.mock.reply import Reply, Whole, decode
from proxy.mock.settings import MockSettings
from proxy.mock.text import fingerprint, generator

DIMENSIONS = 1536
"""Numbers in a vector where the request does not say (as text-embedding-3-small)."""

MAX_DIMENSIONS = 8192


class EmbeddingRequest(msgspec.Struct):
    """What is read of a request; everything else is ignored."""

    model: openai.Model
    input: Inputs
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


def reply(body: bytes, settings: MockSettings) -> Reply:
    """Answer ``POST /v1/embeddings``; raises MockError."""
    request = decode(body, EmbeddingRequest)
    inputs = read_inputs(request.input, "input")
    dimensions = request.dimensions or DIMENSIONS
    data = []
    for index, each in enumerate(inputs):
        packed = vector(fingerprint(settings.seed, each.data), dimensions)
        embedding = (
            base64.b64encode(packed).decode()
            if request.encoding_format == "base64"
            else struct.unpack(f"<{dimensions}f", packed)
        )
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = sum(each.tokens for each in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return Whole(request.model, 0, msgspec.json.encode(answer))


def vector(key: bytes, dimensions: int) -> bytes:
    """The unit vector of an input: float32, little-endian, as `encoding_format` base64 has it."""
    rng = generator(key)
    numbers = [rng.random() - 0.5 for _ in range(dimensions)]
    length = math.hypot(*numbers) or 1.0
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
