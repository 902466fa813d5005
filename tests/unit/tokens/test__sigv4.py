"""Signatures, held byte for byte to those of botocore."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.provider import encode_segment
from proxy.tokens._sigv4 import Keys, Signer

HOST = "bedrock-runtime.eu-west-1.amazonaws.com"
AT = 1_764_081_000


def signed_by_botocore(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, keys: Keys, at: int
) -> dict[str, str]:
    request = AWSRequest(method=method, url=f"https://{HOST}{target}", data=body)
    for name, value in fields:
        request.headers.add_header(name, value)
    credentials = ReadOnlyCredentials(keys.access, keys.secret, keys.session)
    now = datetime.fromtimestamp(at, UTC)
    with patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, "bedrock", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def signed_by_us(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, keys: Keys, at: int
) -> dict[str, str]:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), ""]
    head = "\r\n".join(lines).encode("latin-1")
    added = Signer(keys, region="eu-west-1", service="bedrock").sign(head, body, at)
    assert added.endswith(b"\r\n")
    found = dict(line.split(": ", 1) for line in added.decode("latin-1").split("\r\n")[:-1])
    return {name.lower(): value for name, value in fields} | found


models = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30
).filter(lambda name: name not in (".", ".."))
raw_paths = st.text("abc%3A2F:/.~-_@!$&'()*+,;=", max_size=30).map("/".__add__)
paths = st.one_of(
    models.map(lambda name: f"/model/{encode_segment(name)}/converse-stream"),
    raw_paths,
)
queries = st.text("abz=&%203A-_.~+", max_size=20).map(lambda query: f"?{query}" if query else "")
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
secrets = st.text("ABCabc123+/=", min_size=1, max_size=40)


@given(
    method=st.sampled_from(["POST", "GET", "PUT"]),
    path=paths,
    query=queries,
    content_type=st.none() | values.filter(bool),
    own=st.dictionaries(st.text("abc-", min_size=1, max_size=8), values, max_size=2),
    body=st.binary(max_size=64),
    access=st.text("AKI123", min_size=1, max_size=20),
    secret=secrets,
    session=st.none() | secrets,
    at=st.integers(0, 4_102_444_800),
)
@example(
    "POST",
    "/model/anthropic.claude-3-sonnet-20240229-v1%3A0/converse",
    "",
    "application/json",
    {},
    b"{}",
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    None,
    AT,
)
@example(
    "POST", "/model/arn%3Aaws%3Abedrock%3Aeu%2Fx/converse", "", None, {}, b"", "A", "b", "c", 0
)
@example("GET", "/a//b/./c/../d/", "?b=2&a=1&a=0&c", None, {"x": "a  b"}, b"", "A", "b", None, AT)
def test_a_signature_is_that_of_botocore(
    method: str,
    path: str,
    query: str,
    content_type: str | None,
    own: dict[str, str],
    body: bytes,
    access: str,
    secret: str,
    session: str | None,
    at: int,
) -> None:
    keys = Keys(access, secret, session)
    fields = [("Host", HOST)]
    if content_type is not None:
        fields.append(("Content-Type", content_type))
    fields += [(f"X-Amz-Own-{name}", value) for name, value in own.items()]
    target = path + query
    ours = signed_by_us(method, target, fields, body, keys, at)

    assert ours == signed_by_botocore(method, target, fields, body, keys, at)


@pytest.mark.parametrize("name", ["User-Agent", "Accept", "X-Mine", "Accept-Encoding"])
def test_what_may_be_changed_on_the_way_is_not_signed(name: str) -> None:
    keys = Keys("A", "b")
    fields = [("host", HOST), ("content-type", "application/json")]
    bare = signed_by_us("POST", "/x", fields, b"{}", keys, AT)
    more = signed_by_us("POST", "/x", [*fields, (name, "1")], b"{}", keys, AT)

    assert more["authorization"] == bare["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date," in bare["authorization"]


def test_each_day_has_its_own_key() -> None:
    signer, keys = Signer(Keys("A", "b"), region="eu-west-1", service="bedrock"), Keys("A", "b")
    head = f"POST /x HTTP/1.1\r\nhost: {HOST}\r\n".encode()
    for at in (AT, AT + 86_400, AT + 1, AT):
        expected = signed_by_botocore("POST", "/x", [("host", HOST)], b"", keys, at)
        assert expected["authorization"].encode() in signer.sign(head, b"", at)


def test_keys_do_not_print() -> None:
    assert "canary" not in repr(Keys("canary", "canary", "canary"))
