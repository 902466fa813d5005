"""What the endpoints have in common."""

import json

import pytest
from msgspec.json import encode

from proxy.dialects._gemini.endpoint import add_instruction, items
from proxy.dialects.gemini import GeminiGenerate
from proxy.errors import BadJSON, BadRequest, ProviderBroke, ProviderOverloaded
from proxy.exchange import Raw

GEMINI = GeminiGenerate()
PATH = "/v1beta/models/m:generateContent"


def test_model_and_stream_stand_in_the_path() -> None:
    """A body may have fields of these names: they say nothing here."""
    body = b'{"model":"models/other","stream":true,"contents":[]}'
    whole = GEMINI.parse(body, PATH, "key=k")
    stream = GEMINI.parse(body, "/v1/models/a%2Fb:streamGenerateContent", "alt=sse")

    assert (whole.model, whole.stream, whole.path, whole.query) == ("m", False, PATH, "key=k")
    assert (stream.model, stream.stream, stream.query) == ("a/b", True, "alt=sse")
    assert whole.raw is body
    assert not GEMINI.ask_usage(stream)
    assert not stream.changed


def test_without_a_path_the_body_may_name_the_model() -> None:
    assert GEMINI.parse(b'{"model":"models/m"}').model == "m"
    assert GEMINI.parse(b"{}").model is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1beta/models/m:embedContent", r"the path must be /v1beta/models/\{model\}:generate"),
        ("/v1/chat/completions", "the path must be"),
        (f"/v1beta/models/{'m' * 257}:generateContent", "1 to 256 characters"),
        ("/v1beta/models/m%0a:generateContent", "1 to 256 characters"),
    ],
)
def test_a_path_that_names_no_model(path: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        GEMINI.parse(b"{}", path)


def test_the_body_is_json() -> None:
    with pytest.raises(BadJSON):
        GEMINI.parse(b"{", PATH)
    with pytest.raises(BadRequest):
        GEMINI.parse(b"[]", PATH)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (b"", None),
        (b'data: {"candidates":[]}\r\n\r\n', None),
        (b'data: {"error":{"code":500,"message":"no"}}\r\n\r\n', "no"),
        (b'data: {"error":{"code":500,"message":"no"}}', "no"),
        (b'data: {"candidates":[]}\r\n\r\ndata: {"error":{"message":"no"}}\r\n\r\n', "no"),
        (b'data: {"error":{"message":"no"}}\n\ndata: {"candidates":[]}\n\n', None),
        (b'data: {"error":null}\n\n', None),
        (b'data: "error"\n\n', None),
        (b'data: {"error":\xff}\n\n', None),
        (b'data: {"candidates":[{"content":{"parts":[{"text":"an \\"error\\""}]}}]}\n\n', None),
    ],
)
def test_a_stream_failed_if_its_last_frame_says_so(chunk: bytes, message: str | None) -> None:
    """Trap 13."""
    error = GEMINI.failure(chunk)

    assert (None if error is None else str(error)) == message


def test_an_error_event_is_one_frame_with_the_error_of_an_answer() -> None:
    error = ProviderOverloaded("it\nis busy")
    event = GEMINI.error_event(error)

    assert event == b"data: " + GEMINI.error(error) + b"\n\n"
    assert event.count(b"\n") == 2
    told = GEMINI.failure(event)
    assert type(told) is ProviderOverloaded
    assert str(told) == "it\nis busy"
    # The Python SDK knows an error by these bytes.
    assert event.startswith(b'data: {"error":')


def test_a_refusal_is_googles() -> None:
    body = json.dumps({"error": {"code": 500, "message": "oops"}}).encode()
    error, fit = GEMINI.refusal(500, body)

    assert (type(error), str(error), fit) == (ProviderBroke, "oops", True)


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({}, "systemInstruction", b'{"parts":[{"text":"new"}]}'),
        ({"systemInstruction": b"null"}, "systemInstruction", b'{"parts":[{"text":"new"}]}'),
        (
            {"system_instruction": b'{"role":"user","parts":[ {"text":  "own"} ]}'},
            "system_instruction",
            b'{"role":"user","parts":[{"text":"new"},{"text":  "own"}]}',
        ),
        (
            {"systemInstruction": b'{"parts":{"text":"own"}}'},
            "systemInstruction",
            b'{"parts":[{"text":"new"},{"text":"own"}]}',
        ),
        (
            {"systemInstruction": b'"own"'},
            "systemInstruction",
            b'{"parts":[{"text":"new"},{"text":"own"}]}',
        ),
        ({"systemInstruction": b"{}"}, "systemInstruction", b'{"parts":[{"text":"new"}]}'),
    ],
)
def test_an_instruction_comes_before_the_requests_own(
    fields: dict[str, bytes], name: str, said: bytes
) -> None:
    found, value = add_instruction({key: Raw(raw) for key, raw in fields.items()}, "new")

    assert (found, encode(value)) == (name, said)


def test_an_instruction_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="`systemInstruction` must be an object"):
        add_instruction({"systemInstruction": Raw(b"7")}, "new")


def test_one_item_stands_for_a_list() -> None:
    assert items(Raw(b"[1, 2]")) == [Raw(b"1"), Raw(b"2")]
    assert items(Raw(b'{"a":1}')) == [Raw(b'{"a":1}')]
