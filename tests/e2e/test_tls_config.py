"""What a configuration says of TLS, and what is said of a configuration."""

from pathlib import Path

import pytest

from proxy.config.changes import changes
from proxy.config.effective import render
from proxy.config.load import Overrides, load
from proxy.config.provider import ProviderConfig
from proxy.config.sections import Settings
from proxy.config.source import parse
from proxy.config.validation import validate
from proxy.errors import ConfigError
from proxy.tokens.exec import Exec
from proxy.tokens.file import File
from proxy.tokens.static import Env
from tests.authority import Authority, Pair

LISTENER = '[server]\nlisten = {{ address = "{address}", tls = {{ {tls} }} }}\n'
MOCK = '[provider.mock]\ntype = "mock"\n'
VLLM = '[provider.x]\ntype = "vllm"\nurl = "{url}"\ntls = {{ {tls} }}\n'


def listening(tls: str, address: str = "127.0.0.1:0") -> str:
    return MOCK + LISTENER.format(address=address, tls=tls)


def asking(tls: str, url: str = "https://x/v1") -> str:
    return VLLM.format(url=url, tls=tls)


def read(text: str, **environ: str) -> tuple[Settings, list[str]]:
    return validate(parse(text, "c.toml"), environ)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text, **environ)
    return raised.value.problems


def test_the_key_is_a_file_or_a_secret(pair: Pair) -> None:
    text = pair.key.read_text()
    for spelled, kind in (
        (str(pair.key), File),
        (f"file:{pair.key}", File),
        ("env:KEY", Env),
        ("exec:cat x", Exec),
    ):
        tls = f'certificate = "{pair.certificate}", key = "{spelled}"'
        [listener] = read(listening(tls), KEY=text, PATH="/bin:/usr/bin")[0].server.listen
        assert listener.tls is not None
        assert isinstance(listener.tls.key, kind)
        tls = f'certificate = "{pair.certificate}", key = "{spelled}"'
        provider = read(asking(tls), KEY=text, PATH="/bin:/usr/bin")[0].provider["x"]
        assert isinstance(provider, ProviderConfig)
        assert provider.tls is not None
        assert isinstance(provider.tls.key, kind)


def test_paths_start_from_the_folder_of_the_file_that_they_stand_in(
    pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(listening('certificate = "tls.crt", key = "tls.key"'))
    (tmp_path / "tls.crt").symlink_to(pair.certificate)
    (tmp_path / "tls.key").symlink_to(pair.key)
    loaded = load(str(tmp_path / "c.toml"), environ={}, overrides=Overrides())

    assert loaded.settings.server.listen[0].tls is not None


def test_each_problem_names_its_key(authority: Authority, pair: Pair) -> None:
    other = authority.issue()
    place = "c.toml:4: [server.listen.tls"
    key = f'key = "{pair.key}"'
    none = f"{authority.file}x"
    for tls, problem in (
        (
            key,
            f"{place}.certificate]: is missing: its certificate, in a PEM file, with those that "
            "vouch for it behind",
        ),
        (f'certificate = "{none}", {key}', f"{place}.certificate]: {none}: no such file"),
        (
            f'certificate = "{pair.key}", {key}',
            f"{place}.certificate]: {pair.key} holds no certificate in PEM "
            "(-----BEGIN CERTIFICATE-----)",
        ),
        (
            f'certificate = "{other.certificate}", {key}',
            f"{place}.key]: does not belong to the certificate",
        ),
        (
            f'certificate = "{pair.certificate}", key = "{none}"',
            f"{place}.key]: {none}: no such file",
        ),
        (f"{pair.toml}, client_ca = '{none}'", f"{place}.client_ca]: {none}: no such file"),
        (
            f'{pair.toml}, min_version = "1.1"',
            f'{place}.min_version]: unknown value "1.1" (known: 1.2, 1.3; did you mean "1.3"?)',
        ),
    ):
        assert problems(listening(tls)) == [problem]


def test_a_key_that_is_written_out_is_refused_without_a_trace_of_it(pair: Pair) -> None:
    text = pair.key.read_text()
    written = f'certificate = "{pair.certificate}", key = """{text}"""'
    [problem] = problems(listening(written).replace("{ address", "{ address", 1))

    assert "a secret is not written out" in problem
    assert text.splitlines()[1] not in problem


def test_an_encrypted_key_is_told(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary\n")
    tls = f'certificate = "{pair.certificate}", key = "{tmp_path}/key"'
    [problem] = problems(listening(tls))

    assert problem.endswith("key]: is encrypted, and nobody gives a passphrase (decrypt it)")


def test_a_provider_by_plain_http_has_no_use_for_it() -> None:
    assert problems(asking("verify = false", url="http://x/v1")) == [
        "c.toml:4: [provider.x.tls]: means nothing where the URL is not https"
    ]


def test_a_provider_that_is_not_verified_is_warned_about() -> None:
    assert read(asking("verify = false"))[1] == [
        "c.toml:4: [provider.x.tls.verify]: whoever answers for the provider gets its requests "
        "and its token, unverified"
    ]
    assert read(asking("verify = true"))[1] == []


def test_no_variable_sets_whether_a_provider_is_verified() -> None:
    variable = {"LLM_PROXY__PROVIDER__X__TLS__VERIFY": "false"}
    for text in (asking('min_version = "1.3"'), asking("verify = true")):
        with pytest.raises(ConfigError) as raised:
            load(None, environ=variable | {"LLM_PROXY_CONFIG_TOML": text}, overrides=Overrides())
        assert raised.value.problems == [
            "LLM_PROXY__PROVIDER__X__TLS__VERIFY: [provider.x.tls.verify] is for a file to say, "
            "not for a variable"
        ]
    variable = {"LLM_PROXY__PROVIDER__X__TLS__MIN_VERSION": "1.3"}
    text = asking('min_version = "1.2"')
    loaded = load(None, environ=variable | {"LLM_PROXY_CONFIG_TOML": text}, overrides=Overrides())
    provider = loaded.settings.provider["x"]
    assert isinstance(provider, ProviderConfig)
    assert provider.tls is not None
    assert provider.tls.min_version == "1.3"


def test_who_needs_a_certificate_is_no_stranger(authority: Authority, pair: Pair) -> None:
    tls = f'{pair.toml}, client_ca = "{authority.file}"'
    assert read(listening(tls, "0.0.0.0:8443"))[1] == []
    lax = f'{tls}, client_certificate = "optional"'
    for open_to_all in (pair.toml, lax):
        [problem] = problems(listening(open_to_all, "0.0.0.0:8443"))
        assert "clients are not authenticated, and 0.0.0.0:8443 is not loopback" in problem
    admin = MOCK + "[server]\nadmin_listen = {{ address = '0.0.0.0:9443', tls = {{ {} }} }}"
    assert read(admin.format(tls))[1] == []
    assert len(read(admin.format(lax))[1]) == 1


def test_what_it_says_can_be_read_again_and_compared(authority: Authority, pair: Pair) -> None:
    one = listening(f'{pair.toml}, client_ca = "{authority.file}"') + asking(
        f'ca = "{authority.file}", {pair.toml}'
    ).replace("provider.x", "provider.y")
    text = f'{one}\n[[route]]\ntargets = ["mock", "y"]'
    settings, _ = read(text)
    shown = render(settings)

    assert "PRIVATE" not in shown
    assert f'key = "file:{pair.key}"' in shown
    assert read(shown)[0] == settings
    assert changes(settings, read(text)[0]) == []
    other = read(text.replace("client_ca", 'min_version = "1.3", client_ca'))[0]
    assert [change.key for change in changes(settings, other)] == ["server.listen"]
