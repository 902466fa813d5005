"""An access token of Microsoft Entra ID: of a workload, a managed identity or a client."""

import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from proxy.errors import BadCredentials
from proxy.token import Reference, Secret
from proxy.tokens._held import Held
from proxy.tokens._refreshed import Refreshed, Refused, in_thread, quiet, require

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

SECONDS = 30.0
"""How long the library may take; it tries again by itself."""

_CODE = re.compile(r"\bAADSTS[0-9]+\b")


class Azure(Refreshed, Held):
    """An access token of Microsoft Entra ID: by the client's secret if it has one, else by the
    workload identity of a pod (``AZURE_FEDERATED_TOKEN_FILE``), else by the managed identity of
    the machine. It is renewed ahead of its expiry, and sent as ``Authorization: Bearer``. Needs
    ``llm-proxy[azure]``.
    """

    scope: Annotated[
        str, Meta(description="What it is for; the default is Azure OpenAI and its like.")
    ] = "https://cognitiveservices.azure.com/.default"
    tenant_id: Annotated[
        str | None, Meta(description="The tenant; absent: AZURE_TENANT_ID's, for a workload.")
    ] = None
    client_id: Annotated[
        str | None,
        Meta(
            description="The client, or the identity where there are several; absent: "
            "AZURE_CLIENT_ID's, for a workload."
        ),
    ] = None
    client_secret: Annotated[
        Reference | None,
        Meta(description="The client's secret, as a reference.", examples=["env:CLIENT_SECRET"]),
    ] = None
    authority: Annotated[
        str | None,
        Meta(
            description="The host that gives tokens out, where that is not the public cloud's.",
            examples=["login.microsoftonline.us"],
        ),
    ] = None

    auth = "authorization: Bearer {token}"

    def __post_init__(self) -> None:
        if self.client_secret is not None and not (self.tenant_id and self.client_id):
            raise ValueError("`client_secret` goes with a `tenant_id` and a `client_id`")

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        require("azure.identity", "azure")

    async def renew(self) -> float | None:
        try:
            secret = None if self.client_secret is None else self.client_secret.reveal()
        except BadCredentials:
            raise ValueError("the client's secret is not known yet") from None
        token, life = await in_thread(lambda: self._ask(secret), SECONDS)
        self.hold(token)
        return life

    def _ask(self, secret: str | None) -> tuple[Secret, float]:
        """Get a token; it blocks."""
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.core.pipeline.transport import RequestsTransport
        from azure.identity import CredentialUnavailableError

        quiet("azure", "msal", "urllib3")
        # No proxy of the environment's is asked.
        with RequestsTransport(use_env_settings=False) as transport:
            try:
                found = self._credential(secret, transport=transport)
                token = found.get_token(self.scope)
            except AzureError as error:
                code = _CODE.search(str(error))
                name = code[0] if code is not None else type(error).__name__
                what = f"a token of Azure's cannot be had ({name})"
                passing = isinstance(error, CredentialUnavailableError)
                final = isinstance(error, ClientAuthenticationError) and not passing
                raise (Refused(what) if final else ValueError(what)) from None
            except ValueError:
                # What the library says of a configuration may hold some of it.
                raise Refused("Azure's library does not take these keys") from None
        life = token.expires_on - time.time_ns() / 1e9
        return Secret.fit(token.token, "the access token"), life

    def _credential(self, secret: str | None, **keys: Any) -> "TokenCredential":
        from azure.identity import (
            ClientSecretCredential,
            ManagedIdentityCredential,
            WorkloadIdentityCredential,
        )

        if self.authority is not None:
            keys["authority"] = self.authority
        if secret is not None:
            assert self.tenant_id is not None
            assert self.client_id is not None
            return ClientSecretCredential(self.tenant_id, self.client_id, secret, **keys)
        if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
            return WorkloadIdentityCredential(
                tenant_id=self.tenant_id, client_id=self.client_id, **keys
            )
        return ManagedIdentityCredential(client_id=self.client_id, **keys)
