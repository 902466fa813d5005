"""An access token of an OAuth 2.0 service, by client credentials (RFC 6749 4.4)."""

import math
import re
from base64 import b64encode
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus

import aiohttp
import msgspec
from msgspec import Meta, field

from proxy.authority import parse_authority
from proxy.errors import BadCredentials
from proxy.token import Reference, Secret
from proxy.tokens._held import MAX_BYTES, Held
from proxy.tokens._refreshed import Refreshed, Refused
from proxy.units import Duration, format_duration, parse_duration
from proxy.via import parse_proxy

_URL = re.compile(r"https?://([^\s/?#]+)(?:[/?][^\s#]*)?")
_CODE = re.compile(r"[a-z_]{1,64}")
_LATER = (408, 425, 429)
"""Refusals that the next attempt may not get."""


class _Answer(msgspec.Struct):
    """What a token endpoint answers (RFC 6749 5.1, 5.2)."""

    access_token: str = ""
    token_type: str = ""
    expires_in: Any = None
    error: Any = None


class OAuth2(Refreshed, Held):
    """An access token that an OAuth 2.0 service gives out for client credentials. It is renewed
    ahead of its expiry, and sent as ``Authorization: Bearer``.
    """

    token_url: Annotated[
        str,
        Meta(
            description="The service's token endpoint.",
            examples=["https://id.example/oauth2/token"],
        ),
    ]
    client_id: Annotated[str, Meta(min_length=1, description="Who asks.", examples=["llm-proxy"])]
    client_secret: Annotated[
        Reference, Meta(description="Its secret, as a reference.", examples=["env:CLIENT_SECRET"])
    ]
    scopes: Annotated[
        tuple[str, ...], Meta(description="What it asks for.", examples=[["models.read"]])
    ] = ()
    params: Annotated[
        dict[str, str],
        Meta(
            description="Further parameters of the request.",
            examples=[{"audience": "https://models.example"}],
        ),
    ] = field(default_factory=dict)
    send_secret: Annotated[
        Literal["basic", "post"],
        Meta(description="How the secret is sent: in the Authorization header, or in the body."),
    ] = "basic"
    proxy: Annotated[
        Reference | None,
        Meta(
            description="The HTTP proxy that the service is asked through, as a provider's.",
            examples=["http://proxy.internal:3128"],
            extra={"plain": "http"},
        ),
    ] = None
    timeout: Annotated[Duration, Meta(description="How long the service may take.")] = (
        parse_duration("10s")
    )

    auth = "authorization: Bearer {token}"

    def __post_init__(self) -> None:
        url = _URL.fullmatch(self.token_url)
        if url is None:
            raise ValueError('`token_url` is no URL (expected "https://HOST/PATH")')
        try:
            parse_authority(url[1])
        except ValueError as error:
            raise ValueError(f"`token_url` is no URL: {error}") from None
        if not self.timeout:
            raise ValueError('`timeout` cannot be "0s": a service that hangs would never be left')

    async def renew(self) -> float | None:
        answer = await self._ask()
        if answer.token_type.lower() != "bearer":
            raise Refused("the token endpoint gives out no Bearer token")
        life = _seconds(answer.expires_in)
        self.hold(Secret.fit(answer.access_token, "the access token"))
        return life

    async def _ask(self) -> _Answer:
        try:
            form, headers, through = self._request()
        except BadCredentials:
            raise ValueError("the client's secret is not known yet") from None
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self.timeout),
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.post(
                    self.token_url, data=form, headers=headers, allow_redirects=False, **through
                ) as response,
            ):
                status = response.status
                body = b""
                while len(body) < MAX_BYTES and (piece := await response.content.read(MAX_BYTES)):
                    body += piece
        except TimeoutError:
            limit = format_duration(self.timeout)
            raise ValueError(f"the token endpoint did not answer within {limit}") from None
        except aiohttp.ClientError as error:
            what = type(error).__name__
            raise ValueError(f"the token endpoint cannot be reached ({what})") from None
        return _read(status, body)

    def _request(self) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
        """The form to post, the headers, and through which proxy."""
        form = {"grant_type": "client_credentials", **self.params}
        headers = {"accept": "application/json"}
        secret = self.client_secret.reveal()
        if self.scopes:
            form["scope"] = " ".join(self.scopes)
        if self.send_secret == "post":
            form |= {"client_id": self.client_id, "client_secret": secret}
        else:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        through: dict[str, Any] = {}
        if self.proxy is not None:
            proxy = parse_proxy(self.proxy.reveal())
            through = {"proxy": proxy.base, "proxy_headers": proxy.fields()}
            if self.token_url.startswith("http:"):
                headers |= proxy.fields()
        return form, headers, through


def _seconds(expires_in: Any) -> float | None:
    """For how long a token is good; None if nobody says."""
    if expires_in is None:
        return None
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError("the token endpoint's expires_in is no number of seconds")
    return seconds


def _read(status: int, body: bytes) -> _Answer:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer = _Answer()
    if status == 200 and answer.access_token:
        return answer
    code = answer.error if isinstance(answer.error, str) else ""
    said = f" ({code})" if _CODE.fullmatch(code) else ""
    what = f"the token endpoint answered {status}{said}"
    if status >= 500 or status in _LATER:
        raise ValueError(what)
    raise Refused(what if status != 200 else "the token endpoint answered without an access token")
