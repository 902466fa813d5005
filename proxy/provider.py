"""A provider is a row of data: the presets of providers.toml, and what a section makes of them."""

import functools
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from proxy.exchange import FinalRequest, RawRequest, Timeouts
from proxy.headers import Forwarding
from proxy.token import Token
from proxy.url import Address, Url

_PASSED = frozenset({b"content-encoding", b"range", b"if-none-match", b"if-modified-since"})
"""Fields that describe a body which passes through unread, or ask for a part of one."""


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider's ``type`` stands for: everything about it that a section may leave out."""

    dialect: str
    """The API family that it speaks: a name of the registry's family ``dialects``."""
    url: str | None = None
    """Where its API is; None: the section must say."""
    auth: str | None = None
    """The header that carries its token, with ``{token}`` where that goes; None: it takes none."""
    token_env: str | None = None
    """The environment variable that holds its token, where it cannot do without one."""
    stream_usage: bool = False
    """Whether it takes ``stream_options.include_usage``."""


@functools.cache
def presets() -> dict[str, Preset]:
    """The presets by name, read once from the package."""
    rows = tomllib.loads(Path(__file__).with_name("providers.toml").read_text("utf-8"))
    return msgspec.convert(rows, dict[str, Preset])


class Provider:
    """A configured service: turns what a client asked for into what that service is sent."""

    __slots__ = (
        "_auth",
        "_forwarding",
        "_heads",
        "family",
        "name",
        "stream_usage",
        "timeouts",
        "token",
        "url",
    )

    def __init__(
        self,
        name: str,
        *,
        family: str,
        url: Url,
        token: Token | None,
        auth: str | None,
        stream_usage: bool,
        forward_headers: tuple[str, ...],
        timeouts: Timeouts,
    ) -> None:
        self.name = name
        self.family = family
        self.url = url
        self.token = token
        self.stream_usage = stream_usage
        self.timeouts = timeouts
        self._auth = (auth or "").partition("{token}")
        self._forwarding = Forwarding(forward_headers)
        self._heads: dict[tuple[str, str, Address], bytes] = {}

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    def final(
        self,
        request: RawRequest,
        address: Address,
        token: str | None,
        timeouts: Timeouts,
        body: bytes,
    ) -> FinalRequest:
        """The request to send for one whose body we read."""
        key = (request.method, request.path, address)
        head = self._heads.get(key)
        if head is None:
            # The paths are those of the dialects' endpoints, so there are few.
            head = self._heads[key] = _head(request.method, request.path, "", address)
        fields = request.forwarded.get(self)
        if fields is None:
            connection = request.headers.get("connection")
            fields = self._forwarding.block(request.raw_headers, connection)
            request.forwarded[self] = fields
        return FinalRequest(
            method=request.method,
            origin=address.origin,
            head=b"".join((head, self._auth_line(token), fields)),
            body=body,
            length=len(body),
            timeouts=timeouts,
        )

    def passed(
        self,
        request: RawRequest,
        address: Address,
        token: str | None,
        timeouts: Timeouts,
        body: AsyncIterator[bytes] | bytes,
    ) -> FinalRequest:
        """The request to send for one that passes through as it is."""
        head = _head(request.method, request.path, _without_key(request.query), address)
        connection = request.headers.get("connection")
        fields = self._forwarding.block(request.raw_headers, connection, also=_PASSED)
        return FinalRequest(
            method=request.method,
            origin=address.origin,
            head=b"".join((head, self._auth_line(token), fields)),
            body=body,
            length=request.length,
            timeouts=timeouts,
        )

    def _auth_line(self, token: str | None) -> bytes:
        if token is None:
            return b""
        before, _, after = self._auth
        return f"{before}{token}{after}\r\n".encode("latin-1")


def _head(method: str, path: str, query: str, address: Address) -> bytes:
    """Request line and constant fields; the base URL stands for everything up to ``/v1``."""
    if path == "/v1" or path.startswith("/v1/"):
        path = path[3:]
    target = address.prefix.decode("ascii") + path or "/"
    if query:
        target = f"{target}?{query}"
    # We read, or may have to read, what comes back; a provider that compresses it anyway is
    # passed on only to clients that asked for that.
    fields = b"host: %b\r\naccept-encoding: identity\r\n" % address.host
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), target.encode("latin-1"), fields)


def _without_key(query: str) -> str:
    """A query without the credential that Gemini's clients put there."""
    if "key=" not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith("key="))
