"""What policy reads of a request, and what of a body could be read in two ways."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadJSON, BadRequest, ProxyError
from proxy.framing.envelope import MAX_MODEL, parse_envelope


@pytest.mark.parametrize(
    ("body", "model", "stream", "asked_usage"),
    [
        (b"{}", None, False, False),
        (b'{"model":"m"}', "m", False, False),
        (b' {"x" : [1], "model" :\n"\xc3\xa9/\\u20ac" } ', "é/€", False, False),
        (b'{"model":null,"stream":null,"stream_options":null}', None, False, False),
        (b'{"stream":true}', None, True, False),
        (b'{"stream":false}', None, False, False),
        (b'{"stream":true,"stream_options":{}}', None, True, False),
        (b'{"stream":true,"stream_options":{"include_usage":false}}', None, True, False),
        (b'{"stream":true,"stream_options":{"include_usage":1}}', None, True, False),
        (b'{"stream_options":{"include_usage":true},"stream":true}', None, True, True),
        (b'{"m\\u006fdel":"m"}', "m", False, False),
        (b'{"Model":"m","nested":{"model":"n","stream":true}}', None, False, False),
    ],
)
def test_what_an_envelope_says(
    body: bytes, model: str | None, stream: bool, asked_usage: bool
) -> None:
    request = parse_envelope(body)

    assert (request.model, request.stream, request.asked_usage) == (model, stream, asked_usage)
    assert request.raw is body
    assert not request.changed


def refused(body: bytes) -> tuple[type[ProxyError], str, str | None]:
    with pytest.raises(ProxyError) as raised:
        parse_envelope(body)
    return type(raised.value), str(raised.value), raised.value.param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"model=m",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\\ud83d"}',
        b'{"a":"\n"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    kind, words, param = refused(body)

    assert (kind, param) == (BadJSON, None)
    assert words.startswith("the body is n")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"model"', b"true"])
def test_a_body_that_is_no_object_is_told_so(body: bytes) -> None:
    assert refused(body) == (BadRequest, "the body must be a JSON object", None)


MODEL = f"must be a string of 1 to {MAX_MODEL} characters"


@pytest.mark.parametrize(
    ("fields", "name", "what"),
    [
        ('"model":1', "model", MODEL),
        ('"model":""', "model", MODEL),
        ('"model":["m"]', "model", MODEL),
        (f'"model":"{"m" * (MAX_MODEL + 1)}"', "model", MODEL),
        ('"model":"a\\nb"', "model", "holds a control character"),
        ('"model":"a\\u0000"', "model", "holds a control character"),
        ('"model":"\\u202e"', "model", "holds a control character"),
        ('"stream":1', "stream", "must be true or false"),
        ('"stream":"true"', "stream", "must be true or false"),
        ('"stream_options":[]', "stream_options", "must be an object"),
        ('"stream_options":true', "stream_options", "must be an object"),
        ('"model":"a","model":"a"', "model", "stands twice"),
        ('"model":"a","mod\\u0065l":"b"', "model", "stands twice"),
        ('"model":"a","model":null', "model", "stands twice"),
        ('"model":null,"model":"a"', "model", "stands twice"),
        ('"stream":true,"x":1,"stream":false', "stream", "stands twice"),
        ('"stream_options":{},"stream_options":{}', "stream_options", "stands twice"),
    ],
)
def test_a_field_that_policy_reads_is_what_it_must_be_and_stands_once(
    fields: str, name: str, what: str
) -> None:
    assert refused(f"{{{fields}}}".encode()) == (BadRequest, f"`{name}` {what}", name)


def test_the_longest_name_is_a_name() -> None:
    assert parse_envelope(json.dumps({"model": "m" * MAX_MODEL}).encode()).model == "m" * MAX_MODEL


def test_nothing_of_one_request_is_left_for_the_next() -> None:
    parse_envelope(b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}')
    refused(b'{"model":"m","stream":1}')
    request = parse_envelope(b"{}")

    assert (request.model, request.stream, request.asked_usage) == (None, False, False)


leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
tree = leaf | st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=4), leaf, max_size=3)


@given(st.dictionaries(st.text(max_size=6), tree), st.text(max_size=20), st.booleans())
def test_what_stands_around_the_envelope_does_not_matter(
    fields: dict[str, Any], model: str, stream: bool
) -> None:
    body = json.dumps(fields | {"model": f"m{model}", "stream": stream}, ensure_ascii=False)
    if not model.isprintable():
        assert refused(body.encode())[1] == "`model` holds a control character"
        return
    request = parse_envelope(body.encode())

    assert (request.model, request.stream) == (f"m{model}", stream)
    assert request.body() is request.raw


@given(st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        parse_envelope(body)
    except (BadJSON, BadRequest):
        return
    assert isinstance(json.loads(body), dict)
