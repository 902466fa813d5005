"""The official SDKs, fed without a socket."""

from collections.abc import Callable

import httpx2
import pytest
from openai import OpenAI

SDK = Callable[[bytes, bool], OpenAI]
"""A client whose every request is answered with these bytes; the flag: they are a stream."""


@pytest.fixture(scope="session")
def openai_sdk() -> SDK:
    def client(payload: bytes, stream: bool) -> OpenAI:
        kind = "text/event-stream" if stream else "application/json"

        def answer(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": kind}, content=payload)

        transport = httpx2.Client(transport=httpx2.MockTransport(answer))
        return OpenAI(api_key="k", base_url="http://x/v1", http_client=transport, max_retries=0)

    return client
