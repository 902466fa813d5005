"""AWS's standard chain: what it gives, and what is signed with that."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from botocore.session import Session

from proxy.errors import BadCredentials
from proxy.exchange import FinalRequest, Origin, Outcome
from proxy.tokens._refreshed import LOOK, Refused
from proxy.tokens.aws import AWS, region_of
from tests.unit.conftest import NO_TIMEOUTS, Request, provider

HOST = "bedrock-runtime.us-west-2.amazonaws.com"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of AWS's on this machine."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")


def final(host: str = HOST) -> FinalRequest:
    return FinalRequest(
        method="POST",
        origin=Origin("https", host, 443),
        head=f"POST /model/a%3A0/converse HTTP/1.1\r\nhost: {host}\r\n".encode(),
        body=b"{}",
        length=2,
        timeouts=NO_TIMEOUTS,
    )


def scope(token: AWS, host: str = HOST) -> str:
    """What a signature says it is for, and by whom."""
    _, _, rest = token.sign(final(host)).partition(b"Credential=")
    access, _, region, service, _ = rest.split(b",")[0].decode().split("/")
    return f"{access} {region} {service}"


async def test_the_environments_keys_sign() -> None:
    token = AWS()
    token.resolve({}, "/")
    assert await token.renew() == LOOK
    assert scope(token) == "AKIDENV us-west-2 bedrock"
    assert b"x-amz-security-token" not in token.sign(final())
    assert token.signs
    assert "canary" not in f"{token!r} {vars(token)}"
    with pytest.raises(BadCredentials, match="are never sent"):
        token.credential(Request())


async def test_a_session_token_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-session")
    token = AWS()
    await token.renew()

    assert b"x-amz-security-token: canary-session\r\n" in token.sign(final())


async def test_the_region_is_what_is_said_else_the_hosts_else_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    said, unsaid = AWS(region="eu-north-1", service="other"), AWS()
    for token in (said, unsaid):
        await token.renew()
    assert scope(said) == "AKIDENV eu-north-1 other"
    assert scope(unsaid) == "AKIDENV us-west-2 bedrock"
    assert scope(unsaid, "vpce.internal") == "AKIDENV ap-south-1 bedrock"


async def test_a_region_that_nobody_knows_is_told() -> None:
    token = AWS()
    await token.renew()
    with pytest.raises(BadCredentials, match="does not know the provider's region"):
        token.sign(final("vpce.internal"))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a1-b.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
        ("bedrock-mantle.us-east-2.api.aws", "us-east-2"),
        ("bedrock-runtime.amazonaws.com", None),
        ("bedrock.us-east-1.example.com", None),
        ("us-east-1", None),
    ],
)
def test_an_endpoint_has_its_region_in_its_name(host: str, region: str | None) -> None:
    assert region_of(host) == region


async def test_before_anything_was_found_nothing_is_signed() -> None:
    with pytest.raises(BadCredentials, match="has no credentials"):
        AWS().sign(final())


def given(monkeypatch: pytest.MonkeyPatch, credentials: object) -> None:
    def get(session: Session) -> object:
        if isinstance(credentials, Exception):
            raise credentials
        return credentials

    monkeypatch.setattr(Session, "get_credentials", get)


async def test_what_expires_is_good_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def refresh() -> dict[str, str]:
        until = datetime.now(UTC) + timedelta(hours=1)
        fields = {"access_key": "AKIDROLE", "secret_key": "canary", "token": "canary-t"}
        return fields | {"expiry_time": until.isoformat()}

    found = RefreshableCredentials.create_from_metadata(refresh(), refresh, "a test")
    given(monkeypatch, found)
    token = AWS()
    life = await token.renew()
    assert life is not None
    assert 3590 < life <= 3600
    assert scope(token) == "AKIDROLE us-west-2 bedrock"


async def test_new_keys_replace_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    token = AWS()
    await token.renew()
    assert scope(token).startswith("AKIDENV")
    given(monkeypatch, Credentials("AKIDNEW", "canary"))
    await token.renew()
    assert scope(token).startswith("AKIDNEW")


class PartialCredentialsError(BotoCoreError):  # type: ignore[misc]
    fmt = "partial {it}"


@pytest.mark.parametrize(
    ("found", "refused", "problem"),
    [
        (None, True, "no AWS credentials were found, wherever they may be"),
        (PartialCredentialsError(it="canary"), True, r"cannot be had \(PartialCredentialsError\)"),
        (
            EndpointConnectionError(endpoint_url="http://canary"),
            False,
            r"cannot be had \(EndpointConnectionError\)",
        ),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "canary"}}, "AssumeRole"),
            False,
            r"AWS credentials cannot be had \(AccessDenied\)",
        ),
        (
            ClientError({"Error": {"Code": "can: ary", "Message": "x"}}, "AssumeRole"),
            False,
            r"AWS credentials cannot be had \(ClientError\)",
        ),
    ],
)
async def test_what_cannot_be_found_is_told_and_whether_it_may_pass(
    monkeypatch: pytest.MonkeyPatch, found: Any, refused: bool, problem: str
) -> None:
    given(monkeypatch, found)
    with pytest.raises(ValueError, match=problem) as raised:
        await AWS().renew()

    assert isinstance(raised.value, Refused) is refused
    assert "canary" not in str(raised.value)


async def test_a_profile_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="ProfileNotFound"):
        await AWS(profile="nobody").renew()


async def test_a_profile_has_its_own_keys(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[prod]\naws_access_key_id = AKIDPROD\naws_secret_access_key = canary\n"
    )
    (tmp_path / "config").write_text("[profile prod]\nregion = eu-south-1\n")
    token = AWS(profile="prod")
    await token.renew()

    assert scope(token, "x") == "AKIDPROD eu-south-1 bedrock"


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://trap.invalid")
    seen: list[Session] = []

    def get(session: Session) -> Credentials:
        seen.append(session)
        return Credentials("A", "b")

    monkeypatch.setattr(Session, "get_credentials", get)
    await AWS().renew()

    [session] = seen
    assert session.get_default_client_config().proxies == {}
    fetchers = [
        provider._role_fetcher
        for provider in session.get_component("credential_provider").providers
        if hasattr(provider, "_role_fetcher")
    ]
    assert fetchers
    for fetcher in fetchers:
        config = fetcher._session._proxy_config
        assert config.proxy_url_for("http://169.254.169.254/") is None


async def test_a_refusal_by_403_is_one_too() -> None:
    token = AWS()
    vars(token).update(_wanted=asyncio.Event(), _tried_at=-1e6)
    token.report(token, Outcome(status=400))
    assert not token._wanted.is_set()
    token.report(token, Outcome(status=403))
    assert token._wanted.is_set()


async def test_a_provider_sends_a_signature_and_no_token() -> None:
    token = AWS(region="eu-west-1")
    await token.renew()
    who = provider(token=token)
    address = who.url.addresses()[0]
    request = Request(b"x", headers={"content-type": "application/json"})
    for sent in (
        who.final(request, address, token, NO_TIMEOUTS, b"{}", "/chat"),
        who.passed(request, address, token, NO_TIMEOUTS, b"{}"),
    ):
        *_, last = sent.head.removesuffix(b"\r\n").split(b"\r\n")
        assert last.startswith(b"authorization: AWS4-HMAC-SHA256 Credential=AKIDENV/")
        assert b"SignedHeaders=content-type;host;x-amz-date" in last
        assert sent.head.lower().count(b"authorization:") == 1


def test_what_it_needs_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.tokens._refreshed.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"botocore is not installed \(pip install 'llm-proxy\["):
        AWS().resolve({}, "/")


@pytest.mark.parametrize(
    ("kind", "library"),
    [("aws", "botocore"), ("google", "google.auth"), ("azure", "azure.identity")],
)
def test_what_is_heavy_is_imported_only_to_be_used(kind: str, library: str) -> None:
    check = (
        "import sys; from proxy.registry import find; find('tokens', {0!r})().resolve({{}}, '/'); "
        "sys.exit({1!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check.format(kind, library)], check=True)
