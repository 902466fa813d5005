"""Google's credentials: which they are, and what becomes of their failures."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth import aws, identity_pool, pluggable
from google.auth.exceptions import (
    DefaultCredentialsError,
    GoogleAuthError,
    RefreshError,
    TransportError,
)
from google.oauth2 import credentials as user

from proxy.tokens import google as module
from proxy.tokens._refreshed import LOOK, Refused
from proxy.tokens.google import Google
from tests.unit.conftest import Request

EXTERNAL = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/x"},
}
USER = {
    "type": "authorized_user",
    "client_id": "c",
    "client_secret": "canary",
    "refresh_token": "canary",
}
AWS_SOURCE = {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/x",
    "url": "http://169.254.169.254/y",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com",
}


def written(tmp_path: Path, content: object) -> str:
    path = tmp_path / "credentials.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (USER, user.Credentials),
        (EXTERNAL, identity_pool.Credentials),
        (EXTERNAL | {"credential_source": {"executable": {"command": "x"}}}, pluggable.Credentials),
        (
            EXTERNAL
            | {
                "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
                "credential_source": AWS_SOURCE,
            },
            aws.Credentials,
        ),
    ],
)
def test_a_file_says_which_credentials_it_holds(
    tmp_path: Path, content: dict[str, Any], kind: type
) -> None:
    assert type(module._load(written(tmp_path, content), ["s"])) is kind


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is no file of Google's credentials"),
        ("[]", "is no file of Google's credentials"),
        ("{}", "is no file of Google's credentials"),
        ("[" * 100_000, "is no file of Google's credentials"),
        ({"type": "service_account", "private_key": "canary"}, "is no file of Google's"),
        (EXTERNAL | {"credential_source": "canary"}, "is no file of Google's credentials"),
        (EXTERNAL | {"credential_source": {"canary": 1}}, "is no file of Google's credentials"),
        ({"type": "canary"}, "is of a type that is not known here"),
    ],
)
def test_what_is_no_such_file_is_told_without_a_trace_of_it(
    tmp_path: Path, content: object, problem: str
) -> None:
    with pytest.raises(Refused, match=problem) as raised:
        module._load(written(tmp_path, content), ["s"])

    assert "canary" not in str(raised.value)


def test_a_file_that_cannot_be_read_may_be_readable_later(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: Is a directory") as raised:
        module._load(str(tmp_path), ["s"])

    assert not isinstance(raised.value, Refused)


class Found:
    """Credentials that a test made."""

    def __init__(self, error: Exception | None = None, expiry: datetime | None = None) -> None:
        self.token: str | None = "canary-token"
        self.expiry = expiry
        self._error = error

    def refresh(self, request: Any) -> None:
        assert not request.session.trust_env
        if self._error is not None:
            raise self._error


def found(monkeypatch: pytest.MonkeyPatch, credentials: Found) -> list[Any]:
    """Have the chain find these; returns what it was asked for."""
    asked = []

    def default(scopes: list[str], request: object) -> tuple[Found, str]:
        asked.append(scopes)
        return credentials, "project"

    monkeypatch.setattr(google.auth, "default", default)
    return asked


async def test_what_the_chain_finds_is_held_until_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    asked = found(monkeypatch, Found(expiry=expiry))
    token = Google(scopes=("a", "b"))
    token.resolve({}, "/")
    life = await token.renew()

    assert life is not None
    assert 3590 < life <= 3600
    assert asked == [["a", "b"]]
    assert token.credential(Request()) == "canary-token"
    assert token.auth == "authorization: Bearer {token}"
    assert "canary" not in f"{token!r} {vars(token)}"


async def test_what_does_not_say_when_it_expires_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found(monkeypatch, Found())
    token = Google()
    token.resolve({}, "/")

    assert await token.renew() == LOOK


REFUSAL = RefreshError("invalid_grant: canary", {"error": "invalid_grant"})  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "refused", "problem"),
    [
        (REFUSAL, True, r"cannot be had \(invalid_grant\)"),
        (TransportError("canary"), False, r"cannot be had \(TransportError\)"),  # type: ignore[no-untyped-call]
        (RefreshError("canary", {"error": "canary"}), False, r"\(RefreshError\)"),  # type: ignore[no-untyped-call]
        (DefaultCredentialsError("canary"), True, "no credentials of Google's were found"),  # type: ignore[no-untyped-call]
    ],
)
async def test_a_refusal_is_told_from_what_may_pass(
    monkeypatch: pytest.MonkeyPatch, error: GoogleAuthError, refused: bool, problem: str
) -> None:
    found(monkeypatch, Found(error))
    token = Google()
    token.resolve({}, "/")
    with pytest.raises(ValueError, match=problem) as raised:
        await token.renew()

    assert isinstance(raised.value, Refused) is refused
    assert "canary" not in str(raised.value)


def test_a_file_is_looked_for_at_once_from_the_configurations_folder(tmp_path: Path) -> None:
    written(tmp_path, USER)
    Google(credentials="credentials.json").resolve({}, str(tmp_path))
    with pytest.raises(ValueError, match=r"/x\.json: no such file"):
        Google(credentials="x.json").resolve({}, str(tmp_path))


@pytest.mark.parametrize("missing", ["google.auth", "requests"])
def test_what_it_needs_must_be_installed(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(
        "proxy.tokens._refreshed.find_spec", lambda name: None if name == missing else name
    )
    with pytest.raises(ValueError, match=rf"{missing} is not installed \(pip install 'llm-proxy\["):
        Google().resolve({}, "/")
