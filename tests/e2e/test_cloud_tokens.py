"""Credentials of clouds, had from services that a test plays."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.errors import ConfigError
from proxy.testing import ProxyURL, RawClient, Upstream, answer, request, serve
from proxy.testing.connection import Connection, ReceivedRequest
from proxy.testing.steps import Script, Send
from proxy.tokens import _refreshed as refreshed
from tests.e2e.conftest import Answer, chat, read_answer

CONFIG = """
[provider.x]
type = "openai_compatible"
url = "{url}/v1"
paths = {{ openai_chat = "/model/{{model}}/converse" }}
{more}
[[route]]
name = "all"
path = ["/v1/*"]
targets = ["x"]
"""
MODEL = "anthropic.claude-3-sonnet-20240229-v1:0"


async def ask(url: ProxyURL, raw: bytes | None = None) -> Answer:
    async with RawClient(url) as client:
        await client.send(chat(model=MODEL) if raw is None else raw)
        return await read_answer(client)


# AWS.


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without anything of AWS's."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    return monkeypatch


def expected(received: ReceivedRequest, host: str, keys: ReadOnlyCredentials) -> str:
    """The Authorization that botocore would have sent with a request that was received."""
    made = AWSRequest(
        method=received.method, url=f"http://{host}{received.target}", data=received.body
    )
    for name, value in received.headers:
        if name in ("host", "content-type"):
            made.headers.add_header(name, value)
    stamp = received.header("x-amz-date")
    assert stamp is not None
    at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with patch("botocore.auth.get_current_datetime", return_value=at):
        SigV4Auth(keys, "bedrock", "eu-west-1").add_auth(made)
    found: str = made.headers["Authorization"]
    return found


def imds(access: str, expires: timedelta = timedelta(hours=6)) -> list[Script]:
    """What an instance's metadata service answers."""
    until = (datetime.now(UTC) + expires).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": access,
        "SecretAccessKey": "canary-secret",
        "Token": "canary-token",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Expiration": until,
    }
    text = {"content-type": "text/plain", "x-aws-ec2-metadata-token-ttl-seconds": "21600"}
    return [
        answer(200, "imds-token", text),
        answer(200, "the-role", text),
        answer(200, json.dumps(keys)),
    ]


async def test_an_instances_credentials_sign_what_is_sent(
    no_aws: pytest.MonkeyPatch,
) -> None:
    more = 'token = { type = "aws", region = "eu-west-1" }'
    async with Upstream(answer()) as upstream, Upstream(*imds("AKIDINSTANCE")) as metadata:
        no_aws.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).status == 200
            body = request(
                "/v1/files?b=2&a=%3A", b"raw \x00 bytes", headers={"content-length": "11"}
            )
            assert (await ask(url, body)).status == 200
            assert "canary" not in str(url.lines) + repr(vars(url.app))
        assert [one.method for one in metadata.requests] == ["PUT", "GET", "GET"]
        keys = ReadOnlyCredentials("AKIDINSTANCE", "canary-secret", "canary-token")
        first, second = upstream.requests
        assert first.target == f"/v1/model/{MODEL.replace(':', '%3A')}/converse"
        assert second.target == "/v1/files?b=2&a=%3A"
        for received in (first, second):
            assert received.header("x-amz-security-token") == "canary-token"
            host = f"{upstream.host}:{upstream.port}"
            assert received.header("authorization") == expected(received, host, keys)


async def test_a_pods_role_is_assumed_with_its_web_identity(
    no_aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    xml = f"""<AssumeRoleWithWebIdentityResponse
      xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
      <Credentials><AccessKeyId>AKIDPOD</AccessKeyId><SecretAccessKey>canary</SecretAccessKey>
      <SessionToken>canary-t</SessionToken><Expiration>{until}</Expiration></Credentials>
      </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
    (tmp_path / "identity").write_text("canary-identity")
    more = 'token = "aws"'
    sts_answer = answer(200, xml, {"content-type": "text/xml"})
    async with Upstream(answer()) as upstream, Upstream(sts_answer) as sts:
        no_aws.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/llm-proxy")
        no_aws.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "identity"))
        no_aws.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        no_aws.setenv("AWS_REGION", "eu-west-1")
        no_aws.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).status == 200
        [asked] = sts.requests
        assert b"Action=AssumeRoleWithWebIdentity" in asked.body
        assert b"WebIdentityToken=canary-identity" in asked.body
        sent = upstream.requests[0].header("authorization")
        assert sent is not None
        assert sent.startswith("AWS4-HMAC-SHA256 Credential=AKIDPOD/")


async def test_they_are_renewed_ahead_of_their_expiry(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setattr(refreshed, "AHEAD", (0.0, 0.0))
    no_aws.setattr(refreshed, "SHORTEST", 0.05)
    more = 'token = { type = "aws", region = "eu-west-1" }'
    scripts = [*imds("AKIDONE"), *imds("AKIDTWO")]
    async with Upstream(answer()) as upstream, Upstream(*scripts) as metadata:
        no_aws.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            found = set()
            for _ in range(300):
                assert (await ask(url)).status == 200
                said = upstream.requests[-1].header("authorization") or ""
                found.add(said.partition("Credential=")[2].partition("/")[0])
                if "AKIDTWO" in found:
                    break
                await asyncio.sleep(0.01)
            assert found == {"AKIDONE", "AKIDTWO"}


async def test_without_any_the_proxy_does_not_start(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with Upstream() as upstream:
        with pytest.raises(ConfigError, match="no AWS credentials were found"):
            async with serve(CONFIG.format(url=upstream.url, more='token = "aws"')):
                pass


# Google Cloud.

TEXT = {"content-type": "text/plain", "metadata-flavor": "Google"}
JSON = {"content-type": "application/json", "metadata-flavor": "Google"}


def by_path(*answers: tuple[str, Send]) -> Script:
    """A service that answers by what the path begins with, the first that fits."""

    async def play(connection: Connection) -> None:
        assert connection.request is not None
        target = connection.request.target
        for begin, step in answers:
            if target.startswith(begin):
                await step(connection)
                return
        await answer(404)(connection)

    return play


def given(value: str, expires: int = 3600) -> Send:
    body = {"access_token": value, "expires_in": expires, "token_type": "Bearer"}
    return answer(200, json.dumps(body), JSON)


@pytest.fixture
def no_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without anything of Google's."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    return monkeypatch


async def test_a_metadata_server_gives_out_a_token(no_google: pytest.MonkeyPatch) -> None:
    account = answer(200, '{"email":"a@b","scopes":[],"aliases":["default"]}', JSON)
    base = "/computeMetadata/v1/instance/service-accounts/"
    metadata_server = by_path(
        ("/computeMetadata/v1/project/project-id", answer(200, "my-project", TEXT)),
        (f"{base}default/token", given("canary-gce")),
        (f"{base}a@b/token", given("canary-gce")),
        (base, account),
        ("/computeMetadata/v1/universe", answer(200, "googleapis.com", TEXT)),
        ("/", answer(200, "ok", TEXT)),
    )
    async with Upstream(answer()) as upstream, Upstream(metadata_server) as metadata:
        for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
            no_google.setenv(name, f"{metadata.host}:{metadata.port}")
        async with serve(CONFIG.format(url=upstream.url, more='token = "google"')) as url:
            assert (await ask(url)).status == 200
            assert "canary" not in str(url.lines) + repr(vars(url.app))
        assert upstream.requests[0].header("authorization") == "Bearer canary-gce"


def service_account(tmp_path: Path, token_uri: str) -> str:
    """The path of a service account's file, of a key that was just made."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    info = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "me@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(info))
    return str(path)


@pytest.mark.parametrize("where", ["key", "environment"])
async def test_a_service_account_signs_for_its_token(
    no_google: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    async with Upstream(answer()) as upstream, Upstream(given("canary-sa")) as service:
        file = service_account(tmp_path, f"{service.url}/token")
        more = f'token = {{ type = "google", credentials = "{file}" }}'
        if where == "environment":
            no_google.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
            more = 'token = { type = "google", scopes = ["s"] }'
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).status == 200
        assert upstream.requests[0].header("authorization") == "Bearer canary-sa"
        [asked] = service.requests
        assert b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer" in asked.body


async def test_a_workload_identity_is_exchanged_for_a_token(
    no_google: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "identity").write_text("canary-identity")
    async with Upstream(answer()) as upstream, Upstream(given("canary-wif")) as sts:
        info = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{sts.url}/v1/token",
            "credential_source": {"file": str(tmp_path / "identity")},
        }
        (tmp_path / "external.json").write_text(json.dumps(info))
        more = f'token = {{ type = "google", credentials = "{tmp_path}/external.json" }}'
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).status == 200
        assert upstream.requests[0].header("authorization") == "Bearer canary-wif"
        assert b"subject_token=canary-identity" in sts.requests[0].body


async def test_a_service_account_that_is_refused_keeps_the_proxy_from_starting(
    no_google: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = '{"error":"invalid_grant","error_description":"canary"}'
    async with Upstream() as upstream, Upstream(answer(400, words)) as service:
        file = service_account(tmp_path, f"{service.url}/token")
        more = f'token = {{ type = "google", credentials = "{file}" }}'
        with pytest.raises(ConfigError, match=r"cannot be had \(invalid_grant\)") as raised:
            async with serve(CONFIG.format(url=upstream.url, more=more)):
                pass
        assert "canary" not in str(raised.value)


async def test_a_token_service_that_is_away_does_not(
    no_google: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Upstream() as upstream:
        async with Upstream() as away:
            pass
        file = service_account(tmp_path, f"{away.url}/token")
        more = f'token = {{ type = "google", credentials = "{file}" }}'
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).error["code"] == "provider.credentials"
    assert "a token of Google's cannot be had (TransportError); there is none so far" in caplog.text


# Azure.


@pytest.fixture
def no_azure(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without anything of Azure's."""
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    return monkeypatch


@pytest.mark.parametrize("kind", ["app service", "machine"])
async def test_a_managed_identity_has_a_token(no_azure: pytest.MonkeyPatch, kind: str) -> None:
    body = {
        "access_token": f"canary-{kind[:3]}",
        "expires_on": str(int(datetime.now(UTC).timestamp()) + 3600),
        "expires_in": "3600",
        "resource": "https://cognitiveservices.azure.com",
        "token_type": "Bearer",
    }
    async with (
        Upstream(answer()) as upstream,
        Upstream(answer(200, json.dumps(body), JSON)) as service,
    ):
        if kind == "machine":
            no_azure.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url)
        else:
            no_azure.setenv("IDENTITY_ENDPOINT", f"{service.url}/token")
            no_azure.setenv("IDENTITY_HEADER", "canary-header")
        more = 'token = { type = "azure", client_id = "me" }'
        async with serve(CONFIG.format(url=upstream.url, more=more)) as url:
            assert (await ask(url)).status == 200
            assert "canary" not in str(url.lines) + repr(vars(url.app))
        assert upstream.requests[0].header("authorization") == f"Bearer canary-{kind[:3]}"
        [asked] = service.requests
        assert "resource=https" in asked.target
        assert "client_id=me" in asked.target
