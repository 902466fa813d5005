"""An access token of Google Cloud: of a service account, a workload identity or an instance."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from proxy.token import Secret
from proxy.tokens._held import MAX_BYTES, Held
from proxy.tokens._refreshed import LOOK, Refreshed, Refused, in_thread, quiet, require

SECONDS = 30.0
"""How long all of it may take: files, a metadata server, a token service."""
_REFUSALS = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
)
_AWS = "urn:ietf:params:aws:token-type:aws4_request"


class Google(Refreshed, Held):
    """An access token of Google Cloud, by Application Default Credentials
    (``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's own file, the metadata server) or by a file. It
    is renewed ahead of its expiry, and sent as ``Authorization: Bearer``. Needs
    ``llm-proxy[google]``.
    """

    credentials: Annotated[
        str | None,
        Meta(
            description="A file of a service account, a workload identity (external account) or a "
            "user; a relative one starts from the configuration's folder.",
            examples=["/run/secrets/service-account.json"],
        ),
    ] = None
    scopes: Annotated[tuple[str, ...], Meta(description="What it asks for.")] = (
        "https://www.googleapis.com/auth/cloud-platform",
    )

    auth = "authorization: Bearer {token}"

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        require("google.auth", "google")
        require("requests", "google")
        self._file = None
        if self.credentials is not None:
            self._file = os.path.join(directory, self.credentials)
            if not os.path.isfile(self._file):
                raise ValueError(f"{self._file}: no such file")

    async def renew(self) -> float | None:
        secret, life = await in_thread(self._ask, SECONDS)
        self.hold(secret)
        return life

    def _ask(self) -> tuple[Secret, float]:
        """Get a token; it blocks."""
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.auth.transport.requests import Request
        from requests import Session

        quiet("google", "urllib3")
        with Session() as session:
            session.trust_env = False  # no proxy, and no .netrc, that nobody asked for
            request: Any = Request(session)
            try:
                found: Any
                if self._file is not None:
                    found = _load(self._file, list(self.scopes))
                else:
                    found, _ = google.auth.default(scopes=list(self.scopes), request=request)
                found.refresh(request)
            except DefaultCredentialsError:
                raise Refused(
                    "no credentials of Google's were found, wherever they may be"
                ) from None
            except GoogleAuthError as error:
                code = _code(error)
                what = f"a token of Google's cannot be had ({code or type(error).__name__})"
                raise (Refused(what) if code else ValueError(what)) from None
        life = LOOK
        if found.expiry is not None:
            life = (found.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        return Secret.fit(found.token or "", "the access token"), life


def _code(error: Exception) -> str | None:
    """What a token service calls a refusal that it would repeat (RFC 6749 5.2)."""
    said = [arg.get("error") for arg in error.args if isinstance(arg, dict)]
    return next((code for code in said if code in _REFUSALS), None)


def _load(file: str, scopes: list[str]) -> Any:
    """What a file holds; raises Refused for one that is none, and what the library raises."""
    from google.auth import aws, identity_pool, pluggable
    from google.oauth2 import credentials, service_account

    make: Any
    try:
        with open(file, "rb") as stream:
            info = json.loads(stream.read(MAX_BYTES))
        kind = info["type"]
        source = info.get("credential_source", {})
        if kind == "service_account":
            make = service_account.Credentials.from_service_account_info
        elif kind == "authorized_user":
            make = credentials.Credentials.from_authorized_user_info
        elif kind != "external_account":
            raise Refused(f"{file} is of a type that is not known here")
        elif info.get("subject_token_type") == _AWS:
            make = aws.Credentials.from_info
        elif "executable" in source:
            make = pluggable.Credentials.from_info
        else:
            make = identity_pool.Credentials.from_info
        return make(info, scopes=scopes)
    except Refused:
        raise
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # What the library says of it may hold some of it.
        raise Refused(f"{file} is no file of Google's credentials") from None
