import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from proxy.certificates import (
    ClientContext,
    ForeignKey,
    ServerContext,
    certificates,
    check_time,
    identify,
    private_key,
    reason,
    refuses,
    system_context,
    trust,
    trust_system,
    validity,
)
from tests.authority import Authority, Pair

BEGIN = b"-----BEGIN CERTIFICATE-----\n"
END = b"-----END CERTIFICATE-----\n"


def server() -> ServerContext:
    return ServerContext(ssl.PROTOCOL_TLS_SERVER)


# What is in a file.


def test_each_certificate_of_a_file_is_found_whatever_stands_between(pair: Pair) -> None:
    text = pair.certificate.read_bytes()
    one = ssl.PEM_cert_to_DER_cert(text.decode())

    assert certificates(text) == [one]
    assert certificates("Gewöhnlich:\n".encode() + text + b"\r\n# next\r\n" + text) == [one, one]
    assert certificates(text.replace(b"\n", b"\r\n")) == [one]
    assert certificates(pair.key.read_bytes() + text) == [one]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "holds no certificate in PEM"),
        (b"\x30\x82", "holds no certificate in PEM"),
        (BEGIN + b"MIIB", "holds a certificate that breaks off"),
        (BEGIN + b"MIIB" + BEGIN + b"MIIB" + END, "holds a certificate that breaks off"),
        (BEGIN + b"M?IB\n" + END, "holds a certificate that is not PEM"),
        (BEGIN + b"MII\n" + END, "holds a certificate that is not PEM"),
    ],
)
def test_what_is_no_certificate_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        certificates(data)


@pytest.mark.parametrize("year", [2049, 2050, 2900])
def test_the_time_of_a_certificate_is_read(year: int) -> None:
    """RFC 5280 spells it in one way before 2050, and in another from then on."""
    start = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
    end = datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC)
    issued = trustme.CA().issue_cert("x", not_before=start, not_after=end)
    [leaf] = certificates(issued.cert_chain_pems[0].bytes())

    assert validity(leaf) == (start, end)
    check_time(leaf, start)
    check_time(leaf, end)
    with pytest.raises(ValueError, match=f"expired at {year}-01-02 03:04 UTC"):
        check_time(leaf, end + timedelta(seconds=1))
    with pytest.raises(ValueError, match="is not valid before 2024-02-29 23:59 UTC"):
        check_time(leaf, start - timedelta(seconds=1))


@given(st.binary())
def test_whatever_is_no_certificate_is_an_error_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(ValueError, match="holds something that is not a certificate"):
        validity(data)


@given(st.data())
def test_a_certificate_that_is_damaged_is_an_error_at_most(
    authority: Authority, data: st.DataObject
) -> None:
    [whole] = certificates(authority.file.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    with contextlib.suppress(ValueError):
        validity(damaged)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no private key"),
        ("canary", "is no private key"),
        ("-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----", "is no private key"),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "is no private key"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary", "is encrypted"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\ncanary", "is encrypted"),
    ],
)
def test_what_is_no_key_is_told_without_a_trace_of_it(text: str, problem: str) -> None:
    with pytest.raises(ForeignKey, match=problem) as raised:
        private_key(text)

    assert "canary" not in str(raised.value)


def test_a_key_may_stand_among_other_things(pair: Pair) -> None:
    text = pair.key.read_text()

    assert private_key(f"EC PARAMETERS\n{pair.certificate.read_text()}{text}\n").strip() == (
        text.strip()
    )


# What contexts make of them.


def test_a_certificate_is_taken_on_with_its_key(authority: Authority, pair: Pair) -> None:
    chain = pair.certificate.read_bytes() + authority.file.read_bytes()
    context = server()
    identify(context, chain, pair.key.read_text())

    shown = handshake(context, authority.client()).getpeercert(binary_form=True)
    assert shown == certificates(chain)[0]


def test_without_its_key_a_certificate_is_looked_at(authority: Authority, pair: Pair) -> None:
    identify(server(), pair.certificate.read_bytes(), None)
    with pytest.raises(ValueError, match="expired"):
        identify(server(), authority.issue(days=-1).certificate.read_bytes(), None)


def test_another_key_is_told(authority: Authority, pair: Pair) -> None:
    rsa = authority.issue("rsa", key_type=trustme.KeyType.RSA)
    for other in (authority.issue(), rsa):
        for one, two in ((pair, other), (other, pair)):
            with pytest.raises(ForeignKey, match="does not belong to the certificate"):
                identify(server(), one.certificate.read_bytes(), two.key.read_text())


def test_a_damaged_key_is_told(pair: Pair) -> None:
    key = pair.key.read_text().replace("M", "N", 1)
    with pytest.raises(ValueError, match="cannot be used with its key: ") as raised:
        identify(server(), pair.certificate.read_bytes(), key)

    assert "_ssl.c" not in str(raised.value)


def test_those_in_a_file_are_trusted_and_nobody_else(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    other = Authority(tmp_path)
    context = authority.server(pair)
    for trusted, fine in (
        (authority.file.read_bytes(), True),
        ("# Ünsere\n".encode() + other.file.read_bytes() + authority.file.read_bytes(), True),
        (pair.certificate.read_bytes(), True),
        (other.file.read_bytes(), False),
    ):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust(client, trusted)
        if fine:
            assert handshake(context, client).getpeercert()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(context, client)


def test_authorities_that_have_all_expired_are_told(authority: Authority) -> None:
    old = authority.issue(days=-1).certificate.read_bytes()
    with pytest.raises(ValueError, match="expired at"):
        trust(server(), old)
    # A bundle may have some of them.
    trust(server(), old + authority.file.read_bytes())


# What is said of failures.


def test_a_failure_is_told_in_words(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    context = authority.server(pair, clients=Authority(tmp_path))
    with pytest.raises(ssl.SSLError) as raised:
        handshake(context, authority.client())
    assert reason(raised.value) == "peer did not return a certificate"

    with pytest.raises(ssl.SSLError) as raised:
        handshake(authority.server(pair), Authority(tmp_path, "other").client())
    assert reason(raised.value).startswith("the certificate cannot be verified: ")
    assert not refuses(raised.value)
    assert reason(ConnectionResetError()) == "it closed the connection"
    assert not refuses(None)


@pytest.mark.parametrize(
    ("word", "refused"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", True),
        ("TLSV1_ALERT_UNKNOWN_CA", True),
        ("TLSV1_ALERT_ACCESS_DENIED", True),
        ("TLSV1_ALERT_INTERNAL_ERROR", False),
        ("CERTIFICATE_VERIFY_FAILED", False),
        (None, False),
    ],
)
def test_a_peer_that_does_not_take_us_is_known(word: str | None, refused: bool) -> None:
    error = ssl.SSLError()
    error.reason = word  # type: ignore[assignment]

    assert refuses(error) == refused


def handshake(context: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """The client's side of a connection that no socket carries."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(back, there, server_hostname="localhost"),
        context.wrap_bio(there, back, server_side=True),
    ]
    done = 0
    while done < 2:
        done = 0
        for side in sides:
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
    return sides[0]


def test_the_systems_authorities_are_trusted_and_none_of_the_environments(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.file.parent))
    usual = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    usual.load_default_certs()
    [theirs] = usual.get_ca_certs()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust_system(context)
    assert theirs not in context.get_ca_certs()

    paths = ssl.get_default_verify_paths()
    monkeypatch.setattr(
        "proxy.certificates.ssl.get_default_verify_paths",
        lambda: paths._replace(openssl_cafile=str(authority.file), openssl_capath="/nowhere"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust_system(context)
    assert context.get_ca_certs() == [theirs]


def test_who_is_not_told_otherwise_verifies_whom_it_talks_to() -> None:
    context = system_context()

    assert context is system_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_both_sides_read_and_write_without_a_detour(authority: Authority, pair: Pair) -> None:
    accepting = server()
    identify(accepting, pair.certificate.read_bytes(), pair.key.read_text())
    asking = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    trust(asking, authority.file.read_bytes())
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = asking.wrap_bio(back, there, server_hostname="localhost")
    other = accepting.wrap_bio(there, back, server_side=True)
    for side in (one, other) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    for side in (one, other):
        for name in ("read", "write", "pending"):
            assert getattr(side, name).__self__ is side._sslobj  # type: ignore[attr-defined]
    assert one.write(b"asked") == 5
    assert other.read(3) == b"ask"
    assert other.pending() == 2
    assert other.read(9) == b"ed"
    with pytest.raises(ssl.SSLWantReadError):
        other.read(9)
