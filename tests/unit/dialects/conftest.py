"""The official SDKs, fed without a socket."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.session import Session
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


Boto = Callable[[bytes, str], tuple[Any, list[AWSRequest]]]
"""A client of Bedrock's runtime whose every request is answered with these bytes of this content
type, and the requests that it sent."""


class _Body:
    """A response's body, as botocore's HTTP library hands it out."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        for at in range(0, len(self._payload), 7000):
            yield self._payload[at : at + 7000]


@pytest.fixture(scope="session")
def bedrock_sdk() -> Boto:
    def client(payload: bytes, kind: str) -> tuple[Any, list[AWSRequest]]:
        sent: list[AWSRequest] = []

        def answer(request: AWSRequest, **_: object) -> AWSResponse:
            sent.append(request)
            return AWSResponse(request.url, 200, {"content-type": kind}, _Body(payload))

        made.meta.events.unregister("before-send", unique_id="answer")
        made.meta.events.register_first("before-send", answer, unique_id="answer")
        return made, sent

    session = Session()
    session.set_credentials("k", "s")
    made = session.create_client("bedrock-runtime", region_name="us-east-1")
    return client
