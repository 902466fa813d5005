"""TLS: certificates and keys, read from files and made contexts, anew whenever a file changes.

Files are read every few seconds and compared, as those of tokens are. What was read is what is
used: who replaces the files meanwhile cannot tear a pair apart. One that cannot be used leaves
the old one at work.
"""

import contextlib
import logging
import os
import ssl
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from msgspec import Meta

from proxy.authority import is_host, is_ipv6
from proxy.certificates import (
    ALPN,
    ClientContext,
    ForeignKey,
    ServerContext,
    identify,
    trust,
    trust_system,
)
from proxy.component import Component
from proxy.errors import BadCredentials, ConfigError
from proxy.exchange import Security
from proxy.files import read_file
from proxy.token import Reference
from proxy.units import Duration, clock, parse_duration

INTERVAL = 2.0
"""Seconds between two readings."""

PATIENCE = 5.0
"""Seconds that files may not fit together before it is said: some replace them one by one."""

_MAX_BYTES = 4 << 20
"""Of a file: all authorities that a system trusts take a quarter of a megabyte."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_log = logging.getLogger("proxy")


class Fault(ValueError):
    """What is wrong with what a key of the section names."""

    def __init__(self, key: str, what: object) -> None:
        super().__init__(f"{key}: {what}")
        self.key = key
        self.what = str(what)


class Material(NamedTuple):
    """What the files hold."""

    certificate: bytes
    key: str | None
    """None: a program that prints it has not run yet."""
    authorities: bytes


class Tls(Component):
    """What both sides have in common: files, and the context that they make."""

    min_version: Annotated[
        Literal["1.2", "1.3"], Meta(description="The oldest version of TLS that is spoken.")
    ] = "1.2"

    _places: ClassVar[Mapping[str, str]] = {}
    """Where the configuration names each key, for errors and the log; each instance has its own."""

    _directory: ClassVar[str] = ""
    """Where its relative paths start from; each instance has its own."""

    def resolve(self, places: Mapping[str, str], directory: str) -> None:
        """Read the files, relative ones from `directory`, and make of them what can be made.

        Raises Fault. A certificate whose key is not known yet waits for `open`.
        """
        vars(self).update(_places=places, _directory=directory)
        self._problem, self._since, self._said = "", 0.0, False
        self._material = self._gather()
        self._context = self._make(self._material)

    def like(self, other: Component) -> bool:
        if not isinstance(other, Tls) or self._directory != other._directory:
            return False
        ours, theirs = self._key(), other._key()
        return super().like(other) and (ours is None or theirs is None or ours.like(theirs))

    def adopt(self, fresh: Self) -> None:
        vars(self).update(_places=fresh._places)
        ours, theirs = self._key(), fresh._key()
        if ours is not None and theirs is not None:
            ours.adopt(theirs)
        if fresh._context is not None:
            self._problem = ""
            self._replace(fresh._context, fresh._material)

    async def open(self) -> None:
        key = self._key()
        if key is not None:
            await key.open()
        try:
            if self._context is None:
                material = self._gather()
                context = self._make(material)
                assert context is not None  # its key is open, so it is known
                self._replace(context, material)
        except Fault as fault:
            await self._close_key()
            raise ConfigError([self._at(fault)]) from None
        # Only a proxy that runs pays for importing it.
        from proxy.tasks import spawn

        self._watching = spawn(self._watch(), "watch certificates")

    async def close(self) -> None:
        self._watching.cancel()
        await self._close_key()

    def refresh(self) -> None:
        """Read the files again; where they cannot be used, the old ones stay in use."""
        try:
            material = self._gather()
            context = None if material == self._material else self._make(material)
        except Fault as fault:
            self._complain(fault)
            return
        self._problem = ""
        if context is not None:
            self._replace(context, material)
            _log.info("%s: read again", self._places["certificate"])

    @abstractmethod
    def _gather(self) -> Material:
        """What the files hold. Raises Fault."""

    @abstractmethod
    def _make(self, material: Material) -> ssl.SSLContext | None:
        """A context of it; None if that takes a key that is not known yet. Raises Fault."""

    @abstractmethod
    def _key(self) -> Reference | None:
        """The private key, if there is one."""

    def _replace(self, context: ssl.SSLContext, material: Material) -> None:
        self._context, self._material = context, material

    def _complain(self, fault: Fault) -> None:
        now, problem = clock(), self._at(fault)
        if problem != self._problem:
            self._problem, self._since, self._said = problem, now, False
        if not self._said and now - self._since >= PATIENCE:
            self._said = True
            _log.warning("%s; what was read before stays in use", problem)

    def _at(self, fault: Fault) -> str:
        return f"{self._places[fault.key]}: {fault.what}"

    async def _close_key(self) -> None:
        key = self._key()
        if key is not None:
            await key.close()

    async def _watch(self) -> None:
        import asyncio

        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self.refresh)

    def _identify(self, context: ssl.SSLContext, material: Material, name: str) -> bool:
        """Take on the certificate; False if its key is not known yet. Raises Fault."""
        with _blaming("certificate", name):
            identify(context, material.certificate, material.key)
        return material.key is not None

    def _file(self, key: str) -> bytes:
        """What the file holds that a key of the section names, if any."""
        name: str | None = getattr(self, key)
        if name is None:
            return b""
        try:
            return read_file(os.path.join(self._directory, name), _MAX_BYTES)
        except ValueError as error:
            raise Fault(key, error) from None


class ListenerTls(Tls, kw_only=True):
    """A certificate for those who connect, and what is asked of them.

    The files are read again when they change, and new connections get what they hold. What cannot
    be used is said in the log, and leaves what was there before.
    """

    certificate: Annotated[
        str,
        Meta(
            description="Its certificate, in a PEM file, with those that vouch for it behind.",
            examples=["tls.crt"],
        ),
    ]
    key: Annotated[
        Reference,
        Meta(
            description="Its private key, a PEM file or a secret that holds one.",
            examples=["tls.key"],
            extra={"pem": True},
        ),
    ]
    client_ca: Annotated[
        str | None,
        Meta(
            description="The authorities that vouch for clients, in a PEM file; absent: clients "
            "need no certificate.",
            examples=["clients.crt"],
        ),
    ] = None
    client_certificate: Annotated[
        Literal["required", "optional"],
        Meta(description="Whether a client must have one of client_ca."),
    ] = "required"
    handshake_timeout: Annotated[
        Duration, Meta(description="How long a client may take to set up its connection.")
    ] = parse_duration("10s")

    def __post_init__(self) -> None:
        if not self.handshake_timeout:
            raise ValueError('`handshake_timeout` cannot be "0s": who says nothing would stay')

    @property
    def context(self) -> ServerContext:
        """What the next connection is accepted with."""
        assert isinstance(self._context, ServerContext)
        return self._context

    @property
    def identifies(self) -> bool:
        """Whether nobody gets in without a certificate."""
        return self.client_ca is not None and self.client_certificate == "required"

    def _key(self) -> Reference:
        return self.key

    def _gather(self) -> Material:
        return Material(self._file("certificate"), _reveal(self.key), self._file("client_ca"))

    def _make(self, material: Material) -> ServerContext | None:
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.min_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(ALPN)
        if self.client_ca is not None:
            with _blaming("client_ca", self.client_ca):
                trust(context, material.authorities)
            required = self.client_certificate == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context if self._identify(context, material, self.certificate) else None


class UpstreamTls(Tls, kw_only=True):
    """Whom to trust to be the provider, and what to show it. Files that change are read again."""

    ca: Annotated[
        str | None,
        Meta(
            description="The authorities that vouch for it, in a PEM file; absent: those that the "
            "system trusts.",
            examples=["provider-ca.crt"],
        ),
    ] = None
    certificate: Annotated[
        str | None,
        Meta(
            description="The certificate that it is shown, in a PEM file, with those that vouch "
            "for it behind.",
            examples=["client.crt"],
        ),
    ] = None
    key: Annotated[
        Reference | None,
        Meta(
            description="The private key of that, a PEM file or a secret that holds one.",
            examples=["client.key"],
            extra={"pem": True},
        ),
    ] = None
    server_name: Annotated[
        str | None,
        Meta(
            description="The name that it is asked for by, and that its certificate must have; "
            "absent: the host of its URL.",
            examples=["llm.example.com"],
        ),
    ] = None
    verify: Annotated[
        bool,
        Meta(
            description="Whether its certificate is looked at. false hands requests and "
            "credentials to whoever answers: there is a warning at each start, and no "
            "environment variable sets it.",
            extra={"environment": False},
        ),
    ] = True

    def __post_init__(self) -> None:
        name = self.server_name
        if name is not None and not is_host(name) and not is_ipv6(name):
            raise ValueError("`server_name` is neither a host's name nor an IP address")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        if self.ca is not None and not self.verify:
            raise ValueError("`ca` means nothing where nothing is verified (verify = false)")

    @property
    def security(self) -> Security:
        """What connections are made with."""
        made: Security = self._security
        return made

    def resolve(self, places: Mapping[str, str], directory: str) -> None:
        self._security = Security(self.server_name)
        super().resolve(places, directory)
        self._security.context = self._context

    def _replace(self, context: ssl.SSLContext, material: Material) -> None:
        super()._replace(context, material)
        self._security.context = context

    def _key(self) -> Reference | None:
        return self.key

    def _gather(self) -> Material:
        key = "" if self.key is None else _reveal(self.key)
        return Material(self._file("certificate"), key, self._file("ca"))

    def _make(self, material: Material) -> ssl.SSLContext | None:
        context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _VERSIONS[self.min_version]
        context.set_alpn_protocols(ALPN)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is None:
            trust_system(context)
        else:
            with _blaming("ca", self.ca):
                trust(context, material.authorities)
        if self.certificate is None:
            return context
        return context if self._identify(context, material, self.certificate) else None


def _reveal(key: Reference) -> str | None:
    try:
        return key.reveal()
    except BadCredentials:
        return None


@contextlib.contextmanager
def _blaming(key: str, name: str) -> Iterator[None]:
    """Make a ValueError of what is wrong with the file `name` a Fault of the key."""
    try:
        yield
    except ForeignKey as error:
        raise Fault("key", error) from None
    except ValueError as error:
        raise Fault(key, f"{name} {error}") from None
