"""A provider: what a preset, as a section changed it, makes of a client's request."""

import re
from collections.abc import AsyncIterator, Iterable
from fnmatch import translate
from urllib.parse import quote

import msgspec

from proxy.dialect import Dialect
from proxy.errors import BadRequest, Unsupported
from proxy.exchange import (
    FinalRequest,
    Origin,
    ParsedRequest,
    Raw,
    RawRequest,
    Security,
    Timeouts,
)
from proxy.headers import TRANSLATED, Forwarding
from proxy.preset import Endpoint, Preset
from proxy.token import Signing, Token
from proxy.url import Address, Url
from proxy.via import Via

MAX_HEADS = 1024
"""Heads that are kept ready for a provider."""

_PASSED = frozenset({b"content-encoding", b"range", b"if-none-match", b"if-modified-since"})
"""Fields that describe a body which passes through unread, or ask for a part of one."""

_LISTS = frozenset({"anthropic-beta"})
"""Fields that may stand there several times, each adding to the others."""


class Spoken(msgspec.Struct, frozen=True):
    """A provider's endpoint of one dialect."""

    dialect: Dialect
    path: str
    """After the base URL."""
    stream_path: str
    named: bool
    """The path has a place for the model."""
    values: dict[str, Raw]
    """Top-level fields of the body that are always these."""
    dropped: tuple[str, ...]
    """Top-level fields that the body must not have."""

    def target(self, model: str, *, stream: bool, query: str = "") -> str:
        """The request target, after the base URL.

        `query` is the client's where its request is passed on, the dialect's where it is not.
        """
        path = self.stream_path if stream else self.path
        if self.named:
            path = fill_model(self.dialect.place(path, model), model)
        return _with_query(path, query) if query else path

    def edit(self, request: ParsedRequest) -> None:
        """Make of a body what the endpoint wants to see of it."""
        for name in self.dropped:
            request.drop(name)
        for name, value in self.values.items():
            request.set(name, value)


class Provider:
    """A configured service: turns what a client asked for into what that service is sent."""

    __slots__ = (
        "_auth",
        "_auth_said",
        "_direct",
        "_forwarding",
        "_headers",
        "_heads",
        "_last",
        "_models",
        "_root",
        "_spoken",
        "_translated",
        "name",
        "quirks",
        "security",
        "stream_usage",
        "timeouts",
        "token",
        "url",
        "via",
    )

    def __init__(
        self,
        name: str,
        preset: Preset,
        dialects: Iterable[Dialect],
        *,
        url: Url,
        token: Token | None,
        forward_headers: tuple[str, ...] = (),
        timeouts: Timeouts,
        via: Via | None = None,
        security: Security | None = None,
    ) -> None:
        """`preset` is what the section made of its own; `dialects` are those that it names.

        `via` is the HTTP proxy that it is asked through, `security` how, where that is not the
        usual way.
        """
        self.name = name
        self.url = url
        self.token = token
        self.stream_usage = preset.stream_usage
        self.quirks = preset.quirks
        self.timeouts = timeouts
        self.security = security
        self._spoken = {dialect.name: _spoken(dialect, preset) for dialect in dialects}
        self._models = [
            (re.compile(translate(glob)).match, frozenset(spoken))
            for glob, spoken in preset.models.items()
        ]
        self._root = preset.root
        self._auth = preset.auth or ""
        self._auth_said = preset.auth_said
        self._last = ("", "", b"")
        self._headers = tuple(
            (key.lower(), f"{key.lower()}: {value}\r\n".encode("latin-1"))
            for key, value in preset.headers.items()
        )
        self._forwarding = Forwarding(forward_headers)
        self._translated = Forwarding(forward_headers, TRANSLATED)
        self._heads: dict[tuple[str, str, Address], bytes] = {}
        self.via = via
        self._direct = via is None and security is None

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    def speaks(self, dialect: Dialect, model: str) -> Spoken:
        """How to ask for `model` what a client asks in `dialect`: in that, if the provider can.

        Raises Unsupported if the provider has no endpoint for it.
        """
        known = self._spoken
        if self._models:
            for match, names in self._models:
                if match(model):
                    known = {name: known[name] for name in known if name in names}
                    break
        found = known.get(dialect.name)
        if found is not None:
            return found
        if dialect.form:
            for other in known.values():
                if other.dialect.form == dialect.form:
                    return other
        raise Unsupported(f"provider {self.name} has no endpoint for what {dialect.path} asks")

    def final(
        self,
        request: RawRequest,
        address: Address,
        token: Token | None,
        timeouts: Timeouts,
        body: bytes,
        target: str,
        *,
        translated: bool = False,
    ) -> FinalRequest:
        """The request to send for one whose body we read.

        `target` is what :meth:`Spoken.target` says; `translated`: the body is ours, so what the
        client said of its own does not go along.
        """
        key = (request.method, target, address)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                # A path may name the model, and models are the clients' to name.
                self._heads.clear()
            head = self._heads[key] = _head(request.method, target, address)
        memo: object = self._translated if translated else self
        fields = request.forwarded.get(memo)
        if fields is None:
            fields = request.forwarded[memo] = self._fields(request, translated=translated)
        final = FinalRequest(
            method=request.method,
            origin=address.origin if self._direct else self._origin(address),
            head=b"".join((head, self._auth_line(token, request), fields)),
            body=body,
            length=len(body),
            timeouts=timeouts,
        )
        return final if token is None or not token.signs else _signed(final, token)

    def passed_path(self, path: str, query: str) -> str:
        """Where a request goes, after the base URL, that passes through as it is."""
        return _with_query(_rooted(path, self._root) or "/", without_key(query))

    def _fields(self, request: RawRequest, *, translated: bool) -> bytes:
        connection = request.headers.get("connection")
        forwarding = self._translated if translated else self._forwarding
        fields = forwarding.block(request.raw_headers, connection)
        if translated:
            fields += b"content-type: application/json\r\n"
        for name, line in self._headers:
            if translated or name in _LISTS or request.headers.get(name) is None:
                fields += line
        return fields

    def passed(
        self,
        request: RawRequest,
        address: Address,
        token: Token | None,
        timeouts: Timeouts,
        body: AsyncIterator[bytes] | bytes,
    ) -> FinalRequest:
        """The request to send for one that passes through as it is."""
        target = self.passed_path(request.path, request.query)
        head = _head(request.method, target, address)
        connection = request.headers.get("connection")
        fields = self._forwarding.block(request.raw_headers, connection, also=_PASSED)
        final = FinalRequest(
            method=request.method,
            origin=address.origin if self._direct else self._origin(address),
            head=b"".join((head, self._auth_line(token, request), fields)),
            body=body,
            length=request.length,
            timeouts=timeouts,
        )
        return final if token is None or not token.signs else _signed(final, token)

    def _origin(self, address: Address) -> Origin:
        """Where connections to it go that nobody else shares."""
        return msgspec.structs.replace(address.origin, via=self.via, tls=self.security)

    def _auth_line(self, token: Token | None, request: RawRequest) -> bytes:
        if token is None or token.signs:
            return b""
        auth = self._auth if token.auth is None or self._auth_said else token.auth
        if not auth:
            return b""
        credential = token.credential(request)
        last = self._last
        if last[0] is not credential or last[1] is not auth:
            line = f"{auth.replace('{token}', credential)}\r\n".encode("latin-1")
            last = self._last = (credential, auth, line)
        return last[2]


def _signed(final: FinalRequest, token: Token) -> FinalRequest:
    assert isinstance(token, Signing)
    final.head += token.sign(final)
    return final


def _head(method: str, target: str, address: Address) -> bytes:
    """Request line and constant fields."""
    target = address.prefix.decode("ascii") + target
    # We read, or may have to read, what comes back; a provider that compresses it anyway is
    # passed on only to clients that asked for that.
    fields = b"host: %b\r\naccept-encoding: identity\r\n" % address.host
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), target.encode("latin-1"), fields)


def _spoken(dialect: Dialect, preset: Preset) -> Spoken:
    own = preset.endpoints.get(dialect.name, Endpoint())
    path, stream_path = (_template(dialect, preset, stream=stream) for stream in (False, True))
    return Spoken(
        dialect=dialect,
        path=path,
        stream_path=stream_path,
        named=fill_model(path, "x") != path,
        values={key: Raw(msgspec.json.encode(value)) for key, value in own.set.items()},
        dropped=own.drop,
    )


def _template(dialect: Dialect, preset: Preset, *, stream: bool) -> str:
    """Where a dialect's endpoint is, after the base URL."""
    own = preset.endpoints.get(dialect.name, Endpoint())
    said = (own.stream_path if stream else None) or own.path
    if said is not None:
        return said
    path = (dialect.stream_path if stream else "") or dialect.path
    return _rooted(path, preset.root)


def _rooted(path: str, root: str) -> str:
    """What of a path comes after `root`, which the base URL stands for."""
    inside = path == root or path.startswith(f"{root}/")
    return path[len(root) :] if inside else path


def fill_model(path: str, model: str) -> str:
    """A path with the model in its place: in ``{model}`` as one segment, in ``{model:path}`` with
    its slashes kept.

    Raises BadRequest for a model whose name would lead elsewhere.
    """
    if "{model}" in path:
        path = path.replace("{model}", encode_segment(model))
    if "{model:path}" in path:
        path = path.replace("{model:path}", "/".join(map(encode_segment, model.split("/"))))
    return path


def encode_segment(name: str) -> str:
    """A name as one segment of a path (RFC 3986, 3.3): all but unreserved characters encoded.

    That is how botocore spells them, too, so that a signature holds. Raises BadRequest for one
    that is no segment, or that parsers of paths take for another folder, however it is encoded.
    """
    if name in ("", ".", ".."):
        raise BadRequest(f"the model {name!r} cannot stand in a path", param="model")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise BadRequest("the model's name is not Unicode", param="model") from None


def without_key(query: str) -> str:
    """A query without the credential that Gemini's clients put there."""
    if "key=" not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith("key="))


def _with_query(path: str, query: str) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query}"
