"""Azure's identities: which one is used, and what becomes of its failures."""

import time
from types import SimpleNamespace
from typing import Any

import azure.identity
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from proxy.tokens._refreshed import Refused
from proxy.tokens.azure import Azure
from proxy.tokens.static import Env
from tests.unit.conftest import Request, key

SECRET = key("canary-secret")


class Library:
    """Stands for the library's credentials; notes which was made of what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.asked: list[str] = []
        self.error: Exception | None = None
        for name in ("ClientSecret", "ManagedIdentity", "WorkloadIdentity"):
            self._replace(monkeypatch, name)

    def _replace(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        def make(*args: Any, **keys: Any) -> "Library":
            transport = keys.pop("transport")
            assert not transport._use_env_settings
            self.made.append((name, args, keys))
            return self

        monkeypatch.setattr(azure.identity, f"{name}Credential", make)

    def get_token(self, scope: str) -> Any:
        self.asked.append(scope)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(token="canary-token", expires_on=int(time.time_ns() / 1e9) + 3600)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    return Library(monkeypatch)


async def test_a_managed_identity_is_used_where_nothing_else_is_said(library: Library) -> None:
    token = Azure()
    token.resolve({}, "/")
    life = await token.renew()

    assert life is not None
    assert 3590 < life <= 3600
    assert library.made == [("ManagedIdentity", (), {"client_id": None})]
    assert library.asked == ["https://cognitiveservices.azure.com/.default"]
    assert token.credential(Request()) == "canary-token"
    assert token.auth == "authorization: Bearer {token}"
    assert "canary" not in f"{token!r} {vars(token)}"


async def test_a_pod_has_a_workload_identity(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/x")
    await Azure(tenant_id="t", client_id="c", authority="login.microsoftonline.us").renew()

    keys = {"tenant_id": "t", "client_id": "c", "authority": "login.microsoftonline.us"}
    assert library.made == [("WorkloadIdentity", (), keys)]


async def test_a_client_has_a_secret(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/x")
    token = Azure(tenant_id="t", client_id="c", client_secret=SECRET, scope="s")
    await token.renew()

    assert library.made == [("ClientSecret", ("t", "c", "canary-secret"), {})]
    assert library.asked == ["s"]
    assert token.inner() == [SECRET]


@pytest.mark.parametrize(
    ("error", "refused", "problem"),
    [
        (
            ClientAuthenticationError("(invalid_client) AADSTS7000215: canary"),
            True,
            r"cannot be had \(AADSTS7000215\)",
        ),
        (ClientAuthenticationError("canary"), True, r"\(ClientAuthenticationError\)"),
        (CredentialUnavailableError("canary"), False, r"\(CredentialUnavailableError\)"),
        (ServiceRequestError("canary"), False, r"\(ServiceRequestError\)"),
        (ValueError("Invalid tenant id: canary"), True, "does not take these keys"),
    ],
)
async def test_a_refusal_is_told_from_what_may_pass(
    library: Library, error: Exception, refused: bool, problem: str
) -> None:
    library.error = error
    with pytest.raises(ValueError, match=problem) as raised:
        await Azure().renew()

    assert isinstance(raised.value, Refused) is refused
    assert "canary" not in str(raised.value)


@pytest.mark.usefixtures("library")
async def test_a_secret_that_is_not_known_yet_is_waited_for() -> None:
    token = Azure(tenant_id="t", client_id="c", client_secret=Env(name="X"))
    with pytest.raises(ValueError, match="the client's secret is not known yet") as raised:
        await token.renew()

    assert not isinstance(raised.value, Refused)


@pytest.mark.parametrize("keys", [{}, {"tenant_id": "t"}, {"client_id": "c"}])
def test_a_secret_is_that_of_a_client_of_a_tenant(keys: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="goes with a `tenant_id` and a `client_id`"):
        Azure(client_secret=SECRET, **keys)


def test_what_it_needs_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.tokens._refreshed.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"azure.identity is not installed \(pip install"):
        Azure().resolve({}, "/")
