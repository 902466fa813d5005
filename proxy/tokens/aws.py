"""AWS credentials of the standard chain, which sign each request (Signature Version 4)."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from proxy.errors import BadCredentials
from proxy.exchange import FinalRequest
from proxy.token import Signing
from proxy.tokens._refreshed import LOOK, Refreshed, Refused, in_thread, quiet, require
from proxy.tokens._sigv4 import Keys, Signer

if TYPE_CHECKING:
    from botocore.session import Session

SECONDS = 30.0
"""How long the chain may take: it asks files, programs and services, one after the other."""

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")
_ENDPOINTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_HOPELESS = ("ProfileNotFound", "ConfigParseError", "ConfigNotFound", "PartialCredentialsError")


class AWS(Refreshed, Signing):
    """Credentials of AWS's standard chain (environment, profile, web identity, container,
    instance), which sign each request. They are renewed ahead of their expiry. Needs
    ``llm-proxy[aws]``.
    """

    region: Annotated[
        str | None,
        Meta(
            description="The region; absent: that of the URL's host, else of the environment or "
            "the profile.",
            examples=["eu-west-1"],
        ),
    ] = None
    service: Annotated[str, Meta(description="The service's name in signatures.")] = "bedrock"
    profile: Annotated[
        str | None,
        Meta(description="A profile of the shared configuration files.", examples=["prod"]),
    ] = None

    refusals = (401, 403)

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        require("botocore", "aws")

    async def renew(self) -> float | None:
        keys, region, life = await in_thread(self._find, SECONDS)
        self._keys = keys
        self._region = region
        self._signers: dict[str, Signer] = {}
        return life

    def sign(self, final: FinalRequest) -> bytes:
        if "_keys" not in vars(self):
            raise BadCredentials("the proxy has no credentials for the provider")
        region = self.region or region_of(final.origin.host) or self._region
        if region is None:
            raise BadCredentials("the proxy does not know the provider's region")
        signer = self._signers.get(region)
        if signer is None:
            signer = Signer(self._keys, region=region, service=self.service)
            self._signers[region] = signer
        assert isinstance(final.body, bytes)
        return signer.sign(final.head, final.body, time.time_ns() // 1_000_000_000)

    def _find(self) -> tuple[Keys, str | None, float]:
        """Go through the chain; it blocks."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session

        quiet("botocore", "urllib3")
        try:
            session = Session(profile=self.profile)
            _ignore_proxies(session)
            found = session.get_credentials()
            if found is None:
                raise Refused("no AWS credentials were found, wherever they may be")
            frozen = found.get_frozen_credentials()
            region = session.get_config_variable("region")
        except (BotoCoreError, ClientError) as error:
            name = type(error).__name__
            what = f"AWS credentials cannot be had ({_code(error) or name})"
            raise (Refused(what) if name in _HOPELESS else ValueError(what)) from None
        expires: datetime | None = getattr(found, "_expiry_time", None)
        life = LOOK if expires is None else (expires - datetime.now(UTC)).total_seconds()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token), region, life


def region_of(host: str) -> str | None:
    """The region that the name of an AWS endpoint has in it; None if it has none."""
    if not host.endswith(_ENDPOINTS):
        return None
    return next((label for label in host.split(".") if _REGION.fullmatch(label)), None)


def _code(error: Exception) -> str:
    """What a service of AWS calls the error, such as AccessDenied."""
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "")
    return code if isinstance(code, str) and code.isalnum() else ""


def _ignore_proxies(session: "Session") -> None:
    """Ask no proxy that the environment names, neither for services nor for metadata."""
    from botocore.config import Config
    from botocore.httpsession import URLLib3Session
    from botocore.utils import IMDSFetcher

    session.set_default_client_config(Config(proxies={}))
    for provider in session.get_component("credential_provider").providers:
        fetcher = getattr(provider, "_role_fetcher", None)
        if isinstance(fetcher, IMDSFetcher):
            fetcher._session = URLLib3Session(timeout=fetcher._timeout, proxies={})
