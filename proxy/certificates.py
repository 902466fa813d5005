"""Certificates and keys in PEM, and the contexts that use them.

As much of them is understood here as it takes to say what is wrong: OpenSSL's errors name neither
the reason nor the file. `ValueError` says what is wrong with a file in words that follow its name.
"""

import binascii
import contextlib
import functools
import os
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio

_BEGIN = rb"-----BEGIN (?:X509 )?CERTIFICATE-----"
_CERTIFICATE = re.compile(_BEGIN + rb"([^-]*)-----END (?:X509 )?CERTIFICATE-----")
_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----.*?-----END (?:[A-Z]+ )?PRIVATE KEY-----", re.S
)
_ENCRYPTED = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.M)

ALPN = ["http/1.1"]
"""The protocols that are spoken inside TLS."""

_NOT_ITS_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})

_VERSION = 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""The two spellings of a time (RFC 5280 4.1.2.5), by their tags in ASN.1."""

_BODY = (
    b'{"error":{"message":"this address speaks HTTPS, and was asked in plain HTTP",'
    b'"type":"invalid_request_error","param":null,"code":"client.bad_request"}}'
)
_SPEAKS_TLS = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-llm-proxy-error: client.bad_request\r\nconnection: close\r\n\r\n%b"
) % (len(_BODY), _BODY)
"""What a client hears that takes the address for one of plain HTTP."""

_REFUSAL = re.compile("_ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")
"""OpenSSL's reasons where the peer did not like a certificate (RFC 8446 6.2)."""

_PLAIN_HTTP = "HTTP_REQUEST"
"""OpenSSL's reason where the first bytes are a request's."""

_NO_TLS = "WRONG_VERSION_NUMBER"
"""OpenSSL's reason where the first bytes are of something else than TLS."""


class _Object(ssl.SSLObject):
    """The TLS of one connection: says why it fails to open, and waits for nobody to close."""

    below: "asyncio.Transport | None"
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            last = _SPEAKS_TLS if error.reason == _PLAIN_HTTP else self.outgoing.read()
            below, self.below = self.below, None
            if last and below is not None and not below.get_write_buffer_size():
                # Past the transport, which will drop what it holds as soon as this returns.
                with contextlib.suppress(OSError):
                    os.write(below.get_extra_info("socket").fileno(), last)
            raise
        self.below = None

    def unwrap(self) -> None:
        # Our close_notify is on its way. One of the peer's would tell nothing (RFC 8446 6.1), and
        # a client that has laid the connection aside does not send it.
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


def _shorten(made: ssl.SSLObject) -> None:
    """Spare each read and write the detour through the methods that only call these."""
    inner = getattr(made, "_sslobj", None)
    for name in ("read", "write", "pending"):
        if hasattr(inner, name):
            setattr(made, name, getattr(inner, name))


class ClientContext(ssl.SSLContext):
    """A context for connections to providers."""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """The TLS of one connection, over two buffers."""
        made = super().wrap_bio(*args, **options)
        _shorten(made)
        return made


class ServerContext(ssl.SSLContext):
    """A context for accepted connections; who fails to open one is told why."""

    sslobject_class = _Object
    below: "asyncio.Transport | None" = None
    """The connection whose TLS is being set up."""

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        """The TLS of one connection, over two buffers."""
        made = cast(_Object, super().wrap_bio(incoming, outgoing, *args, **options))
        _shorten(made)
        made.outgoing = outgoing
        made.below, self.below = self.below, None
        return made


class ForeignKey(ValueError):
    """It is the key that is wrong."""


def trust_system(context: ssl.SSLContext) -> None:
    """Trust the authorities that this system trusts.

    Not those of SSL_CERT_FILE and SSL_CERT_DIR, which `load_default_certs` would read: whom a
    proxy trusts with its credentials is for its configuration to say.
    """
    paths = ssl.get_default_verify_paths()
    file, folder = paths.openssl_cafile, paths.openssl_capath
    if os.path.isfile(file) or os.path.isdir(folder):
        context.load_verify_locations(
            cafile=file if os.path.isfile(file) else None,
            capath=folder if os.path.isdir(folder) else None,
        )


@functools.cache
def system_context() -> ssl.SSLContext:
    """The context of connections whose section says nothing of TLS."""
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    trust_system(context)
    return context


def trust(context: ssl.SSLContext, authorities: bytes) -> None:
    """Trust those in a PEM file, intermediate ones too, and nobody else. Raises ValueError."""
    found = certificates(authorities)
    now = datetime.now(UTC)
    times = [validity(certificate) for certificate in found]
    if not any(start <= now <= end for start, end in times):  # a bundle may hold old ones, too
        check_time(found[0], now)
    try:
        context.load_verify_locations(cadata=b"".join(found))
    except ssl.SSLError as error:
        raise ValueError(f"cannot be used: {words(error)}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def identify(context: ssl.SSLContext, chain: bytes, key: str | None) -> None:
    """Take on the certificate that a PEM file begins with, and its key.

    Without the key the certificate is looked at, no more. Raises ValueError.
    """
    found = certificates(chain)
    check_time(found[0], datetime.now(UTC))
    if key is None:
        return
    text = "".join(map(ssl.DER_cert_to_PEM_cert, found)) + private_key(key)
    try:
        with _as_file(text.encode()) as path:
            # Without an answer at hand OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(path, password=bytes)
    except ssl.SSLError as error:
        if error.reason in _NOT_ITS_KEY:
            raise ForeignKey("does not belong to the certificate") from None
        raise ValueError(f"cannot be used with its key: {words(error)}") from None


def refuses(error: BaseException | None) -> bool:
    """Whether the peer says by it that it does not take us for whom it would talk to."""
    words = error.reason if isinstance(error, ssl.SSLError) else None
    return words is not None and _REFUSAL.search(words) is not None


def reason(error: BaseException | None) -> str:
    """Why there is no TLS, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate cannot be verified: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if error.reason == _PLAIN_HTTP:
            return "it speaks plain HTTP"
        if error.reason == _NO_TLS:
            return "it speaks no TLS"
        return words(error)
    return str(error) or "it closed the connection"


def words(error: ssl.SSLError) -> str:
    """What OpenSSL has to say, without the places in its source."""
    return str(error.reason or error.strerror).lower().replace("_", " ")


def certificates(data: bytes) -> list[bytes]:
    """The certificates in `data`, which is PEM, each as DER; raises ValueError if there is none."""
    found = _CERTIFICATE.findall(data)
    if not found and not re.search(_BEGIN, data):
        raise ValueError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    if len(found) < len(re.findall(_BEGIN, data)):
        raise ValueError("holds a certificate that breaks off")
    try:
        return [binascii.a2b_base64(b"".join(text.split()), strict_mode=True) for text in found]
    except binascii.Error as error:
        raise ValueError("holds a certificate that is not PEM") from error


def check_time(certificate: bytes, now: datetime) -> None:
    """Raise ValueError if `certificate`, as DER, is not valid at `now`."""
    start, end = validity(certificate)
    if now < start:
        raise ValueError(f"holds a certificate that is not valid before {start:%Y-%m-%d %H:%M} UTC")
    if now > end:
        raise ValueError(f"holds a certificate that expired at {end:%Y-%m-%d %H:%M} UTC")


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when to when a certificate, as DER, is valid (RFC 5280 4.1). Raises ValueError."""
    try:
        _, at, _ = _element(certificate, 0)
        _, at, _ = _element(certificate, at)
        if certificate[at] == _VERSION:
            _, _, at = _element(certificate, at)
        for _ in ("serialNumber", "signature", "issuer"):
            _, _, at = _element(certificate, at)
        _, at, _ = _element(certificate, at)
        start, at = _time(certificate, at)
        return start, _time(certificate, at)[0]
    except (LookupError, ValueError):
        raise ValueError("holds something that is not a certificate") from None


def private_key(text: str) -> str:
    """The private key in `text`; raises ForeignKey, without a trace of it, if it is none."""
    if _ENCRYPTED.search(text):
        raise ForeignKey("is encrypted, and nobody gives a passphrase (decrypt it)")
    found = _KEY.search(text)
    if found is None:
        raise ForeignKey("is no private key in PEM (-----BEGIN PRIVATE KEY-----)")
    return found[0]


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """The element of DER (X.690 8.1) at `at`: its tag, where its content begins and ends."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size]), at + size
    return tag, at, at + length


def _time(data: bytes, at: int) -> tuple[datetime, int]:
    tag, start, end = _element(data, at)
    spelled = data[start:end].decode("ascii")
    return datetime.strptime(spelled, _TIMES[tag]).replace(tzinfo=UTC), end


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """The path of a file that holds `data` and is nowhere to be found: ssl reads nothing else."""
    if hasattr(os, "memfd_create"):
        folder = "/proc/self/fd"
        stream = os.fdopen(os.memfd_create("tls", os.MFD_CLOEXEC), "w+b", buffering=0)
    else:
        import tempfile

        folder = "/dev/fd"
        stream = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below
    with stream:
        stream.write(data)
        stream.seek(0)
        yield f"{folder}/{stream.fileno()}"
