"""A certificate authority that lasts as long as the tests, and what it vouches for, in files."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path

    @property
    def toml(self) -> str:
        """The two keys of a section."""
        return f'certificate = "{self.certificate}", key = "{self.key}"'

    def replace(self, other: "Pair") -> None:
        """Put what is in the other's files into these, one file after the other."""
        self.certificate.write_bytes(other.certificate.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


class Authority:
    """An authority with a file of its own in `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str = "localhost", *, days: int = 1, **options: Any) -> Pair:
        """A certificate for `name` and 127.0.0.1; it expired if `days` is below 0."""
        if days < 0:
            options["not_before"] = datetime.now(UTC) + timedelta(days=days - 1)
        options["not_after"] = datetime.now(UTC) + timedelta(days=days)
        made = self._ca.issue_cert(name, "127.0.0.1", common_name=name, **options)
        stem = self._folder / f"{self._name}-{name}-{days}"
        at = next(n for n in range(1000) if not Path(f"{stem}-{n}.crt").exists())
        pair = Pair(Path(f"{stem}-{at}.crt"), Path(f"{stem}-{at}.key"))
        pair.certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(pair.key)
        return pair

    def server(self, pair: Pair | None = None, *, clients: "Authority | None" = None) -> Any:
        """A context for a provider; with `clients`, it asks for a certificate of theirs."""
        pair = pair or self.issue()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients is not None:
            context.load_verify_locations(clients.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A context for a client that trusts this authority, and shows `pair`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context
