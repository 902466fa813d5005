"""Gemini's embeddings, one at a time."""

import json
from pathlib import Path

import pytest

from proxy.chat import Embedding, Omissions, Rendering
from proxy.dialects.gemini_embed_content import GeminiEmbedContent
from proxy.errors import BadResponse, Unsupported
from proxy.event import Begin, End, Usage, Used, Vector
from proxy.testing import check_dialect

EMBED = GeminiEmbedContent()
PATH = "/v1beta/models/m:embedContent"
REQUEST = b'{"content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING"}'


def test_it_keeps_the_contract_of_dialects() -> None:
    check_dialect(EMBED, [REQUEST], [b'{"embedding":{"values":[0.1]}}'])


def test_it_is_the_single_embeddings_endpoint_of_the_family() -> None:
    assert (EMBED.name, EMBED.family, EMBED.operation, EMBED.form) == (
        *("gemini_embed_content", "gemini", "embeddings", "embedding"),
    )
    for template in (EMBED.path, *EMBED.aliases):
        assert EMBED.parse(b"{}", template.replace("{model}", "x")).model is not None


def test_neither_a_system_prompt_nor_a_model_that_it_does_not_name_concerns_it() -> None:
    request = EMBED.parse(REQUEST, PATH)
    EMBED.add_system(request, "x")
    EMBED.name_model(request, "n")
    assert request.body() is request.raw

    request = EMBED.parse(b'{"model":"models/m","content":{ }}', PATH)
    EMBED.name_model(request, "n")
    assert request.body() == b'{"model":"models/n","content":{ }}'


def test_a_request_is_read_and_rendered() -> None:
    ask = EMBED.read(EMBED.parse(REQUEST, PATH))
    rendering = Rendering(model="m", omissions=Omissions("gemini_embed_content", reject=True))

    assert ask == Embedding(model="m", inputs=["a"], task="clustering", origin="gemini")
    assert json.loads(EMBED.render(ask, rendering)) == {
        **json.loads(REQUEST),
        "model": "models/m",
    }
    ask.inputs = ["a", "b"]
    with pytest.raises(Unsupported, match="more than one input in a request"):
        EMBED.render(ask, rendering)


def test_an_answer_is_decoded_and_encoded() -> None:
    ask = Embedding(model="m", inputs=["a"])
    events = [Begin(), Vector(0, [0.5]), Used(Usage(7)), End()]
    body = EMBED.encode(ask, events)

    assert body == b'{"embedding":{"values":[0.5]},"usageMetadata":{"promptTokenCount":7}}'
    assert EMBED.decode(body) == events
    assert EMBED.encode(ask, [Vector(0, [1.0])]) == b'{"embedding":{"values":[1.0]}}'
    with pytest.raises(BadResponse, match="holds no embeddings"):
        EMBED.decode(b"{}")


def test_recorded_traffic(cassettes: Path) -> None:
    for line in (cassettes / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row["path"].endswith(":embedContent"):
            continue
        request = (cassettes / "bodies" / row["req_body"]).read_bytes()
        body = (cassettes / "bodies" / row["resp_body"]).read_bytes()
        ask = EMBED.read(EMBED.parse(request, row["path"]))
        events = EMBED.decode(body)

        assert (ask.model, len(ask.inputs)) == ("gemini-embedding-2", 1)
        assert events[1] == Vector(0, json.loads(body)["embedding"]["values"])
        assert events[2] == Used(Usage(11))
        return
    pytest.fail("nothing was recorded")
