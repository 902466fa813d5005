"""AWS Signature Version 4: a request's head and body to the fields that sign it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Pure.
What is signed is what no one on the way changes: host, content-type and every x-amz-*. As all
services but S3 want it, the path is encoded once more than it is sent: ``%3A`` becomes ``%253A``.
"""

import hmac
import time
from hashlib import sha256
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


class Keys:
    """A pair of keys, and the session token that goes with it where it is temporary."""

    __slots__ = ("access", "secret", "session")

    def __init__(self, access: str, secret: str, session: str | None = None) -> None:
        self.access = access
        self.secret = secret
        self.session = session

    def __repr__(self) -> str:
        return "Keys(********)"


class Signer:
    """Signs requests to one service in one region with one pair of keys."""

    __slots__ = ("_day", "_key", "_keys", "_region", "_service")

    def __init__(self, keys: Keys, *, region: str, service: str) -> None:
        self._keys = keys
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""

    def sign(self, head: bytes, body: bytes, at: int) -> bytes:
        """The lines to add to a request's head (request line and fields, each ended by CRLF).

        `at` is now, in seconds since 1970.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        day = stamp[:8]
        added = [(b"x-amz-date", stamp.encode("ascii"))]
        if self._keys.session is not None:
            added.append((b"x-amz-security-token", self._keys.session.encode("latin-1")))
        first, *lines = head[:-2].split(b"\r\n")
        method, target, _ = first.split(b" ", 2)
        signed = _signed([*map(_field, lines), *added])
        names = b";".join(signed)
        canonical = b"\n".join(
            (
                method,
                *_canonical_target(target.decode("latin-1")),
                *[b"%b:%b" % field for field in signed.items()],
                b"",
                names,
                sha256(body).hexdigest().encode("ascii"),
            )
        )
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical).hexdigest()}"
        if day != self._day:
            self._key = self._derive(day)
            self._day = day
        signature = hmac.digest(self._key, to_sign.encode("ascii"), "sha256").hex()
        authorization = (
            f"{_ALGORITHM} Credential={self._keys.access}/{scope}, "
            f"SignedHeaders={names.decode('latin-1')}, Signature={signature}"
        )
        added.append((b"authorization", authorization.encode("latin-1")))
        return b"".join([b"%b: %b\r\n" % field for field in added])

    def _derive(self, day: str) -> bytes:
        key = f"AWS4{self._keys.secret}".encode()
        for step in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, step.encode("ascii"), "sha256")
        return key


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value


def _signed(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields that are signed, in order, each with its values trimmed and joined."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name in (b"host", b"content-type") or name.startswith(b"x-amz-"):
            found.setdefault(name, []).append(b" ".join(value.split()))
    return {name: b",".join(found[name]) for name in sorted(found)}


def _canonical_target(target: str) -> tuple[bytes, bytes]:
    """The path and the query of a request target, in their canonical forms."""
    path, _, query = target.partition("?")
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&")) if query else []
    canonical = "&".join(f"{name}={value}" for name, value in pairs)
    return quote(_plain(path), safe="/~").encode("ascii"), canonical.encode("latin-1")


def _plain(path: str) -> str:
    """A path without empty and dot segments (RFC 3986 5.2.4)."""
    found: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del found[-1:]
        elif segment not in ("", "."):
            found.append(segment)
    return "/" + "/".join(found) + ("/" if found and path.endswith("/") else "")
