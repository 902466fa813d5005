"""Providers by HTTPS: whom the proxy trusts, what it shows, and what it never shares."""

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest

from proxy import tls
from proxy.errors import ConfigError
from proxy.testing import Connection, Cut, ProxyURL, RawClient, Send, Step, Upstream, answer, serve
from proxy.tokens import file as token_file
from tests.authority import Authority, Pair
from tests.e2e.conftest import Answer, chat, read_answer, until

ONE = '[provider.one]\ntype = "vllm"\nurl = "{url}/v1"\n'
JSON_200 = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def shown(names: list[str]) -> Step:
    """A step that notes the common name of the certificate that was shown."""

    async def step(connection: Connection) -> None:
        certificate = connection.certificate
        parts = certificate["subject"] if certificate else ()
        names.append(dict(part[0] for part in parts).get("commonName", "none"))

    return step


async def ask(url: ProxyURL, model: str = "m") -> Answer:
    async with RawClient(url) as client:
        await client.send(chat(model=model))
        return await read_answer(client)


async def refused(url: ProxyURL, *words: str) -> None:
    """Check that no connection could be made, and that it was said why."""
    got = await ask(url)
    assert (got.status, got.error["code"]) == (502, "provider.connect")
    assert got.fields["x-llm-proxy-error"] == "provider.connect"
    for word in words:
        assert word in got.error["message"]


async def test_whoever_the_file_vouches_for_is_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    async with Upstream(answer(), tls=authority.server()) as upstream:
        config = ONE.format(url=upstream.url)
        async with serve(f'{config}tls = {{ ca = "{authority.file}" }}') as url:
            assert (await ask(url)).status == 200
        other = Authority(tmp_path)
        for trust in (f'tls = {{ ca = "{other.file}" }}', ""):
            async with serve(config + trust) as url:
                await refused(url, upstream.host, "certificate", "verif")
        assert len(upstream.requests) == 1


async def test_a_certificate_that_it_shows_may_be_trusted_itself(authority: Authority) -> None:
    pair = authority.issue()
    async with Upstream(answer(), tls=authority.server(pair)) as upstream:
        config = ONE.format(url=upstream.url)
        async with serve(f'{config}tls = {{ ca = "{pair.certificate}" }}') as url:
            assert (await ask(url)).status == 200
        other = authority.issue()
        async with serve(f'{config}tls = {{ ca = "{other.certificate}" }}') as url:
            await refused(url, "certificate")


async def test_a_name_is_asked_for_and_verified(authority: Authority) -> None:
    context = authority.server(authority.issue("llm.example.com"))
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with Upstream(answer(), tls=context) as upstream:
        config = ONE.format(url=upstream.url.replace("127.0.0.1", "localhost"))
        trust = f'tls = {{ ca = "{authority.file}"'
        async with serve(f"{config}{trust} }}") as url:
            await refused(url, "localhost")
        async with serve(f'{config}{trust}, server_name = "llm.example.com" }}') as url:
            assert (await ask(url)).status == 200
    assert asked == ["localhost", "llm.example.com"]
    # Whom it is asked for is no business of the request.
    assert upstream.requests[0].header("host") == f"localhost:{upstream.port}"


async def test_a_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    mine = clients.issue("proxy-1")
    names: list[str] = []
    context = authority.server(clients=clients)
    async with Upstream([shown(names), answer()], tls=context) as upstream:
        trust = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}"'
        async with serve(f"{trust}, {mine.toml} }}") as url:
            assert (await ask(url)).status == 200
        assert names == ["proxy-1"]
        async with serve(f"{trust} }}") as url:
            got = await ask(url)
            assert got.status == 502
            assert got.fields["x-llm-proxy-error"] in ("provider.connect", "provider.broke")
    assert names == ["proxy-1"]


async def test_a_certificate_whose_time_is_over_is_refused(authority: Authority) -> None:
    old = authority.issue(days=-1)
    async with Upstream(answer(), tls=authority.server(old)) as upstream:
        config = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}" }}'
        async with serve(config) as url:
            await refused(url, "certificate has expired")
    assert upstream.requests == []


async def test_versions_that_are_broken_are_not_spoken(authority: Authority) -> None:
    context = authority.server()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Upstream(answer(), tls=context) as upstream:
        config = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}" }}'
        async with serve(config) as url:
            await refused(url)
    assert upstream.requests == []


async def test_an_old_version_is_not_spoken(authority: Authority) -> None:
    context = authority.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Upstream(answer(), tls=context) as upstream:
        trust = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}"'
        async with serve(f"{trust} }}") as url:
            assert (await ask(url)).status == 200
        async with serve(f'{trust}, min_version = "1.3" }}') as url:
            await refused(url, "Connection reset")


async def test_verification_is_never_off_in_silence(authority: Authority) -> None:
    async with Upstream(answer(), tls=authority.server()) as upstream:
        config = f"{ONE.format(url=upstream.url)}tls = {{ verify = false }}"
        async with serve(config) as url:
            assert (await ask(url)).status == 200
            await url.reload(f'{config}\n[monitoring.log]\nlevel = "debug"')
            warned = [line["message"] for line in url.lines if line["level"] == "warning"]
            assert len(warned) == 2
            assert all("[provider.one.tls.verify]: whoever answers" in text for text in warned)
        with pytest.raises(ConfigError, match="is for a file to say, not for a variable"):
            async with serve(
                ONE.format(url=upstream.url),
                environ={"LLM_PROXY__PROVIDER__ONE__TLS__VERIFY": "false"},
            ):
                pass
        # What other programs read from the environment means nothing here.
        for name in ("PYTHONHTTPSVERIFY", "NODE_TLS_REJECT_UNAUTHORIZED"):
            async with serve(ONE.format(url=upstream.url), environ={name: "0"}) as url:
                await refused(url, "certificate")


async def test_connections_are_shared_by_what_is_secured_alike(
    authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    names: list[str] = []
    context = authority.server()
    context.load_verify_locations(clients.file)
    context.verify_mode = ssl.CERT_OPTIONAL
    trust = f'ca = "{authority.file}"'
    section = '[provider.{name}]\ntype = "vllm"\nurl = "{url}/v1"\ntls = {{ {trust} }}\n'
    route = '[[route]]\nname = "{name}"\nmodels = ["{name}"]\ntargets = ["{name}"]\n'
    tables = {
        "none": trust,
        "one": f"{trust}, {clients.issue('one').toml}",
        "two": f"{trust}, {clients.issue('two').toml}",
    }
    async with Upstream([shown(names), answer()], tls=context) as upstream:
        config = "".join(
            section.format(name=name, url=upstream.url, trust=table)
            for name, table in tables.items()
        )
        async with serve(config + "".join(route.format(name=name) for name in tables)) as url:
            for _ in range(2):
                for name in tables:
                    assert (await ask(url, name)).status == 200
        assert upstream.connections == 3
    assert names == ["none", "one", "two"] * 2


async def test_files_that_change_serve_the_connections_that_follow(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tls, "INTERVAL", 0.02)
    monkeypatch.setattr(token_file, "INTERVAL", 0.01)
    caplog.set_level("INFO", "proxy")
    clients = Authority(tmp_path, "clients")
    mine, trusted = clients.issue("old"), tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes())
    names: list[str] = []
    context = authority.server(clients=clients)
    async with Upstream([shown(names), answer(), Cut()], tls=context) as upstream:
        config = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{trusted}", {mine.toml} }}'
        async with serve(config) as url:
            assert (await ask(url)).status == 200
            mine.replace(clients.issue("new"))
            await until(lambda: "tls.certificate]: read again" in caplog.text)
            assert (await ask(url)).status == 200
            assert names == ["old", "new"]
            caplog.clear()
            trusted.write_bytes(Authority(tmp_path, "other").file.read_bytes())
            await until(lambda: "tls.certificate]: read again" in caplog.text)
            await refused(url, "certificate")


async def test_a_connection_that_was_kept_is_not_kept_for_other_terms(
    authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    context = authority.server()
    async with Upstream(answer(), tls=context) as upstream:
        trust = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}"'
        async with serve(f"{trust} }}") as url:
            for _ in range(2):
                assert (await ask(url)).status == 200
            assert upstream.connections == 1
            await url.reload(f'{trust} }}\n[monitoring.log]\nlevel = "debug"')
            assert (await ask(url)).status == 200
            assert upstream.connections == 1
            await url.reload(f"{trust}, {clients.issue().toml} }}")
            assert (await ask(url)).status == 200
            assert upstream.connections == 2


async def test_a_body_that_only_stops_is_not_whole(authority: Authority) -> None:
    """Of a body that ends with its connection, the end is what TLS says it is."""

    async def stop(connection: Connection) -> None:
        await asyncio.sleep(0.02)
        connection.abort()

    endings: list[tuple[Step, bool]] = [(Cut(), True), (stop, False)]
    for ending, whole in endings:
        script = [Send(JSON_200 + b"\r\n{}"), ending]
        async with Upstream(script, tls=authority.server()) as upstream:
            config = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}" }}'
            async with serve(config) as url:
                got = await ask(url)
                assert (got.status, got.body, got.whole) == (200, b"{}", whole)
                assert ("error" in url.exchanges[0]) != whole


async def test_the_key_may_be_a_secret(authority: Authority, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    mine: Pair = clients.issue("proxy-1")
    names: list[str] = []
    context = authority.server(clients=clients)
    async with Upstream([shown(names), answer()], tls=context) as upstream:
        for key in ("env:KEY", f"exec:cat {mine.key}"):
            config = f'{ONE.format(url=upstream.url)}tls = {{ ca = "{authority.file}", '
            config += f'certificate = "{mine.certificate}", key = "{key}" }}'
            async with serve(config, environ={"KEY": mine.key.read_text()}) as url:
                assert (await ask(url)).status == 200
    assert names == ["proxy-1"] * 2
