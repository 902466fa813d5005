"""What listeners and providers are secured with: files read, and read again."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy import tls as module
from proxy.errors import ConfigError
from proxy.tls import Fault, ListenerTls, Tls, UpstreamTls
from proxy.token import Reference, Secret
from proxy.tokens.exec import Exec
from proxy.tokens.file import File
from proxy.tokens.static import Env
from proxy.units import Duration
from tests.authority import Authority, Pair


class Places(dict[str, str]):
    """Where each key stands, in a file of the test's."""

    def __missing__(self, key: str) -> str:
        return f"c.toml:2: [x.tls.{key}]"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which tests set."""
    time = [0.0]
    monkeypatch.setattr(module, "clock", lambda: time[0])
    return time


def key_in(path: Path) -> Reference:
    """A key in a file, as the configuration makes it."""
    key = File(path=str(path))
    vars(key)["_lines"] = True
    key.resolve({}, "/")
    return key


def listener(pair: Pair, **more: Any) -> ListenerTls:
    made = ListenerTls(certificate=str(pair.certificate), key=key_in(pair.key), **more)
    made.resolve(Places(), "/")
    return made


def upstream(**more: Any) -> UpstreamTls:
    made = UpstreamTls(**more)
    made.resolve(Places(), "/")
    return made


# Contexts.


def test_a_listener_asks_nobody_for_a_certificate_unless_it_has_to(
    authority: Authority, pair: Pair
) -> None:
    plain = listener(pair)
    assert plain.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert plain.context.verify_mode is ssl.CERT_NONE
    assert not plain.identifies

    strict = listener(pair, client_ca=str(authority.file), min_version="1.3")
    assert strict.context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert strict.context.verify_mode is ssl.CERT_REQUIRED
    assert strict.identifies

    lax = listener(pair, client_ca=str(authority.file), client_certificate="optional")
    assert lax.context.verify_mode is ssl.CERT_OPTIONAL
    assert not lax.identifies


def test_a_provider_is_verified_by_the_systems_authorities_unless_a_file_names_others(
    authority: Authority,
) -> None:
    usual, own = upstream(), upstream(ca=str(authority.file), min_version="1.3")
    for made in (usual, own):
        context = made.security.context
        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert usual.security.context.minimum_version is ssl.TLSVersion.TLSv1_2  # type: ignore[union-attr]
    assert own.security.context.minimum_version is ssl.TLSVersion.TLSv1_3  # type: ignore[union-attr]
    assert len(own.security.context.get_ca_certs()) == 1  # type: ignore[union-attr]

    off = upstream(verify=False, server_name="x").security
    assert off.server_name == "x"
    assert off.context is not None
    assert off.context.verify_mode is ssl.CERT_NONE
    assert not off.context.check_hostname


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"certificate": "x"}, "`certificate` and `key` go together"),
        ({"key": Env(name="X")}, "`certificate` and `key` go together"),
        ({"ca": "x", "verify": False}, "`ca` means nothing where nothing is verified"),
        ({"server_name": "a b"}, "`server_name` is neither a host's name nor an IP address"),
    ],
)
def test_keys_that_do_not_go_together_are_told(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        UpstreamTls(**keys)


def test_a_handshake_ends_at_some_time(pair: Pair) -> None:
    with pytest.raises(ValueError, match='`handshake_timeout` cannot be "0s"'):
        listener(pair, handshake_timeout=Duration(0))


# Files.


def test_relative_paths_start_from_the_folder_that_it_is_told(pair: Pair) -> None:
    made = ListenerTls(certificate=pair.certificate.name, key=key_in(pair.key))
    made.resolve(Places(), str(pair.certificate.parent))

    assert made.context


def broken(what: str, pair: Pair, authority: Authority) -> None:
    """Break one of the files."""
    match what:
        case "certificate is gone":
            pair.certificate.unlink()
        case "certificate is none":
            pair.certificate.write_text("x")
        case "certificate is old":
            pair.replace(authority.issue(days=-1))
        case "key is another's":
            pair.key.write_bytes(authority.issue().key.read_bytes())
        case "key is none":
            pair.key.write_text("canary")
        case "authority is gone":
            authority.file.unlink()
        case "authority is none":
            authority.file.write_bytes(pair.key.read_bytes())


BROKEN = {
    "certificate is gone": ("certificate", "{certificate}: no such file"),
    "certificate is none": ("certificate", "{certificate} holds no certificate in PEM"),
    "certificate is old": ("certificate", "{certificate} holds a certificate that expired at "),
    "key is another's": ("key", "does not belong to the certificate"),
    "key is none": ("key", "is no private key in PEM"),
    "authority is gone": ("client_ca", "{ca}: no such file"),
    "authority is none": ("client_ca", "{ca} holds no certificate in PEM"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_file_is_said_of_its_key(
    what: str, authority: Authority, pair: Pair
) -> None:
    ca = authority.file
    broken(what, pair, authority)
    key, problem = BROKEN[what]

    with pytest.raises(Fault) as raised:
        listener(pair, client_ca=str(ca))

    assert raised.value.key == key
    assert raised.value.what.startswith(problem.format(certificate=pair.certificate, ca=ca))
    assert "canary" not in str(raised.value)


def test_a_provider_says_so_of_its_own_keys(authority: Authority, pair: Pair) -> None:
    with pytest.raises(Fault) as raised:
        upstream(ca=f"{authority.file}x")
    assert raised.value.key == "ca"
    with pytest.raises(Fault) as raised:
        upstream(certificate=str(pair.certificate), key=key_in(authority.issue().key))
    assert raised.value.key == "key"


# Again.


def test_what_changed_is_taken_and_what_did_not_is_let_alone(
    authority: Authority, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "proxy")
    made = listener(pair)
    first = made.context
    made.refresh()
    assert made.context is first

    pair.replace(authority.issue())
    made.key.refresh()  # type: ignore[attr-defined]
    made.refresh()
    assert made.context is not first
    assert caplog.messages[-1] == "c.toml:2: [x.tls.certificate]: read again"


def test_a_provider_gets_what_changed_where_its_connections_look(
    authority: Authority, tmp_path: Path
) -> None:
    made = upstream(ca=str(authority.file))
    security = made.security
    first = security.context
    authority.file.write_bytes(Authority(tmp_path, "other").file.read_bytes())
    made.refresh()

    assert made.security is security
    assert security.context is not first


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_used_leaves_the_old_one_and_is_said_once_it_lasts(
    what: str,
    authority: Authority,
    pair: Pair,
    now: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ca = authority.file
    made = listener(pair, client_ca=str(ca))
    first = made.context
    broken(what, pair, authority)
    for _ in range(3):
        made.key.refresh()  # type: ignore[attr-defined]
        made.refresh()
        assert made.context is first
        now[0] += module.PATIENCE / 2
    problem = BROKEN[what][1].format(certificate=pair.certificate, ca=ca)
    said = [r.getMessage() for r in caplog.records if "what was read before" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"c.toml:2: [x.tls.{BROKEN[what][0]}]: {problem}")


def test_files_that_are_replaced_one_by_one_are_no_news(
    authority: Authority, pair: Pair, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    made, new = listener(pair), authority.issue()
    pair.certificate.write_bytes(new.certificate.read_bytes())
    made.refresh()
    now[0] += module.INTERVAL
    pair.key.write_bytes(new.key.read_bytes())
    made.key.refresh()  # type: ignore[attr-defined]
    made.refresh()

    assert made.context
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_while_it_is_open_files_are_read_off_the_loop(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = listener(pair)
    first = made.context
    threads: set[int] = set()
    slept: list[float] = []

    async def sleep(delay: float) -> None:
        slept.append(delay)
        if len(slept) > 2:  # once for the certificate, once for its key
            await asyncio.Event().wait()

    def refresh(self: Tls, real: Callable[[Tls], None] = Tls.refresh) -> None:
        threads.add(threading.get_ident())
        made.key.refresh()  # type: ignore[attr-defined]
        real(self)

    monkeypatch.setattr(Tls, "refresh", refresh)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    pair.replace(authority.issue())
    await made.open()
    while made.context is first:
        await asyncio.to_thread(lambda: None)
    await made.close()

    assert threads - {threading.get_ident()}


async def test_a_key_that_a_program_prints_is_waited_for(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [pair.key.read_text(), authority.issue().key.read_text()]

    async def run(self: Exec) -> Secret:
        return Secret(texts.pop(0))

    monkeypatch.setattr(Exec, "run", run)
    for fine in (True, False):
        made = ListenerTls(certificate=str(pair.certificate), key=Exec(command=("print-key",)))
        made.resolve(Places(), "/")
        if fine:
            await made.open()
            assert made.context
            await made.close()
            continue
        with pytest.raises(ConfigError) as raised:
            await made.open()
        assert raised.value.problems == [
            "c.toml:2: [x.tls.key]: does not belong to the certificate"
        ]


# A configuration for another.


def test_what_says_the_same_is_kept_and_takes_what_is_fresh(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    old = listener(pair)
    first = old.context
    assert listener(pair).like(old)
    assert not listener(pair, min_version="1.3").like(old)
    assert not listener(authority.issue()).like(old)
    elsewhere = ListenerTls(certificate=str(pair.certificate), key=key_in(pair.key))
    elsewhere.resolve(Places(), str(tmp_path))
    assert not elsewhere.like(old)
    assert not upstream().like(old)

    pair.replace(authority.issue())
    fresh = listener(pair)
    assert fresh.like(old)
    old.adopt(fresh)
    assert old.context is fresh.context
    assert old.context is not first


def test_nothing_of_the_key_is_shown(pair: Pair) -> None:
    made = listener(pair)

    assert "PRIVATE" not in repr(made) + str(made) + repr(made.key)
