"""Client credentials for an access token: what is asked, and what answers come to."""

import json
from base64 import b64encode
from typing import Any

import pytest

from proxy.token import Plain
from proxy.tokens._refreshed import Refused
from proxy.tokens.oauth2 import OAuth2, _read
from proxy.tokens.static import Env, Literal
from proxy.units import Duration
from tests.unit.conftest import Request

SECRET = "canary:s+ecret"


def oauth2(secret: str = SECRET, **keys: Any) -> OAuth2:
    held = Literal.from_text(secret)
    held.resolve({}, "")
    keys.setdefault("token_url", "https://id.example/token")
    return OAuth2(client_id="me & co", client_secret=held, **keys)


def test_the_secret_goes_into_the_header_form_encoded() -> None:
    form, headers, through = oauth2(scopes=("a", "b"), params={"audience": "x"})._request()

    assert form == {"grant_type": "client_credentials", "audience": "x", "scope": "a b"}
    pair = b64encode(b"me+%26+co:canary%3As%2Becret").decode()
    assert headers["authorization"] == f"Basic {pair}"
    assert through == {}


def test_the_secret_goes_into_the_body_where_that_is_said() -> None:
    form, headers, _ = oauth2(send_secret="post")._request()

    assert (form["client_id"], form["client_secret"]) == ("me & co", SECRET)
    assert "authorization" not in headers
    assert "scope" not in form


def test_the_service_may_be_asked_through_a_proxy() -> None:
    proxy = Plain(value="http://u:p@proxy:3128")
    _, headers, through = oauth2(proxy=proxy)._request()
    fields = {"proxy-authorization": "Basic dTpw"}
    assert through == {"proxy": "http://proxy:3128", "proxy_headers": fields}
    assert "proxy-authorization" not in headers

    _, headers, _ = oauth2(proxy=proxy, token_url="http://id/token")._request()
    assert headers["proxy-authorization"] == "Basic dTpw"


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("expires", "life"), [({"expires_in": 3600}, 3600.0), ({"expires_in": "60"}, 60.0), ({}, None)]
)
async def test_what_is_given_out_is_held_for_its_life(
    expires: dict[str, Any], life: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _read(200, body(access_token="canary-t", token_type="bearer", other=[1], **expires))

    async def ask(token: OAuth2) -> Any:
        return answer

    monkeypatch.setattr(OAuth2, "_ask", ask)
    token = oauth2()
    assert await token.renew() == life
    assert token.credential(Request()) == "canary-t"
    assert token.auth == "authorization: Bearer {token}"
    assert "canary" not in f"{token!r} {vars(token)}"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"token_type": "mac"}, "gives out no Bearer token"),
        ({}, "gives out no Bearer token"),
        ({"token_type": "Bearer", "expires_in": "soon"}, "expires_in is no number"),
        ({"token_type": "Bearer", "expires_in": "nan"}, "expires_in is no number"),
        ({"token_type": "Bearer", "expires_in": "1e999"}, "expires_in is no number"),
        ({"token_type": "Bearer", "expires_in": [1]}, "expires_in is no number"),
        ({"token_type": "Bearer", "access_token": "canary\r\nx: y"}, "holds a control character"),
    ],
)
async def test_what_cannot_be_used_is_not_held(
    fields: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _read(200, body(**{"access_token": "canary"} | fields))

    async def ask(token: OAuth2) -> Any:
        return answer

    monkeypatch.setattr(OAuth2, "_ask", ask)
    token = oauth2()
    with pytest.raises(ValueError, match=problem) as raised:
        await token.renew()

    assert "canary" not in str(raised.value)
    assert "_secret" not in vars(token)


@pytest.mark.parametrize(
    ("status", "answer", "refused", "problem"),
    [
        (400, body(error="invalid_scope"), True, "answered 400 (invalid_scope)"),
        (401, body(error="invalid_client", error_description="canary"), True, "answered 401 (inv"),
        (403, b"<html>canary", True, "the token endpoint answered 403"),
        (302, b"", True, "the token endpoint answered 302"),
        (400, body(error="Canary's own: words"), True, "the token endpoint answered 400"),
        (400, body(error={"code": "canary"}), True, "the token endpoint answered 400"),
        (200, b"[]", True, "the token endpoint answered without an access token"),
        (200, b"\xff", True, "the token endpoint answered without an access token"),
        (200, b"[" * 100_000, True, "the token endpoint answered without an access token"),
        (200, body(access_token=5), True, "the token endpoint answered without an access token"),
        (429, b"", False, "the token endpoint answered 429"),
        (503, body(error="temporarily_unavailable"), False, "answered 503 (temporarily_unav"),
    ],
)
def test_a_refusal_is_told_from_what_may_pass(
    status: int, answer: bytes, refused: bool, problem: str
) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        _read(status, answer)

    assert isinstance(raised.value, Refused) is refused
    assert problem in str(raised.value)
    assert "canary" not in str(raised.value)


async def test_a_secret_that_is_not_known_yet_is_waited_for() -> None:
    token = OAuth2(token_url="https://x/t", client_id="me", client_secret=Env(name="X"))
    with pytest.raises(ValueError, match="the client's secret is not known yet") as raised:
        await token.renew()

    assert not isinstance(raised.value, Refused)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"token_url": "id.example/token"}, "`token_url` is no URL"),
        ({"token_url": "https://u:p@id/token"}, "`token_url` is no URL"),
        ({"token_url": "ftp://id/token"}, "`token_url` is no URL"),
        ({"timeout": Duration(0)}, '`timeout` cannot be "0s"'),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        oauth2(**keys)
