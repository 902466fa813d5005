"""A certificate authority of the benchmark's own, and the mock's certificate, made by openssl."""

import subprocess
from pathlib import Path

import msgspec

_DAYS = "2"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Certificates(msgspec.Struct, frozen=True):
    """Files in PEM."""

    ca: Path
    certificate: Path
    key: Path


def make(folder: Path) -> Certificates:
    """Make both anew; they last two days.

    Raises RuntimeError where that does not work, with the reason.
    """
    made = Certificates(folder / "ca.pem", folder / "mock.pem", folder / "mock.key")
    ca_key = folder / "ca.key"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    _openssl(
        *["req", "-x509", *_KEY, "-days", _DAYS, "-subj", "/CN=llm-proxy benchmark"],
        *["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"],
        *["-keyout", ca_key, "-out", made.ca],
    )
    _openssl(
        *["req", "-x509", *_KEY, "-days", _DAYS, "-subj", "/CN=localhost"],
        *["-CA", made.ca, "-CAkey", ca_key, "-addext", names],
        *["-addext", "basicConstraints=critical,CA:FALSE"],
        *["-keyout", made.key, "-out", made.certificate],
    )
    return made


def _openssl(*arguments: object) -> None:
    try:
        subprocess.run(
            ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise RuntimeError("openssl is missing") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"openssl failed: {error.stderr.strip()}") from error
